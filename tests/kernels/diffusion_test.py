"""The point that diffusion reaches least."""

import functools
import itertools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from al_jax import kernels

N, NEIGHBORS = 30, 8
KINDS = ['reciprocal', 'union']
KEY = jax.random.key(0)
jitted = jax.jit(
  kernels.diffusion_selection,
  static_argnames=('k', 'graph_kind', 'num_iters'),
)
find_neighbors = jax.jit(kernels.knn_graph, static_argnames='k')


def select(key, graph, labeled, k, *, eligible=None, alpha=0.9, **options):
  """Everybody is eligible, and alpha 0.9, so that tests share programs."""
  if eligible is None:
    eligible = np.ones(len(labeled), bool)
  return jax.device_get(
    jitted(key, graph, labeled, k, eligible=eligible, alpha=alpha, **options)
  )


def search(points):
  return jax.device_get(find_neighbors(np.float32(points), NEIGHBORS))


def reference(graph, labeled, k, kind, alpha):
  """Exact solves with the dense matrix, from the formula."""
  neighbors, similarities = graph
  weights = np.zeros((len(neighbors),) * 2)
  rows, places = np.nonzero(neighbors >= 0)
  weights[rows, neighbors[rows, places]] = (
    np.maximum(np.float64(similarities[rows, places]), 0) ** 3
  )
  weights = (
    np.minimum(weights, weights.T)
    if kind == 'reciprocal'
    else weights + weights.T
  )
  degrees = weights.sum(axis=1)
  scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1))
  system = np.eye(len(neighbors)) - alpha * scale[:, None] * weights * scale
  taken, picks, values = labeled.copy(), [], []
  for _ in range(k):
    reach = np.linalg.solve(system, np.float64(taken))
    picks.append(int(np.argmin(np.where(taken, np.inf, reach))))
    values.append(-reach[picks[-1]])
    taken[picks[-1]] = True
  return picks, values


@functools.cache
def problem(seed=0):
  """A connected graph, and a few labelled points in it."""
  rng = np.random.default_rng(seed)
  points = rng.normal(size=(N, 3)) + 1
  labeled = np.arange(N) < 3
  return search(points), labeled


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('seed', range(3))
def test_picks_equal_those_of_exact_solves(seed, kind):
  graph, labeled = problem(seed)
  picks = select(KEY, graph, labeled, 6, graph_kind=kind, num_iters=100)
  indices, values = reference(graph, labeled, 6, kind, 0.9)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_allclose(picks.values, values, rtol=1e-3, atol=1e-5)


def test_a_few_iterations_from_the_last_solve_are_enough():
  graph, labeled = problem()
  picks = select(KEY, graph, labeled, 6, graph_kind='union')
  many = select(KEY, graph, labeled, 6, graph_kind='union', num_iters=100)
  np.testing.assert_array_equal(picks.indices, many.indices)


@hypothesis.given(
  hnp.arrays(np.bool_, N),
  hnp.arrays(np.bool_, N),
  st.sampled_from([1, 6, N + 2]),
  st.integers(0, 2**32 - 1),
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_picks_are_distinct_and_eligible(labeled, eligible, k, seed):
  graph, _ = problem()
  picks = select(jax.random.key(seed), graph, labeled, k, eligible=eligible)
  count = min(k, int(np.sum(eligible & ~labeled)))
  taken = picks.indices[:count].tolist()
  assert len(set(taken)) == count
  assert (eligible & ~labeled)[taken].all()
  np.testing.assert_array_equal(picks.indices[count:], -1)
  np.testing.assert_array_equal(picks.values[count:], -np.inf)
  assert np.isfinite(picks.values[:count]).all()


def test_jit_changes_nothing():
  graph, labeled = problem()
  plain = kernels.diffusion_selection(KEY, graph, labeled, 6, alpha=0.9)
  compiled = select(KEY, graph, labeled, 6)
  np.testing.assert_array_equal(plain.indices, compiled.indices)
  np.testing.assert_allclose(plain.values, compiled.values, rtol=1e-3)


def test_float64_gives_the_same_picks():
  graph, labeled = problem()
  short = select(KEY, graph, labeled, 6)
  with jax.enable_x64(True):
    wide = graph._replace(similarities=np.float64(graph.similarities))
    for same in (graph, wide):
      long = select(KEY, same, labeled, 6)
      assert long.values.dtype == same.similarities.dtype
      np.testing.assert_array_equal(long.indices, short.indices)
      np.testing.assert_allclose(long.values, short.values, rtol=1e-3)


def test_picks_follow_a_permutation_of_the_pool():
  graph, labeled = problem()
  order = np.random.default_rng(1).permutation(N)
  place = np.int32(np.argsort(order))
  moved = kernels.Graph(
    place[graph.neighbors[order]], graph.similarities[order]
  )
  picks = select(KEY, graph, labeled, 6)
  picks_moved = select(KEY, moved, labeled[order], 6)
  np.testing.assert_array_equal(order[picks_moved.indices], picks.indices)


def test_a_point_that_is_picked_is_a_source_from_then_on():
  graph, labeled = problem()
  first = select(KEY, graph, labeled, 6, num_iters=100)
  given = labeled.copy()
  given[first.indices[:2]] = True
  rest = select(KEY, graph, given, 6, num_iters=100)
  np.testing.assert_array_equal(rest.indices[:4], first.indices[2:])


@pytest.mark.parametrize('kind', KINDS)
def test_points_that_nothing_reaches_come_first_in_any_order(kind):
  # Two pairs; one has a labelled point. The other pair is not reached, and
  # neither are the two isolated points at the end.
  graph = kernels.Graph(
    jnp.array([[1], [0], [3], [2], [-1], [-1]]),
    jnp.array([[1.0], [1.0], [1.0], [1.0], [-jnp.inf], [-jnp.inf]]),
  )
  labeled = jnp.arange(6) == 0
  draw = jax.vmap(
    lambda key: kernels.diffusion_selection(
      key, graph, labeled, 5, graph_kind=kind
    )
  )
  picks = jax.device_get(jax.jit(draw)(jax.random.split(KEY, 6_000)))
  # Of 2 and 3 the second is reached once the first is picked.
  outcomes = {
    order
    for order in itertools.permutations([2, 3, 4, 5], 3)
    if not {2, 3} <= set(order)
  }
  assert {tuple(row) for row in picks.indices[:, :3].tolist()} == outcomes
  firsts = np.bincount(picks.indices[:, 0], minlength=6)[2:]
  assert scipy.stats.chisquare(firsts).pvalue > 1e-3
  np.testing.assert_array_equal(picks.values[:, :3], 0)
  assert (picks.values[:, 3:] < 0).all()


def test_without_labels_the_first_pick_is_any_point():
  graph, _ = problem()
  draw = jax.vmap(
    lambda key: kernels.diffusion_selection(
      key, graph, jnp.zeros(N, jnp.bool_), 1
    )
  )
  picks = jax.device_get(jax.jit(draw)(jax.random.split(KEY, 3_000)))
  counts = np.bincount(picks.indices[:, 0], minlength=N)
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_ineligible_points_without_edges_at_the_end_change_nothing():
  graph, labeled = problem()
  more = 7
  wider = kernels.Graph(
    np.pad(graph.neighbors, ((0, more), (0, 0)), constant_values=-1),
    np.pad(graph.similarities, ((0, more), (0, 0)), constant_values=-np.inf),
  )
  labeled = np.pad(labeled, (0, more))
  picks = select(KEY, wider, labeled, 6, eligible=np.arange(N + more) < N)
  indices, _ = reference(graph, labeled[:N], 6, 'reciprocal', 0.9)
  np.testing.assert_array_equal(picks.indices, indices)


def test_duplicates_of_a_labelled_point_come_late():
  points = np.random.default_rng(3).normal(size=(N, 3)) + 1
  points[:4] = points[0]
  labeled = np.arange(N) == 0
  picks = select(KEY, search(points), labeled, 6, graph_kind='union')
  assert (picks.indices >= 4).all()


def test_among_equal_points_picks_are_distinct():
  picks = select(KEY, search(np.ones((N, 3))), np.arange(N) == 0, N + 2)
  assert sorted(picks.indices[: N - 1]) == [*range(1, N)]
  np.testing.assert_array_equal(picks.indices[N - 1 :], -1)


def test_points_that_are_not_finite_are_never_picked():
  points = np.random.default_rng(2).normal(size=(N, 3)).astype(np.float32)
  points[[4, 9]] = np.nan
  picks = select(KEY, search(points), np.arange(N) < 3, N + 2)
  left = [*range(3, 4), *range(5, 9), *range(10, N)]
  assert sorted(picks.indices[: len(left)].tolist()) == left
  np.testing.assert_array_equal(picks.indices[len(left) :], -1)


def test_an_empty_pool_gives_padding_only():
  picks = select(KEY, search(np.zeros((0, 3))), np.zeros(0, bool), 2)
  np.testing.assert_array_equal(picks.indices, [-1, -1])


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    (dict(k=0), 'k is 0; it must be at least 1'),
    (dict(alpha=-0.1), 'alpha is -0.1; it must be at least 0 and below 1'),
    (dict(graph_kind='both'), "graph_kind is 'both'.*reciprocal.*union"),
    (dict(num_iters=0), 'num_iters is 0; it must be at least 1'),
  ],
)
def test_wrong_options_are_errors_that_name_them(wrong, message):
  graph, labeled = problem()
  with pytest.raises(ValueError, match=message):
    kernels.diffusion_selection(KEY, graph, labeled, **{'k': 1} | wrong)


@pytest.mark.parametrize('labeled', [jnp.zeros(N), jnp.zeros(3, jnp.bool_)])
def test_a_mask_of_the_wrong_kind_is_refused(labeled):
  graph, _ = problem()
  with pytest.raises(ValueError, match='labeled must be a bool mask'):
    kernels.diffusion_selection(KEY, graph, labeled, 1)
