"""Whole runs on tasks other than classes: a vector, and a class with a box."""

import jax
import numpy as np
import pytest
from sklearn import datasets

from al_jax import oracle, tasks
from al_jax import pool as pool_lib
from al_jax.data.dataset import Dataset, Split
from al_jax.loop import program
from al_jax.loop.protocol import Protocol
from al_jax.storage import records
from tests.factories import a_system
from tests.loop.runs import an_oracle, run

PROTOCOL = Protocol(rounds=3, labels_per_round=40, first_size=20)
LEARNER = {
  'batch_size': 20,
  'stop': {'epochs': 60},
  'optimizer': {'learning_rate': 0.01},
}


def a_dataset(task, inputs, targets, num_test, num_validation=0):
  """A data set whose first examples are the test split."""
  ids = np.arange(len(inputs))
  ends = num_test, num_test + num_validation

  def split(rows):
    of_rows = jax.tree.map(lambda leaf: leaf[rows], targets)
    return Split(inputs[rows], of_rows, rows)

  test, validation, train = np.split(ids, ends)
  return Dataset(
    name=task.describe(),
    train=split(train),
    test=split(test) if num_test else None,
    validation=split(validation) if num_validation else None,
    task=task,
    mean=inputs[train].mean(axis=0),
    std=inputs[train].std(axis=0) + 1e-3,
    fingerprint='by hand',
    is_image=False,
    normalize='feature',
  )


def diabetes(**sizes):
  """Progression of a disease by ten measurements: real, and small."""
  found = datasets.load_diabetes(scaled=False)
  order = np.random.default_rng(0).permutation(len(found.target))
  inputs = found.data[order].astype(np.float32)
  targets = found.target[order, None].astype(np.float32)
  return a_dataset(tasks.Vector(1, scale=100.0), inputs, targets, **sizes)


def digit_and_box(rng, number):
  """Real digits somewhere in a larger picture: which one, and where."""
  digits = datasets.load_digits()
  rows = rng.permutation(len(digits.target))[:number]
  corners = rng.integers(0, 9, size=(number, 2))
  inputs = np.zeros((number, 16 * 16), np.float32)
  for canvas, image, (left, top) in zip(
    inputs, digits.images[rows], corners, strict=True
  ):
    canvas.reshape(16, 16)[top : top + 8, left : left + 8] = image
  targets = {
    'digit': digits.target[rows].astype(np.int32),
    'box': np.hstack([corners, corners + 8]).astype(np.float32),
  }
  task = tasks.Mixed(
    {'digit': tasks.numbered(10), 'box': tasks.Box(scale=16.0)}
  )
  return a_dataset(task, inputs, targets, num_test=100)


def compiled(dataset, name, **options):
  facts = program.facts_of(dataset, PROTOCOL.budget)
  learner = {**LEARNER, **options.pop('learner', {})}
  system = a_system(name, facts=facts, learner=learner, **options)
  return program.compile_program(
    system, program.sources_of(dataset), dataset.train.ids, chunk_size=100
  )


@pytest.fixture(scope='module')
def vector():
  dataset = diabetes(num_test=80, num_validation=40)
  return (dataset, None), compiled(dataset, 'core_set')


def test_the_error_of_a_vector_goes_down_and_records_have_no_classes(vector):
  task, margin = vector
  rows, ended = run(task, margin, PROTOCOL)
  assert ended == {0: 'all rounds are over'}
  assert [row.labels for row in rows] == [20, 60, 100]
  assert rows[-1].test['rmse'] < rows[0].test['rmse']
  assert set(rows[0].test) == {'rmse', 'mae', 'r2'}
  assert set(rows[0].train) == {'loss', 'mae'}
  assert rows[0].test_class_accuracy == rows[0].pick_classes == []
  lines = [records.RoundRecord.from_json(row.to_json()) for row in rows]
  assert lines == rows


def test_targets_that_are_never_revealed_change_nothing(vector):
  (dataset, _), system = vector
  clean, _ = run(vector[0], system, PROTOCOL)
  unknown = np.ones(len(dataset.train), bool)
  unknown[[pick for row in clean for pick in row.picks]] = False
  poison = dataset.train.targets.copy()
  first = first_set(vector)
  unknown[first] = False
  poison[unknown] = 1e30
  answers = oracle.SimulatedOracle(poison, dataset.task)
  poisoned, _ = run(vector[0], system, PROTOCOL, answers=answers)
  for a, b in zip(clean, poisoned, strict=True):
    assert records.deterministic(a) == records.deterministic(b)


def first_set(vector):
  from al_jax.loop import beginning

  task, system = vector
  state = beginning.begin(system, an_oracle(task), PROTOCOL, seed=0)
  return np.flatnonzero(np.asarray(pool_lib.trainable(state.pool)))


def test_patience_goes_by_the_loss_of_the_task():
  dataset = diabetes(num_test=80, num_validation=40)
  system = compiled(
    dataset, 'random', learner={'stop': {'epochs': 400, 'patience': 3}}
  )
  rows, _ = run((dataset, None), system, PROTOCOL)
  assert all(0 < row.steps < 400 * row.labels / 20 for row in rows)
  assert set(rows[0].validation) == {'rmse', 'mae', 'r2'}


def test_a_class_and_a_box_are_learnt_together(rng):
  dataset = digit_and_box(rng, 500)
  rows, _ = run((dataset, None), compiled(dataset, 'k_means'), PROTOCOL)
  first, last = rows[0].test, rows[-1].test
  assert last['digit.accuracy'] > first['digit.accuracy']
  assert last['box.rmse'] < first['box.rmse']
  assert len(rows[0].test_class_accuracy) == 10
  assert sum(rows[0].pick_classes) == 40
  assert set(rows[0].train) == {'loss', 'digit.accuracy', 'box.mae'}


def test_dropout_networks_that_disagree_are_asked_about(rng):
  dataset = digit_and_box(rng, 300)
  system = compiled(
    dataset, 'variance', dropout=0.2, strategy={'num_samples': 5}
  )
  rows, _ = run((dataset, None), system, PROTOCOL)
  assert rows[-1].test['box.rmse'] < rows[0].test['box.rmse']


def test_gradient_embeddings_of_a_vector_are_refused_with_the_reason():
  with pytest.raises(ValueError, match='as if the likeliest class were true'):
    compiled(diabetes(num_test=80), 'badge')


def test_without_a_test_split_a_run_has_no_test_metrics():
  dataset = diabetes(num_test=0, num_validation=40)
  rows, _ = run((dataset, None), compiled(dataset, 'random'), PROTOCOL)
  assert [row.test for row in rows] == [{}, {}, {}]
  assert rows[0].validation['rmse'] > 0


@pytest.mark.parametrize('learner', ['joint', 'ceal', 'label_propagation'])
def test_learners_that_need_classes_say_so(learner):
  dataset = diabetes(num_test=80)
  with pytest.raises(ValueError, match=f'{learner}.* needs classes; the task'):
    compiled(dataset, f'{learner}+random')


def test_no_training_accuracy_can_be_reached_on_a_vector():
  dataset = diabetes(num_test=80)
  with pytest.raises(ValueError, match='loss and mae and no accuracy'):
    compiled(
      dataset, 'random', learner={'stop': {'epochs': 5, 'train_accuracy': 0.9}}
    )
