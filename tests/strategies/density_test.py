import numpy as np
import pytest

from al_jax.strategies import entropy, graph_density, information_density
from tests.strategies.linear_network import (
  WEIGHTS,
  D,
  K,
  N,
  choose,
  pool_with,
  softmax,
)

ASKED = [3, 17, 5]
ELIGIBLE = np.delete(np.arange(N), ASKED)
NEIGHBOURS = 10
BY_GRAPH = graph_density(num_neighbours=NEIGHBOURS)


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def best(scores):
  return ELIGIBLE[np.argsort(-scores[ELIGIBLE])][:K]


@pytest.mark.parametrize('beta', [1.0, 4.0])
def test_entropy_counts_by_the_mean_similarity_to_the_eligible(inputs, beta):
  probs = softmax(inputs @ WEIGHTS)
  entropies = -np.sum(probs * np.log(probs), axis=1)
  unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
  density = ((1 + unit @ unit[ELIGIBLE].T) / 2).mean(axis=1)
  picks = choose(information_density(beta=beta), inputs, pool_with(ASKED))
  np.testing.assert_array_equal(picks, best(entropies * density**beta))


def test_without_any_weight_of_the_density_it_is_entropy(inputs):
  pool = pool_with(ASKED)
  np.testing.assert_array_equal(
    choose(information_density(beta=0), inputs, pool),
    choose(entropy(), inputs, pool),
  )


def reference_graph_picks(points, eligible, k):
  """Manhattan neighbours, gamma 1 / D; a pick lowers those it is joined to."""
  dists = np.abs(points[:, None] - points[None]).sum(axis=-1)
  np.fill_diagonal(dists, np.inf)
  lists = np.zeros_like(dists, bool)
  order = np.argsort(dists, axis=1)[:, :NEIGHBOURS]
  np.put_along_axis(lists, order, True, axis=1)
  joined = lists | lists.T
  weights = np.where(joined, np.exp(-dists / points.shape[1]), 0)
  density = weights.sum(axis=1) / joined.sum(axis=1)
  left, picks = list(eligible), []
  for _ in range(k):
    pick = left[np.argmax(density[left])]
    density[joined[pick]] -= density[pick]
    left.remove(pick)
    picks.append(pick)
  return picks


def test_graph_density_is_greedy_on_the_manhattan_graph(inputs):
  picks = choose(BY_GRAPH, inputs, pool_with(ASKED))
  wanted = reference_graph_picks(inputs.astype(np.float64), ELIGIBLE, K)
  np.testing.assert_array_equal(picks, wanted)


def test_the_graph_has_what_was_measured_and_nothing_else(inputs):
  where = np.arange(N) % 2 == 0
  picks = choose(BY_GRAPH, inputs, pool_with([4, 6]), where=where)
  points = inputs[::2].astype(np.float64)
  eligible = np.delete(np.arange(N // 2), [2, 3])
  wanted = 2 * np.array(reference_graph_picks(points, eligible, K))
  np.testing.assert_array_equal(picks, wanted)


def test_more_neighbours_than_there_are_is_all_others(inputs):
  pool = pool_with(ASKED)
  np.testing.assert_array_equal(
    choose(graph_density(num_neighbours=N - 1), inputs, pool),
    choose(graph_density(num_neighbours=1000), inputs, pool),
  )


def test_options_that_make_no_sense_are_refused():
  with pytest.raises(ValueError, match='beta is -1; it must be a number'):
    information_density(beta=-1)
  with pytest.raises(
    ValueError, match='num_neighbours is 0; it must be a whole'
  ):
    graph_density(num_neighbours=0)
