"""The binary, on a small comparison that was really run."""

import json
import shutil

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from al_jax import keys, strategies
from al_jax import pool as pool_lib
from al_jax.commands import report
from al_jax.reporting import data as report_data
from al_jax.storage import workdir
from experiments import diagnose
from experiments.benchmarks import costs
from experiments.benchmarks import timing as benchmark_kernels_timing
from experiments.benchmarks.timing import Machine
from experiments.diagnostics import bald as diagnose_bald
from experiments.diagnostics import clusters as diagnose_clusters
from experiments.diagnostics import costs as diagnose_costs
from experiments.diagnostics import entropy as diagnose_entropy
from experiments.diagnostics import expected_error as diagnose_expected_error
from experiments.diagnostics import floors as diagnose_floors
from experiments.diagnostics import passes as diagnose_passes
from experiments.diagnostics import runs as diagnose_runs
from experiments.diagnostics import timing as diagnose_timing
from tests.reporting.report_runs import Reader, rows_of
from tests.runner import session_test

MACHINE = Machine(1e11, 1e10)
SYSTEMS = ('random', 'weighted_k_means', 'bald')
POOL, FIRST, ASKED, ROUNDS = 200, 20, 10, 4
SMALL = (
  '--config=configs/quickstart.py',
  '--nocompilation_cache',
  '--quiet',
  f"--config.data.transforms=({{'name':'cap','train':{POOL},'test':60}},)",
  '--config.model.widths=(16,)',
  '--config.model.dropout=0.2',
  '--config.learner.stop.epochs=6',
  '--config.learner.weights=warm',
  f'--config.protocol.first_size={FIRST}',
  f'--config.protocol.labels_per_round={ASKED}',
  f'--config.protocol.rounds={ROUNDS}',
  '--config.seeds=2',
  f'--config.systems={",".join(SYSTEMS)}',
  '--config.strategy.num_iters=3',
)


@pytest.fixture(scope='module')
def compared(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'compared'
  assert session_test.call('compare', *SMALL, f'--workdir={folder}') == 0
  return folder


@pytest.fixture(scope='module')
def case(compared):
  (setting,) = report_data.read_workdir(compared)
  return diagnose_runs.open_case(setting, lambda line: None)


@pytest.fixture(scope='module')
def models(case):
  return diagnose_runs.models(case, num_seeds=5, labels=None)


@pytest.fixture
def copied(compared, tmp_path):
  """A copy without checkpoints, to write to."""
  folder = tmp_path / 'run'
  ignored = shutil.ignore_patterns('checkpoints', '*.png')
  shutil.copytree(compared, folder, ignore=ignored)
  return folder


@pytest.fixture
def quick(monkeypatch):
  """Measures little, on what it takes for an idle machine."""
  monkeypatch.setattr('os.getloadavg', lambda: (0.5, 0.5, 0.5))
  monkeypatch.setattr(
    benchmark_kernels_timing, 'measure_machine', lambda repeats: (MACHINE, [])
  )
  monkeypatch.setattr(diagnose_bald, 'NUM_SAMPLES', (2, 8))
  monkeypatch.setattr(diagnose_expected_error, 'NUM_CANDIDATES', (20, 40))
  monkeypatch.setattr(diagnose_timing, '_ENOUGH_SECONDS', 0.0)


def told_by(capsys, **flags):
  with flagsaver.as_parsed(**flags):
    assert diagnose.main(['diagnose']) == 1
  error = capsys.readouterr().err
  assert error.count('\n') == 1
  return error


def test_a_model_is_that_of_the_run(case):
  # Warm starts: each round's network depends on all before it.
  compiled = case.program('bald')
  for seed, rows in case.rounds('bald').items():
    last = rows[ROUNDS - 2]
    model = diagnose_runs.train(case, compiled, seed, last.round)
    assert model.labels == last.labels
    key = keys.for_round(seed, last.round, keys.EVALUATE)
    metrics, _ = compiled.evaluate(key, model.learner)
    assert {name: float(value) for name, value in metrics.items()} == last.test
    # It asks what the run asked, and nothing else.
    key = keys.for_round(seed, last.round, keys.MEASURE)
    measured = compiled.stage.measure(key, model.learner, None)
    key = keys.for_round(seed, last.round, keys.SELECT)
    _, selection = compiled.stage.strategy.select(
      key, (), measured, model.pool, ASKED
    )
    assert selection.indices.tolist() == last.picks


def test_models_are_as_many_as_asked_for_and_have_as_many_labels(case, models):
  assert [(model.seed, model.labels) for model in models] == [(0, 50), (1, 50)]
  assert {model.system for model in models} == {'random'}
  assert all(np.sum(~pool_lib.eligible(model.pool)) == 50 for model in models)
  (model,) = diagnose_runs.models(case, num_seeds=1, labels=45)
  assert (model.labels, model.round) == (40, 2)


def ranks(values):
  return np.argsort(np.argsort(values))


def bald_by_hand(logits):
  """[S, N, C] to [N]."""
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

  def entropy(of):
    return -(of * np.log(of)).sum(-1)

  return entropy(probs.mean(0)) - entropy(probs).mean(0)


def test_the_correlation_by_hand(case, models):
  samples, model = 3, models[1]
  found = diagnose_bald.measure(
    case, [model], num_samples=(samples,), most_points=1000
  )
  where = np.asarray(pool_lib.eligible(model.pool))
  learner = case.program('random').system.learner
  inputs = case.experiment.dataset.train.inputs[where]
  key = keys.for_round(model.seed, model.round, keys.MEASURE)
  scores = [
    bald_by_hand(
      np.asarray(
        learner.apply(
          model.learner, inputs, keys=jax.random.split(half, samples)
        ).predictions,
        np.float64,
      )
    )
    for half in diagnose_bald._halves(key, samples)
  ]
  correlation = np.corrcoef(*map(ranks, scores))[0, 1]
  top = [set(np.argsort(each)[-ASKED:]) for each in scores]
  spearman, common = found['series'].values()
  assert 0.05 < correlation < 0.99
  np.testing.assert_allclose(spearman['mean'], correlation, atol=1e-3)
  assert common['mean'] == [len(top[0] & top[1]) / ASKED]
  assert np.isnan(spearman['standard_error']).all()


def test_the_same_samples_agree(case, models, monkeypatch):
  monkeypatch.setattr(diagnose_bald, '_halves', lambda key, count: [key, key])
  found = diagnose_bald.measure(case, models, num_samples=(2,), most_points=100)
  # A correlation with itself is 1 but for the rounding of its sums.
  for series in found['series'].values():
    assert series == {
      'mean': [pytest.approx(1, abs=1e-12)],
      'standard_error': [pytest.approx(0, abs=1e-12)],
    }
  assert '100 unlabelled' in found['note'] and 'seeds 0, 1' in found['note']


@pytest.fixture
def asked_of(monkeypatch):
  """What a strategy in the place of expected error reduction was shown."""
  shown = []
  true = strategies.expected_error_reduction()

  def select(key, state, measured, pool, k):
    shown.append((measured[0].shape, pool.num_examples, k))
    return ()

  monkeypatch.setattr(
    strategies,
    'expected_error_reduction',
    lambda: true._replace(select=select),
  )
  return shown


def test_expected_error_has_as_many_candidates_as_it_says(
  case, models, asked_of, quick
):
  found = diagnose_expected_error.measure(
    case, models[0], num_candidates=(5, 30, 1000, 2000), most_seconds=60.0
  )
  # 200 examples, of which 50 have labels.
  assert found['x'] == [5, 30, 150]
  assert set(asked_of) == {
    ((size, 16), size, min(size, ASKED)) for size in found['x']
  }
  (series,) = found['series'].values()
  assert len(series['mean']) == 3 and min(series['mean']) > 0


def test_expected_error_stops_before_it_takes_too_long(
  case, models, asked_of, monkeypatch
):
  def seconds_of(call):
    call()
    return float(asked_of[-1][1] ** 2)

  monkeypatch.setattr(benchmark_kernels_timing, 'seconds_of', seconds_of)
  found = diagnose_expected_error.measure(
    case, models[0], num_candidates=(5, 10, 20, 40), most_seconds=401.0
  )
  assert found['x'] == [5, 10, 20]
  (series,) = found['series'].values()
  assert series['mean'] == [25, 100, 400]
  assert '200 of the pool would take 40,000 s' in found['note']


def test_what_a_strategy_reads_of_the_network(case):
  def read(name):
    system = case.program(name).system
    return diagnose_passes.outputs_read(
      system.strategy, system.learner, system.facts
    )

  assert {
    name: read(name) for name in (*SYSTEMS, 'margin', 'core_set', 'albl')
  } == {
    'random': (),
    'margin': ('predictions',),
    'core_set': ('embedding',),
    'weighted_k_means': ('embedding', 'predictions'),
    'bald': (),
    'albl': ('embedding', 'predictions'),
  }


def test_iterations_are_as_many_as_the_picks_need(case):
  name = 'weighted_k_means'
  compiled, row = case.program(name), case.rounds(name)[0][1]
  options = diagnose_costs.options_of(name, {'num_iters': 3})
  found = diagnose_clusters.iterations(case, compiled, row, name, options)
  model = diagnose_runs.train(case, compiled, 0, 1)
  measured = compiled.stage.measure(jax.random.key(0), model.learner, None)

  def picks(num_iters):
    strategy = strategies.weighted_k_means(num_iters=num_iters)
    key = keys.for_round(0, 1, keys.SELECT)
    _, selection = strategy.select(key, (), measured, model.pool, ASKED)
    return selection.indices.tolist()

  assert 0 < found <= 3
  assert picks(found) == row.picks != picks(found - 1)


def test_every_system_has_floors(case, quick, monkeypatch):
  monkeypatch.setattr(
    diagnose_passes,
    'seconds',
    lambda case, learner, looks: {look: float(hash_of(look)) for look in looks},
  )
  found = diagnose_floors.measure(case, MACHINE)
  assert list(found) == list(SYSTEMS)
  # In the middle of three rounds with questions.
  assert {(of['labels'], of['asked']) for of in found.values()} == {(30, 10)}
  assert found['random']['measure'] is None
  both = ('embedding', 'predictions')
  assert found['weighted_k_means']['measure'] == hash_of((POOL, both, 0))
  assert found['bald']['measure'] == hash_of((POOL, (), 100))
  for of in found.values():
    assert of['select'] == pytest.approx(sum(of['kernels'].values()))
  assert found['random']['select'] == MACHINE.least(
    costs.uniform(num_points=POOL, k=ASKED)
  )


def hash_of(look):
  points, outputs, samples = look
  return points + len(''.join(outputs)) + 1000 * samples


def test_of_candidates_both_looks_and_choices_count(case):
  config = {
    **case.experiment.config,
    'subset_size': 100,
    'prefilter': {'name': 'entropy', 'size': 25},
  }
  some = diagnose_runs.Case(
    case.setting, case.experiment._replace(config=config), lambda line: None
  )
  asking = [row for row in some.rounds('random')[0].values() if row.picks]
  system = diagnose_floors._system(some, 'core_set', asking)
  # What was asked about is looked at too.
  assert system.looks == [
    (100 + 30, ('predictions',), 0),
    (25 + 30, ('embedding',), 0),
  ]
  kernels = diagnose_floors._kernels(some, system, MACHINE)
  assert kernels == {
    'entropy: top_k': MACHINE.least(
      costs.top_k(num_points=130, k=25, random_ties=True)
    ),
    'k_center': MACHINE.least(
      costs.k_center(num_points=55, num_features=16, k=10, num_centers=30)
    ),
  }


def test_the_least_time_of_turns(monkeypatch):
  times = iter([9, 9, 5, 1, 4, 2, 3, 3])
  called = []

  def seconds_of(call):
    called.append(call())
    return next(times)

  monkeypatch.setattr(benchmark_kernels_timing, 'seconds_of', seconds_of)
  monkeypatch.setattr(diagnose_timing, '_ENOUGH_SECONDS', 5)
  found = diagnose_timing.least_in_turns({'a': lambda: 1, 'b': lambda: 2})
  # The first of each compiles; b has not taken 5 seconds before the third.
  assert found == {'a': 3, 'b': 1}
  assert called == [1, 2] * 4


def test_a_pass_takes_time_and_many_take_longer(case, quick):
  learner = case.program('random').system.learner
  once = diagnose_passes.Look(POOL, ('embedding', 'predictions'), 0)
  often = diagnose_passes.Look(POOL - 10, (), 5000)
  found = diagnose_passes.seconds(case, learner, [once, often])
  assert 0 < found[once] < found[often]


def test_what_is_measured_is_in_the_report_and_can_be_cleared(
  copied, quick, capsys
):
  with flagsaver.as_parsed(
    workdir=str(copied), most_points='60', most_seconds='5'
  ):
    assert diagnose.main(['diagnose']) == 0
  said = capsys.readouterr().out
  for name in ('diagnostics.json', 'floors.json'):
    assert str(copied / name) in said
  about = json.loads((copied / 'floors.json').read_text())
  assert about['machine'] == MACHINE._asdict()
  assert set(about['measured']) == {
    'date',
    'command',
    'device',
    'cores',
    'load',
  }
  (setting,) = report_data.read_workdir(copied)
  assert list(setting.floors.systems) == list(SYSTEMS)
  assert list(setting.diagnostics) == [
    diagnose_entropy.NAME,
    diagnose_bald.NAME,
    diagnose_expected_error.NAME,
  ]
  reader = Reader(report.write_report(copied))
  for text in (
    'its floor',
    'at 100 GF/s',
    'Spearman',
    "Expected error's cost",
    '60 unlabelled examples',
    'load 0.5',
  ):
    assert reader.says(text), text
  rows = rows_of(copied / 'report' / 'run_floors.csv')
  assert [row['system'] for row in rows] == list(SYSTEMS)
  for row in rows[1:]:
    for part in ('measure', 'select'):
      floor = getattr(setting.floors.systems[row['system']], part)
      assert float(row[f'{part}_floor']) == floor
      assert float(row[f'{part}_ratio']) == pytest.approx(
        float(row[part]) / floor
      )
  assert np.isnan(float(rows[0]['measure_ratio']))
  with workdir.Workdir(copied) as place:
    place.overwrite()
  left = {path.name for path in copied.iterdir()}
  assert left == {'.al_jax.json', '.lock'}


def test_what_is_not_measured_again_stays_unless_it_is_damaged(copied, quick):
  path = copied / 'diagnostics.json'
  other = {'x_label': 'a', 'y_label': 'b', 'x': [1], 'series': {'c': {}}}
  other['series']['c']['mean'] = [2]
  for text, stays in ((json.dumps({'other': other}), True), ('{', False)):
    path.write_text(text)
    diagnose.diagnose(copied, only=['expected_error'])
    found = json.loads(path.read_text())
    assert diagnose_expected_error.NAME in found
    assert ('other' in found) == stays
    assert diagnose_bald.NAME not in found
  assert not (copied / 'floors.json').exists()


def change_manifest(folder, change):
  path = folder / 'manifest.json'
  about = json.loads(path.read_text())
  change(about)
  path.write_text(json.dumps(about))


def test_without_dropout_there_is_nothing_to_correlate(copied, quick, capsys):
  change_manifest(
    copied, lambda about: about['config']['model'].update(dropout=0.0)
  )
  records = (copied / 'records.jsonl').read_text().splitlines()
  asks = [line for line in records if '"system": "random"' in line]
  (copied / 'records.jsonl').write_text('\n'.join(asks[:2]) + '\n')
  diagnose.diagnose(copied, only=['bald'])
  said = capsys.readouterr().out
  assert said.count('the model has no dropout') == 1
  assert not (copied / 'diagnostics.json').exists()


def test_what_cannot_be_diagnosed_is_one_line(copied, quick, capsys):
  where = str(copied)
  assert "'bold' is not known. Did you mean 'bald'" in told_by(
    capsys, workdir=where, only='bold'
  )
  assert '--only is empty' in told_by(capsys, workdir=where, only='')
  assert '--labels is 5; the seeds of random in run have 20 labels' in told_by(
    capsys, workdir=where, labels='5', only='bald'
  )
  assert 'is no folder' in told_by(capsys, workdir=where + '/nothing')
  change_manifest(copied, lambda about: about['data'].update(fingerprint='x'))
  assert 'those of the run had x' in told_by(capsys, workdir=where)
  (copied / 'manifest.json').unlink()
  assert 'manifest.json has no config' in told_by(capsys, workdir=where)


def test_a_wrong_flag_is_one_line(capsys):
  with flagsaver.flagsaver(), pytest.raises(SystemExit):
    diagnose.parse_flags(['diagnose', '--seeds=0'])
  error = capsys.readouterr().err
  assert error.count('\n') == 1 and '--seeds=0' in error
