"""Queries that are made, from a config: what is written, what is refused."""

import itertools
import shutil

import numpy as np
import pytest

from al_jax import pool as pool_lib
from al_jax.commands import synthesize
from al_jax.data import transforms
from al_jax.interfaces import Question
from al_jax.runner import (
  cells,
  checks,
  defaults,
  grid,
  identity,
  runs,
  synthesis,
)
from al_jax.runner import config as config_lib
from al_jax.storage import manifest, records
from tests.commands import run_test
from tests.factories import TINY_MAKERS

QUIET = cells.How(quiet=True)


def a_config(systems='bgadl+entropy', **synthesis):
  config = defaults.get_config()
  config.data.transforms = ({'name': 'cap', 'train': 200, 'test': 50},)
  config.learner.stop.epochs = 2
  config.protocol.rounds = 3
  config.protocol.first_size = 20
  config.protocol.labels_per_round = 5
  config.learner.bgadl = {**TINY_MAKERS, 'samples': 0}
  plain = manifest.plain_config(config.to_dict())
  plain['systems'] = systems
  plain['model'] = {'name': 'mlp', 'widths': [8]}
  plain['synthesis'] = {
    'oracle': {'epochs': 3, 'model': {'name': 'mlp', 'widths': [32]}},
    **synthesis,
  }
  return plain


def prepared(config):
  config = {name: config[name] for name in checks.FIELDS}
  return config_lib.prepare(config)


def run(folder, config):
  runs.run(config, runs.cells_of(config), folder, QUIET)
  return records.read_jsonl(folder / 'records.jsonl')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'whole'
  config = a_config(
    name='prior', num_candidates=50, min_distance=0.0, oracle={'gate': 0.3}
  )
  return folder, config, run(folder, config)


def test_a_run_writes_sheets_of_what_was_asked_and_answered(whole):
  folder, _, rows = whole
  assert [row.labels for row in rows] == [20, 25, 30]
  assert [row.batch['made'] for row in rows[:-1]] == [1.0, 1.0]
  assert all(0 <= row.batch['invalid'] <= 1 for row in rows[:-1])
  # Nothing is asked after the last round.
  assert not rows[-1].batch
  for row, after in itertools.pairwise(rows):
    assert sum(row.pick_classes) == after.trainable - row.trainable
    assert row.pick_ids[0].startswith('made ')
  names = {path.name for path in (folder / 'pictures').iterdir()}
  assert {
    'bgadl+entropy_seed0_round0_asked_sheet.png',
    'bgadl+entropy_seed0_round1_asked_sheet.png',
    'bgadl+entropy_seed0_round2_generated_sheet.png',
    'bgadl+entropy_seed0_round2_partners_sheet.png',
  } <= names
  assert 'bgadl+entropy_seed0_round2_asked_sheet.png' not in names


def test_a_dry_run_counts_the_classifier_that_answers(capsys):
  config = a_config(name='prior', num_candidates=50)
  runs.describe(runs.cells_of(config))
  said = capsys.readouterr().out
  assert 'the classifier that answers about made queries' in said
  # 3 epochs of 2 batches.
  assert '  at most 6 steps of' in said


def test_a_folder_of_other_queries_is_refused(whole, tmp_path):
  folder, config, _ = whole
  shutil.copytree(folder, tmp_path / 'copy')
  other = {**config['synthesis'], 'num_candidates': 60}
  with pytest.raises(ValueError, match=r'synthesis\.num_candidates'):
    run(tmp_path / 'copy', {**config, 'synthesis': other})


def test_a_config_without_the_field_takes_queries_from_the_pool():
  config = {name: a_config()[name] for name in checks.FIELDS}
  del config['synthesis']
  assert identity.upgraded(config)['synthesis'] == {}


def test_a_grid_may_compare_ways_to_make_queries():
  config = {**a_config(), 'synthesis': {}}
  ways = {
    'pool': {},
    'prior': {'synthesis': {'name': 'prior'}},
  }
  found = grid.cells({**config, 'grid': {'queries': ways}})
  assert [each.config['synthesis'] for each in found] == [{}, {'name': 'prior'}]


@pytest.mark.parametrize(
  ('config', 'message'),
  [
    (a_config(), 'config.synthesis is .*oracle.*; it needs a `name`'),
    (a_config(name='lattent'), "Did you mean 'latent'"),
    (a_config(name='prior', steeps=3), "'steeps'.*Did you mean 'steps'"),
    (a_config(name='prior', oracle={'gates': 1}), "'gates'.*'gate'"),
    (a_config(name='prior', oracle={'gate': 2}), 'oracle.gate is 2; it must'),
    (a_config(name='prior', num_candidates=4), 'num_candidates is 4; .* 5'),
    (a_config(name='prior', steps=4), "'prior' does not read it, only latent"),
    (a_config(name='partner', realism_weight=1), 'only prior and latent'),
    (a_config(name='prior', oracle={'epochs': 0}), 'oracle.epochs is 0'),
    (a_config(name='prior', oracle={'model': 'cnn'}), "oracle.model is 'cnn'"),
    (a_config(name='prior', oracle={'model': {}}), 'it needs a `name`'),
    (
      a_config(name='prior', oracle={'model': {'name': 'cn'}}),
      "config.synthesis.oracle: model 'cn'",
    ),
    ({**a_config(name='prior'), 'subset_size': 9}, 'subset_size is set'),
    (
      {**a_config(name='prior'), 'oracle': {'noise': 0.1}},
      'config.oracle.noise is 0.1, but a classifier answers',
    ),
    (
      {
        **a_config(name='partner'),
        'describe': {'batches': True, 'dropout_samples': 0},
      },
      'config.describe.batches describes queries of the pool',
    ),
  ],
)
def test_what_does_not_fit_is_refused(config, message):
  with pytest.raises(ValueError, match=message):
    prepared(config)


def test_systems_that_cannot_make_queries_are_refused():
  for systems, message in (
    ('supervised+entropy', "'supervised\\+entropy'|'entropy'"),
    ('bgadl+core_set', 'does not choose by the largest score'),
    ('label_propagation+entropy', 'has no generator .* looks over the pool'),
  ):
    experiment = prepared(a_config(systems, name='prior'))
    with pytest.raises(ValueError, match=message):
      config_lib.system_of(experiment, systems)


def test_who_answers_has_learnt_no_label_of_a_picture_of_nothing(monkeypatch):
  config = a_config(name='prior')
  config['data']['transforms'].append({'name': 'outliers', 'number': 50})
  experiment = prepared(config)
  taught = []

  def stopped(*arguments):
    taught.extend(arguments[-1])
    raise InterruptedError

  monkeypatch.setattr(synthesis.fit, 'fit', stopped)
  question = Question(np.array([250]), experiment.dataset.train.inputs[:1])
  with pytest.raises(InterruptedError):
    experiment.oracle.ask(None, 0, question)
  [pool] = taught
  np.testing.assert_array_equal(
    pool_lib.trainable(pool),
    ~transforms.are_outliers(experiment.dataset.train.ids),
  )
  assert pool_lib.num_trainable(pool) == 200


def test_the_command_refuses_a_config_that_makes_no_queries(capsys, tmp_path):
  status = run_test.call(
    *run_test.ALONE, f'--workdir={tmp_path / "x"}', command=synthesize
  )
  assert status == 1
  assert 'the config generates no queries' in capsys.readouterr().err
  assert not (tmp_path / 'x').exists()
