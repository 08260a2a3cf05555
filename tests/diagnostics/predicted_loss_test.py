"""Predicted and true losses, of a comparison that was really run."""

import json

import numpy as np
import pytest
from absl.testing import flagsaver

from al_jax.commands import report
from al_jax.reporting import data as report_data
from experiments.diagnostics import command, entropy, predicted_loss, runs
from tests.commands import run_test
from tests.reporting.report_runs import Reader

# A strategy by its dotted path: readers see a shorter name.
CHEAT = 'supervised+experiments.diagnostics.cheating.true_loss_that_cheats'
SMALL = (
  '--config=configs/quickstart.py',
  '--nocompilation_cache',
  '--quiet',
  "--config.data.transforms=({'name':'cap','train':100,'test':45},)",
  '--config.model.widths=(16,)',
  '--config.learner.stop.epochs=2',
  '--config.protocol.first_size=20',
  '--config.protocol.labels_per_round=10',
  '--config.protocol.rounds=1',
  '--config.seeds=1',
  '--config.systems=learning_loss',
)


@pytest.fixture(scope='module')
def compared(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'compared'
  assert run_test.call(*SMALL, f'--workdir={folder}') == 0
  return folder


@pytest.fixture(scope='module')
def case(compared):
  (results,) = report_data.read_workdir(compared)
  return runs.open_case(results, lambda line: None)


def test_losses_are_those_of_evenly_spaced_examples(case, monkeypatch):
  monkeypatch.setattr(predicted_loss, '_MOST_EXAMPLES', 20)
  monkeypatch.setattr(predicted_loss, '_LEAST_LOSS', 3.0)
  found = predicted_loss.diagnose(case, runs.Options())
  assert list(found['points']) == ['learning_loss']
  (model,) = runs.models(case, system='learning_loss', num_seeds=1, labels=None)
  test = case.experiment.dataset.test
  rows = [45 * place // 20 for place in range(20)]
  learner = case.program('learning_loss').system.learner
  output = learner.apply(model.learner, np.asarray(test.inputs)[rows])
  logits = np.asarray(output.predictions, np.float64)
  right = logits[np.arange(20), np.asarray(test.targets)[rows]]
  losses = np.log(np.exp(logits).sum(-1)) - right
  predicted = np.asarray(output.extras['predicted_loss'])
  points = found['points']['learning_loss']
  np.testing.assert_allclose(points['x'], predicted, rtol=1e-4, atol=1e-5)
  assert min(losses) < 3 < max(losses)
  np.testing.assert_allclose(points['y'], np.maximum(losses, 3), rtol=1e-4)
  pairs = [
    predicted[i] > predicted[j]
    for i in range(20)
    for j in range(20)
    if losses[i] > losses[j]
  ]
  told = f'{100 * np.mean(pairs):.1f}% of pairs ranked right (chance: 50%)'
  assert told in found['note'] and '20 labels, seed 0' in found['note']
  assert '20 examples of the test split' in found['note']


def test_models_are_trained_once(case):
  options = {'system': 'learning_loss', 'num_seeds': 1, 'labels': None}
  (first,), (second,) = (runs.models(case, **options) for _ in range(2))
  assert first is second


def test_systems_are_built_by_their_whole_names(compared, tmp_path):
  about = json.loads((compared / 'manifest.json').read_text())
  about['config']['strategy'] = {'data': 'digits'}
  about['systems'] = about['config']['systems'] = [CHEAT]
  # As a run of the time before there were checksums.
  del about['digests']
  (tmp_path / 'manifest.json').write_text(json.dumps(about))
  text = (compared / 'records.jsonl').read_text()
  (tmp_path / 'records.jsonl').write_text(text.replace('learning_loss', CHEAT))
  (results,) = report_data.read_workdir(tmp_path)
  assert results.systems == ['supervised+true_loss_that_cheats']
  said = []
  without = runs.open_case(results, said.append)
  assert without.results.systems == [CHEAT]
  assert predicted_loss.diagnose(without, runs.Options()) is None
  assert entropy.diagnose(without, runs.Options()) is None
  assert said == [
    f'left out: {predicted_loss.NAME}; no system predicts losses',
    f'left out: {entropy.NAME}; no system queries by entropy or at random',
  ]


def test_the_report_shows_the_points(compared):
  with flagsaver.as_parsed(workdir=str(compared), only='predicted_loss'):
    assert command.main(['diagnose']) == 0
  page = Reader(report.write_report(compared))
  assert page.says('Predicted and true loss')
  assert page.says('45 examples of the test split')
