"""Work that a run does once: systems are built and data are loaded."""

import collections
import types

import numpy as np
import pytest
from sklearn import datasets

from al_jax import data, systems
from al_jax.interfaces import Report
from al_jax.runner import cells, defaults, estimate, grid, identity, runs
from al_jax.runner import config as config_lib
from al_jax.storage import manifest, records
from al_jax.tasks import Metric

FEW = {'name': 'cap', 'train': 90, 'test': 50}
QUIET = cells.How(quiet=True)


def a_config(axes=None, **changes):
  config = defaults.get_config()
  config.systems = ('random', 'margin')
  config.data.transforms = (FEW,)
  config.learner.stop.epochs = 1
  config.protocol.rounds = 2
  config.protocol.first_size = 10
  config.protocol.labels_per_round = 5
  return {
    **manifest.plain_config(config.to_dict()),
    'model': {'name': 'mlp', 'widths': [8]},
    'seeds': 2,
    'grid': axes,
    **changes,
  }


@pytest.fixture
def counted(monkeypatch):
  """How often each system is built, and each data set loaded."""
  counts = collections.Counter()
  build, load = systems.build, data.load

  def counting_build(name, facts, **options):
    counts[name] += 1
    return build(name, facts, **options)

  def counting_load(spec):
    counts[f'{len(spec["transforms"])} transforms'] += 1
    return load(spec)

  monkeypatch.setattr(systems, 'build', counting_build)
  monkeypatch.setattr(data, 'load', counting_load)
  return counts


def finish(workdir, config):
  assert runs.run(config, runs.cells_of(config), workdir, QUIET) == 0


def to_before(config):
  """Renames `test_accuracy`, which was once called `target_accuracy`."""
  proceeding = config['protocol']
  proceeding['target_accuracy'] = proceeding.pop('test_accuracy')


@pytest.fixture(scope='module')
def ended_early(tmp_path_factory):
  """The workdir of a run with an identity of before, and its config."""
  folder = tmp_path_factory.mktemp('ended_early')
  config = a_config(systems=['random'], seeds=1)
  config['data']['transforms'].append({'name': 'validation_split', 'size': 20})
  config['protocol'] |= {'first_set': 'balanced', 'test_accuracy': 0.02}
  identity_of = identity.identity_of

  def identity_of_before(experiment, name):
    found = identity_of(experiment, name)
    to_before(found['config'])
    return found

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(identity, 'identity_of', identity_of_before)
    finish(folder, config)
  return folder, config


def test_the_manifest_counts_labels_that_were_read_and_not_paid_for(
  ended_early,
):
  folder, _ = ended_early
  about = manifest.read(folder / 'manifest.json')
  assert about['labels_seen'] == {
    'validation': 20,
    'balanced_first_set': 90 - 20 - 10,
  }


def test_pictures_of_nothing_have_no_label_to_read():
  config = a_config(systems=['bgadl+entropy'])
  config['data']['transforms'].append({'name': 'outliers', 'number': 30})
  config['synthesis'] = {'name': 'prior'}
  config['protocol']['first_set'] = 'balanced'
  del config['grid']
  found = cells._labels_seen(config_lib.prepare(config))
  assert found['synthesis'] == found['balanced_first_set'] == 90 - 10


def test_a_run_of_before_keeps_its_end_on_the_test_split(ended_early):
  folder, config = ended_early
  about = manifest.read(folder / 'manifest.json')
  del about['finished'], about['digests']
  to_before(about['config'])
  manifest.write(folder / 'manifest.json', about)
  before = records.read_jsonl(folder / 'records.jsonl')
  assert len(before) == 1
  finish(folder, config)
  assert records.read_jsonl(folder / 'records.jsonl') == before


def test_an_experiment_builds_and_loads_once(counted, tmp_path):
  finish(tmp_path, a_config(full_labels=True))
  # With the label budget of a training on all labels it is another system.
  assert counted == {'random': 1 + 1, 'margin': 1, '1 transforms': 1}
  assert len(records.read_jsonl(tmp_path / 'full_labels.jsonl')) == 2


def test_a_dry_run_builds_and_loads_once(counted, capsys):
  runs.describe(runs.cells_of(a_config(systems=['random,margin'])))
  assert counted == {'random': 1, 'margin': 1, '1 transforms': 1}
  said = capsys.readouterr().out
  assert '"systems": [\n    "random",\n    "margin"\n  ]' in said
  assert 'compiling adds about 5 to 40 s per system' in said


def test_a_dry_run_of_a_grid_tells_the_config_once(capsys, monkeypatch):
  batches = {
    'few': {'protocol': {'labels_per_round': 3}},
    'more': {'protocol': {'labels_per_round': 6}},
  }
  monkeypatch.setattr(estimate, '_matrix_rate', lambda: 1e9)
  config = a_config({'batch': batches}, systems=['random'])
  runs.describe(runs.cells_of(config))
  first, more = capsys.readouterr().out.split('\ncell ')[1:]
  assert '"labels_per_round": 3' in first
  assert '  protocol.labels_per_round: 3 -> 6\n' in more
  assert '"data"' not in more and 'MiB for data and state' in more


def test_the_speed_of_products_is_measured_once():
  assert estimate._matrix_rate() == estimate._matrix_rate()


def test_systems_in_one_text_are_a_list_in_the_manifest(tmp_path, capsys):
  config = a_config(systems=['random,margin'], seeds=1)
  path = tmp_path / 'manifest.json'
  finish(tmp_path, config)
  about = manifest.read(path)
  assert about['config']['systems'] == ['random', 'margin']
  # As it was written before.
  about['config']['systems'] = ['random,margin']
  del about['digests']['manifest.json']
  manifest.write(path, about)
  finish(tmp_path, config)
  assert 'holds a finished run' in capsys.readouterr().out


def test_pretrained_weights_cost_one_more_system_each(
  counted, tmp_path, monkeypatch
):
  monkeypatch.setenv('AL_JAX_CACHE_DIR', str(tmp_path / 'cache'))
  pretraining = {'name': 'denoising_autoencoder', 'stop': {'epochs': 1}}
  config = a_config(pretraining=pretraining, systems=['margin'], seeds=1)
  finish(tmp_path / 'run', config)
  # Once for the check before any training, once with the weights.
  assert counted == {'margin': 2, '1 transforms': 1}


def test_cells_of_one_data_set_load_it_once(counted, tmp_path):
  batches = {
    'few': {'protocol': {'labels_per_round': 3}},
    'more': {'protocol': {'labels_per_round': 6}},
  }
  finish(tmp_path, a_config({'batch': batches}, systems=['margin'], seeds=1))
  assert counted == {'margin': 2, '1 transforms': 1}


def test_of_several_data_sets_the_first_is_at_hand_after_the_check(counted):
  noisy = {'transforms': [FEW, {'name': 'redundancy', 'copies': 2}]}
  axes = {
    'batch': {'few': {'protocol': {'labels_per_round': 3}}, 'more': {}},
    'data': {'plain': {}, 'noisy': {'data': noisy}},
  }
  found = grid.cells(a_config(axes))
  assert [cell.name for cell in found] == [
    'few-plain',
    'few-noisy',
    'more-plain',
    'more-noisy',
  ]
  experiments = cells.Experiments()
  for cell in runs._by_data(found):
    experiments.checked(cell)
  assert counted['1 transforms'] == counted['2 transforms'] == 1
  assert counted['margin'] == 4
  experiments.checked(found[0])
  assert counted['1 transforms'] == 1
  for cell in found[1:]:
    experiments.checked(cell)
  # Only one of them is kept at a time, and what was built for each cell.
  assert counted['1 transforms'] == counted['2 transforms'] - 1 == 2
  assert counted['margin'] == 4


def test_systems_of_other_data_are_not_taken_for_these(counted, monkeypatch):
  (cell,) = grid.cells(a_config())
  experiments = cells.Experiments()
  first = experiments.checked(cell)
  assert experiments.checked(cell).built is first.built
  changed = first.dataset.__class__(
    **{**vars(first.dataset), 'fingerprint': 'another'}
  )
  experiments._dataset = changed
  assert experiments.checked(cell).built is not first.built
  assert counted['margin'] == 2


def test_an_estimate_builds_nothing(counted):
  (cell,) = grid.cells(a_config())
  experiment = cells.Experiments().checked(cell)
  counted.clear()
  assert estimate.checkpoint_bytes(experiment, 'margin') > 0
  assert not counted


def test_wine_of_raw_columns_learns_nothing_and_says_so(tmp_path, caplog):
  inputs, targets = datasets.load_wine(return_X_y=True)
  table = tmp_path / 'wine.csv'
  np.savetxt(table, np.c_[inputs, targets], delimiter=',', fmt='%g')
  spec = {'source': f'file:{table}', 'normalize': 'none'}
  config = a_config(data=spec, systems=['random'], seeds=1)
  config['protocol']['rounds'] = 1
  finish(tmp_path / 'run', config)
  said = 'accuracy never exceeds 66.67%, the share of the most frequent class'
  assert said in caplog.text
  assert said in (tmp_path / 'run' / 'summary.txt').read_text()
  about = manifest.read(tmp_path / 'run' / 'manifest.json')
  assert about['data']['normalize'] == 'none'


def reporting(**metrics):
  """An experiment of systems by name that each report a metric."""
  built = {
    name: types.SimpleNamespace(
      learner=types.SimpleNamespace(
        report=metric and Report(None, None, metric)
      )
    )
    for name, metric in metrics.items()
  }
  return types.SimpleNamespace(built=built)


def test_metrics_that_learners_report_are_declared_once():
  gap = Metric('gap', '', False)
  experiment = reporting(a=(gap,), b=None, c=(gap,))
  declared = {'gap': {'unit': '', 'larger_is_better': False}}
  assert cells._report_metrics(experiment, ['a', 'b', 'c']) == declared
  explained = gap._replace(meaning='width of the gap', chance=0.0)
  declared['gap'] |= {'meaning': 'width of the gap', 'chance': 0.0}
  found = cells._report_metrics(reporting(a=(explained,)), ['a'])
  assert found == declared
  assert cells._report_metrics(experiment, ['b']) == {}
  experiment = reporting(a=(gap,), b=(gap._replace(larger_is_better=True),))
  with pytest.raises(ValueError, match="two learners report 'gap' with dif"):
    cells._report_metrics(experiment, ['a', 'b'])
