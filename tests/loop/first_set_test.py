"""Which examples are labelled before round 0."""

import dataclasses

import jax
import numpy as np
import pytest

from al_jax import keys, oracle
from al_jax.learners import pretraining
from al_jax.loop import beginning
from al_jax.loop.protocol import Protocol
from tests.factories import a_task
from tests.loop import runs
from tests.loop.rounds_test import deterministic

SIZE = 12
PROTOCOL = Protocol(rounds=2, labels_per_round=10, first_size=SIZE)


@pytest.fixture(scope='module')
def task():
  return a_task()


@pytest.fixture(scope='module')
def compiled(task):
  return runs.compiled(task, 'random')


def first_of(compiled, first_set, *, size=SIZE, seed=0, **options):
  """The first set that is proposed, without an oracle."""
  protocol = dataclasses.replace(PROTOCOL, first_set=first_set, first_size=size)
  state = beginning.propose_first(compiled, None, protocol, seed, **options)
  return state.pending[state.pending >= 0].tolist()


def farthest_first(features, first, size):
  """The reference: each point is the farthest from those before."""
  points = np.asarray(features, np.float64)
  picks = [first]
  while len(picks) < size:
    distances = np.linalg.norm(points[:, None] - points[picks], axis=-1)
    picks.append(int(np.argmax(distances.min(axis=1))))
  return picks


def test_the_first_of_the_pool_come_in_its_order(compiled):
  assert first_of(compiled, 'first') == list(range(SIZE))


@pytest.mark.parametrize('seed', [0, 1])
def test_centers_are_spread_in_given_features(compiled, seed):
  features = np.random.default_rng(0).normal(size=(160, 3))
  found = first_of(compiled, 'k_center', seed=seed, features=features)
  assert found == farthest_first(features, found[0], SIZE)


def test_the_first_center_is_drawn_as_a_set_of_one_would_be(compiled):
  features = np.random.default_rng(0).normal(size=(160, 3))
  drawn = []
  for seed in range(4):
    (first,) = first_of(compiled, 'uniform', size=1, seed=seed)
    spread = first_of(compiled, 'k_center', seed=seed, features=features)
    assert spread[0] == first
    alone = first_of(compiled, 'k_center', size=1, seed=seed, features=features)
    assert alone == [first]
    drawn.append(first)
  assert len(set(drawn)) > 1


def test_without_features_the_starting_network_embeds(task, compiled):
  dataset, _ = task
  learner = compiled.system.learner
  state = learner.init(keys.for_run(0, keys.INITIALISE))
  embedding = learner.apply(state, dataset.train.inputs).embedding
  found = first_of(compiled, 'k_center')
  assert found == farthest_first(embedding, found[0], SIZE)
  assert found != first_of(compiled, 'k_center', seed=1)


def test_pretrained_weights_embed(task, compiled):
  variables = compiled.init(jax.random.key(7)).network.variables
  weights = pretraining.without_head(variables)
  pretrained = runs.compiled(task, 'random', pretrained=weights)
  dataset, _ = task
  learner = compiled.system.learner
  state = compiled.init(jax.random.key(7))
  embedding = learner.apply(state, dataset.train.inputs).embedding
  found = first_of(pretrained, 'k_center')
  assert found == farthest_first(embedding, found[0], SIZE)


@pytest.mark.parametrize('first_set', ['first', 'k_center'])
def test_labels_that_are_never_revealed_change_nothing(
  task, compiled, first_set
):
  dataset, _ = task
  protocol = dataclasses.replace(PROTOCOL, first_set=first_set)
  clean, _ = runs.run(task, compiled, protocol)
  revealed = first_of(compiled, first_set) + clean[0].picks
  assert [row.labels for row in clean] == [SIZE, len(revealed)]
  poison = (dataset.train.targets + 3) % 10
  poison[revealed] = dataset.train.targets[revealed]
  answers = oracle.SimulatedOracle(poison, dataset.task)
  poisoned, _ = runs.run(task, compiled, protocol, answers=answers)
  assert deterministic(clean) == deterministic(poisoned)


def test_given_features_reach_a_run(task, compiled):
  protocol = dataclasses.replace(PROTOCOL, first_set='k_center', rounds=1)
  features = np.random.default_rng(0).normal(size=(160, 3))
  given, _ = runs.run(task, compiled, protocol, features=features)
  embedded, _ = runs.run(task, compiled, protocol)
  assert given[0].test != embedded[0].test
  with pytest.raises(ValueError, match=r'features are .*\[3, 2\]'):
    runs.run(task, compiled, protocol, features=np.zeros((3, 2)))
  with pytest.raises(ValueError, match="'uniform'; only 'k_center'"):
    runs.run(task, compiled, PROTOCOL, features=features)
