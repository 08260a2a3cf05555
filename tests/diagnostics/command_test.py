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
from experiments.benchmarks import timing
from experiments.diagnostics import bald, command, entropy, expected_error, runs
from tests.commands import run_test
from tests.reporting.report_runs import Reader

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
  assert run_test.call(*SMALL, f'--workdir={folder}') == 0
  return folder


@pytest.fixture(scope='module')
def case(compared):
  (setting,) = report_data.read_workdir(compared)
  return runs.open_case(setting, lambda line: None)


@pytest.fixture(scope='module')
def models(case):
  return runs.models(case, num_seeds=5, labels=None)


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
  monkeypatch.setattr(bald, 'NUM_SAMPLES', (2, 8))
  monkeypatch.setattr(expected_error, 'NUM_CANDIDATES', (20, 40))
  monkeypatch.setattr(expected_error, '_ENOUGH_SECONDS', 0.0)


def told_by(capsys, **flags):
  with flagsaver.as_parsed(**flags):
    assert command.main(['diagnose']) == 1
  error = capsys.readouterr().err
  assert error.count('\n') == 1
  return error


def test_a_model_is_that_of_the_run(case):
  # Warm starts: each round's network depends on all before it.
  compiled = case.program('bald')
  for seed, rows in case.rounds('bald').items():
    last = rows[ROUNDS - 2]
    model = runs.train(case, compiled, seed, last.round)
    assert model.labels == last.labels
    key = keys.for_round(seed, last.round, keys.EVALUATE)
    metrics, _ = compiled.evaluate(key, model.learner)
    assert {name: float(value) for name, value in metrics.items()} == last.test
    # It asks what the run asked, and nothing else.
    key = keys.for_round(seed, last.round, keys.MEASURE)
    measured, seen = compiled.strategy.measure(key, model.learner, None)
    key = keys.for_round(seed, last.round, keys.SELECT)
    _, selection = compiled.strategy.strategy.select(
      key, (), measured, seen, model.pool, ASKED
    )
    assert selection.indices.tolist() == last.picks


def test_models_are_as_many_as_asked_for_and_have_as_many_labels(case, models):
  assert [(model.seed, model.labels) for model in models] == [(0, 50), (1, 50)]
  assert {model.system for model in models} == {'random'}
  assert all(np.sum(~pool_lib.eligible(model.pool)) == 50 for model in models)
  (model,) = runs.models(case, num_seeds=1, labels=45)
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
  found = bald.measure(case, [model], num_samples=(samples,), most_points=1000)
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
    for half in bald._halves(key, samples)
  ]
  correlation = np.corrcoef(*map(ranks, scores))[0, 1]
  top = [set(np.argsort(each)[-ASKED:]) for each in scores]
  spearman, common = found['series'].values()
  assert 0.05 < correlation < 0.99
  np.testing.assert_allclose(spearman['mean'], correlation, atol=1e-3)
  assert common['mean'] == [len(top[0] & top[1]) / ASKED]
  assert np.isnan(spearman['standard_error']).all()


def test_the_same_samples_agree(case, models, monkeypatch):
  monkeypatch.setattr(bald, '_halves', lambda key, count: [key, key])
  found = bald.measure(case, models, num_samples=(2,), most_points=100)
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

  def select(key, state, measured, seen, pool, k):
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
  found = expected_error.measure(
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

  monkeypatch.setattr(timing, 'seconds_of', seconds_of)
  found = expected_error.measure(
    case, models[0], num_candidates=(5, 10, 20, 40), most_seconds=401.0
  )
  assert found['x'] == [5, 10, 20]
  (series,) = found['series'].values()
  assert series['mean'] == [25, 100, 400]
  assert '200 of the pool would take 40,000 s' in found['note']


def test_expected_error_takes_the_least_time_of_enough_repeats(
  case, models, asked_of, monkeypatch
):
  def seconds_of(call):
    call()
    return next(times)

  monkeypatch.setattr(timing, 'seconds_of', seconds_of)
  for enough, repeats in ((9.0, 3), (9.5, 4)):
    monkeypatch.setattr(expected_error, '_ENOUGH_SECONDS', enough)
    # The first compiles and does not count.
    times = iter([1, 4, 3, 2, 9])
    asked_of.clear()
    found = expected_error.measure(
      case, models[0], num_candidates=(5,), most_seconds=0.0
    )
    (series,) = found['series'].values()
    assert series['mean'] == [2] and len(asked_of) == 1 + repeats


def test_what_is_measured_is_in_the_report_and_can_be_cleared(
  copied, quick, capsys
):
  with flagsaver.as_parsed(
    workdir=str(copied), most_points='60', most_seconds='5'
  ):
    assert command.main(['diagnose']) == 0
  said = capsys.readouterr().out
  assert str(copied / 'diagnostics.json') in said
  for of in json.loads((copied / 'diagnostics.json').read_text()).values():
    assert set(of['measured']) == {
      'date',
      'command',
      'device',
      'cores',
      'load',
    }
  (setting,) = report_data.read_workdir(copied)
  assert list(setting.diagnostics) == [
    entropy.NAME,
    bald.NAME,
    expected_error.NAME,
  ]
  reader = Reader(report.write_report(copied))
  for text in (
    'Spearman',
    "Expected error's cost",
    '60 unlabelled examples',
    'load 0.5',
  ):
    assert reader.says(text), text
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
    command.diagnose(copied, only=['expected_error'])
    found = json.loads(path.read_text())
    assert expected_error.NAME in found
    assert ('other' in found) == stays
    assert bald.NAME not in found


def change_manifest(folder, change):
  """Of a run of the time before there were checksums."""
  path = folder / 'manifest.json'
  about = json.loads(path.read_text())
  about.pop('digests', None)
  change(about)
  path.write_text(json.dumps(about))


def test_without_dropout_there_is_nothing_to_correlate(copied, quick, capsys):
  change_manifest(
    copied, lambda about: about['config']['model'].update(dropout=0.0)
  )
  records = (copied / 'records.jsonl').read_text().splitlines()
  asks = [line for line in records if '"system": "random"' in line]
  (copied / 'records.jsonl').write_text('\n'.join(asks[:2]) + '\n')
  command.diagnose(copied, only=['bald'])
  said = capsys.readouterr().out
  assert said.count('the model has no dropout') == 1
  assert not (copied / 'diagnostics.json').exists()


def test_what_cannot_be_diagnosed_is_one_line(copied, quick, capsys):
  where = str(copied)
  assert "'bold' is not known. Did you mean 'bald'" in told_by(
    capsys, workdir=where, only='bold'
  )
  assert '--only is empty' in told_by(capsys, workdir=where, only='')
  path = copied / 'records.jsonl'
  text = path.read_text()
  path.write_text(text.replace('"accuracy": 0.', '"accuracy": 0.1', 1))
  assert 'records.jsonl has changed' in told_by(capsys, workdir=where)
  path.write_text(text)
  assert '--labels is 5; the seeds of random in run have 20 labels' in told_by(
    capsys, workdir=where, labels='5', only='bald'
  )
  assert 'is no folder' in told_by(capsys, workdir=where + '/nothing')
  change_manifest(copied, lambda about: about['data'].update(fingerprint='x'))
  assert 'those of the run had x' in told_by(capsys, workdir=where)
  change_manifest(copied, lambda about: about.update(config={'seeds': 'two'}))
  assert 'the config has no field' in told_by(capsys, workdir=where)
  change_manifest(copied, lambda about: about.update(data={}))
  assert "damaged: data has no 'name'" in told_by(capsys, workdir=where)
  (copied / 'manifest.json').unlink()
  assert 'manifest.json has no config' in told_by(capsys, workdir=where)
