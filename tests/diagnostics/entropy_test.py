"""Entropy ranks and pretraining, of a comparison that was really run."""

import numpy as np
import pytest
from absl.testing import flagsaver

from al_jax import pool as pool_lib
from al_jax.commands import report
from al_jax.reporting import data as report_data
from al_jax.runner import result_files
from experiments.diagnostics import command, entropy, runs
from tests.commands import run_test
from tests.reporting.report_runs import Reader

SYSTEMS = ('random', 'joint', 'ceal', 'margin')
SMALL = (
  '--config=configs/quickstart.py',
  '--nocompilation_cache',
  '--quiet',
  "--config.data.transforms=({'name':'cap','train':200,'test':60},)",
  '--config.model.widths=(16,)',
  '--config.learner.stop.epochs=30',
  '--config.pretraining.name=denoising_autoencoder',
  "--config.pretraining.stop={'epochs':4}",
  '--config.protocol.first_size=20',
  '--config.protocol.labels_per_round=10',
  '--config.protocol.rounds=3',
  '--config.protocol.save_every_steps=2',
  '--config.seeds=2',
  f'--config.systems={",".join(SYSTEMS)}',
)


@pytest.fixture(scope='module')
def compared(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'compared'
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('AL_JAX_CACHE_DIR', str(tmp_path_factory.mktemp('cache')))
    assert run_test.call(*SMALL, f'--workdir={folder}') == 0
    yield folder


@pytest.fixture(scope='module')
def case(compared):
  (setting,) = report_data.read_workdir(compared)
  return runs.open_case(setting, lambda line: None)


def test_systems_that_ask_by_entropy_or_at_random_are_looked_at(case):
  assert entropy.systems_of(case) == ['random', 'joint', 'ceal']


@pytest.mark.parametrize('name', SYSTEMS)
def test_a_model_of_any_learner_is_that_of_the_run(case, name):
  compiled = case.program(name)
  rows = case.rounds(name)[1]
  model = runs.train(case, compiled, 1, 2)
  metrics, _ = compiled.evaluate(None, model.learner)
  assert float(metrics['accuracy']) == rows[2].test['accuracy']


def test_error_rates_are_those_of_equal_parts_by_entropy(case):
  found = entropy.measure(case, num_seeds=1, labels=None)
  assert list(found['series']) == ['random', 'joint', 'ceal']
  (model,) = runs.models(case, system='joint', num_seeds=1, labels=None)
  learner = case.program('joint').system.learner
  train = case.experiment.dataset.train
  where = np.asarray(pool_lib.eligible(model.pool))
  logits = np.asarray(
    learner.apply(model.learner, train.inputs[where]).predictions, np.float64
  )
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  order = np.argsort((probs * np.log(probs)).sum(-1), kind='stable')
  is_wrong = logits.argmax(-1) != np.asarray(train.targets)[where]
  # 160 unlabelled in 20 parts.
  expected = is_wrong[order].reshape(20, 8).mean(axis=1)
  np.testing.assert_allclose(found['series']['joint']['mean'], expected)
  assert found['x'][0] == 0.025 and found['x'][-1] == 0.975
  assert 'joint with 40 labels, seed 0' in found['note']


def test_the_report_shows_ranks_and_pretraining(compared):
  with flagsaver.as_parsed(workdir=str(compared), only='entropy', seeds='1'):
    assert command.main(['diagnose']) == 0
  with flagsaver.as_parsed(workdir=str(compared)):
    assert report.main(['report']) == 0
  page = Reader(compared / 'report.html')
  for title in ('Error rate by entropy rank', 'Pretraining: loss'):
    assert page.says(title)
  rows = result_files.read_pretraining(compared)['pretraining: loss']
  # Four epochs of two steps, looked at wherever the training was saved.
  np.testing.assert_array_equal(rows.curves['loss'].labels, [1, 2, 3, 4])
  assert rows.curves['loss'].mean[-1] < rows.curves['loss'].mean[0]


def test_what_is_no_pretraining_is_said_in_one_line(tmp_path):
  (tmp_path / 'pretraining.jsonl').write_text('{"loss": 1}\n')
  with pytest.raises(ValueError, match='holds no rows of a pretraining'):
    result_files.read_pretraining(tmp_path)
