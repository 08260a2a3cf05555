"""Features of a user, from a file, in which a first set is chosen."""

import jax
import numpy as np
import pytest

from al_jax.runner import cells, checks, defaults, identity, pretraining, runs
from al_jax.runner import config as config_lib
from al_jax.storage import checkpoint, manifest, records

QUIET = cells.How(quiet=True)


def a_config(**protocol):
  config = defaults.get_config()
  config.data.transforms = ({'name': 'cap', 'train': 90, 'test': 50},)
  config.learner.stop.epochs = 1
  config.protocol.rounds = 1
  config.protocol.first_size = 10
  config.protocol.update(protocol)
  plain = manifest.plain_config(config.to_dict())
  plain['systems'] = 'random'
  return {**plain, 'model': {'name': 'mlp', 'widths': [8]}}


def prepared(config):
  config = {name: config[name] for name in checks.FIELDS}
  return config_lib.prepare(config)


@pytest.fixture
def given(tmp_path):
  """A file with a row for each example of the pool."""
  path = tmp_path / 'features.npy'
  np.save(path, np.random.default_rng(0).normal(size=(90, 2, 2)))
  return path


def test_features_are_read_and_belong_to_the_identity(given):
  none = prepared(a_config(first_set='k_center'))
  config = a_config(first_set='k_center', first_features=str(given))
  some = prepared(config)
  assert none.features is None
  assert (some.features.dtype, some.features.shape) == (np.float32, (90, 4))
  assert 'first_features' not in identity.identity_of(none, 'random')
  before = identity.identity_of(some, 'random')
  np.save(given, np.ones((90, 4)))
  after = identity.identity_of(prepared(config), 'random')
  assert before['first_features'] != after['first_features']
  assert before['config'] == after['config']


@pytest.mark.parametrize(
  ('protocol', 'message'),
  [
    ({'first_features': 3}, 'is 3; it must be the path of a .npy file'),
    ({'first_features': 'absent.npy'}, "is 'absent.npy', .*No such file"),
    ({'first_features': __file__}, r'is .* \.npy file: .* np\.loadtxt\('),
    ({'first_set': 'first'}, "is '.*features.npy': .* only 'k_center' reads"),
  ],
)
def test_what_holds_no_features_is_refused(given, protocol, message):
  config = a_config()
  config['protocol'] |= {
    'first_set': 'k_center',
    'first_features': str(given),
    **protocol,
  }
  with pytest.raises(ValueError, match=f'protocol.first_features {message}'):
    prepared(config)


def test_rows_are_of_the_pool_after_its_transforms(given):
  np.save(given, np.ones((1797, 4)))
  config = a_config(first_set='k_center', first_features=str(given))
  with pytest.raises(ValueError, match=r'\[1797, 4\]; .* 90 examples'):
    prepared(config)


def finish(folder, config):
  assert runs.run(config, runs.cells_of(config), folder, QUIET) == 0


def test_a_run_goes_on_with_the_features_that_it_began_with(given, tmp_path):
  config = a_config(first_set='k_center', first_features=str(given))
  folder = tmp_path / 'run'
  config['full_labels'] = True
  finish(folder, config)
  assert len(records.read_jsonl(folder / 'full_labels.jsonl')) == 1
  np.save(given, np.ones((90, 4)))
  with pytest.raises(ValueError, match='first_features: '):
    finish(folder, {**config, 'seeds': 2})


def with_vae(**protocol):
  config = a_config(**{'first_set': 'k_center', **protocol})
  config['pretraining'] = {
    'name': 'vae',
    'channels': [4, 8],
    'latent': 3,
    'stop': {'epochs': 1},
  }
  return config


def test_a_first_set_is_spread_in_the_latents_of_a_pretraining(tmp_path):
  config = with_vae()
  config['full_labels'] = True
  finish(tmp_path, config)
  assert len(records.read_jsonl(tmp_path / 'full_labels.jsonl')) == 1
  experiment, rows = pretraining.with_weights(prepared(config))
  # Made once, and kept.
  assert rows[0]['loss'] > 0
  latents = experiment.features
  assert latents.shape == (90, 3) and experiment.pretrained is None
  found = identity.identity_of(experiment, 'random')
  assert found == identity.identity_of(prepared(config), 'random')
  # The network begins as it does without.
  alone = config_lib.system_of(prepared(a_config()), 'random')
  both = config_lib.system_of(experiment, 'random')
  first = [
    system.learner.init(jax.random.key(0)).network.variables
    for system in (alone, both)
  ]
  jax.tree.map(np.testing.assert_array_equal, *first)


def test_features_that_nobody_reads_are_refused(given):
  for config, message in (
    (with_vae(first_set='uniform'), "must be 'k_center'; it is 'uniform'"),
    (with_vae(first_features=str(given)), 'protocol.first_features has others'),
  ):
    with pytest.raises(ValueError, match=message):
      pretraining.build(prepared(config))


def test_a_run_of_before_there_were_features_goes_on(tmp_path, monkeypatch):
  config, identity_of = a_config(), identity.identity_of

  def identity_of_before(experiment, name):
    found = identity_of(experiment, name)
    del found['config']['protocol']['first_features']
    return found

  with monkeypatch.context() as patch:
    patch.setattr(identity, 'identity_of', identity_of_before)
    finish(tmp_path, config)
  about = manifest.read(tmp_path / 'manifest.json')
  del about['config']['protocol']['first_features']
  del about['finished'], about['digests']
  manifest.write(tmp_path / 'manifest.json', about)
  before = records.read_jsonl(tmp_path / 'records.jsonl')
  with checkpoint.Checkpointer(
    tmp_path / 'checkpoints' / 'random' / 'seed_0'
  ) as saves:
    saved = saves.latest_metadata()['identity']['config']['protocol']
  assert 'first_features' not in saved
  finish(tmp_path, {**config, 'seeds': 2})
  assert records.read_jsonl(tmp_path / 'records.jsonl')[:1] == before
