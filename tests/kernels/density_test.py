"""How dense the pool is around a point."""

import functools
import itertools

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from al_jax import kernels

N = 20
KEY = jax.random.key(0)
weigh_jitted = jax.jit(kernels.information_density)
select_jitted = jax.jit(kernels.graph_density, static_argnames='k')
find_neighbors = jax.jit(kernels.knn_graph, static_argnames=('k', 'metric'))
# Subnormal numbers count as 0 in compiled programs.
any_points = hnp.arrays(
  np.float32,
  (N, 3),
  elements=st.floats(-5, 5, width=32, allow_subnormal=False),
)
any_mask = hnp.arrays(np.bool_, N)


def weigh(points, scores, *, eligible=None, beta=1.0):
  """Everybody is eligible, so that tests share programs."""
  if eligible is None:
    eligible = np.ones(len(scores), bool)
  return np.asarray(weigh_jitted(points, scores, eligible=eligible, beta=beta))


def select(key, graph, k, *, eligible=None, gamma=0.5):
  if eligible is None:
    eligible = np.ones(len(graph.neighbors), bool)
  return jax.device_get(
    select_jitted(key, graph, k, eligible=eligible, gamma=gamma)
  )


def search(points):
  return jax.device_get(find_neighbors(points, 4, metric='manhattan'))


def reference_information_density(points, scores, eligible, beta):
  points = np.float64(points)
  lengths = np.linalg.norm(points, axis=1, keepdims=True)
  unit = points / np.where(lengths > 0, lengths, 1)
  similarities = (1 + unit @ unit.T) / 2
  if eligible.any():
    density = similarities[:, eligible].mean(axis=1)
  else:
    density = np.full(len(points), 0.5)
  return scores * density**beta


def reference_graph_density(graph, k, gamma, eligible):
  """From a dense matrix of edges; ties by lowest index."""
  neighbors, similarities = graph
  weights = np.zeros((len(neighbors),) * 2)
  for row, place in np.argwhere(neighbors >= 0):
    weight = np.exp(gamma * np.float64(similarities[row, place]))
    weights[row, neighbors[row, place]] = weight
    weights[neighbors[row, place], row] = weight
  edges = weights > 0
  density = weights.sum(axis=1) / np.maximum(edges.sum(axis=1), 1)
  left, picks, values = eligible.copy(), [], []
  for _ in range(min(k, left.sum())):
    pick = int(np.argmax(np.where(left, density, -np.inf)))
    picks.append(pick)
    values.append(density[pick])
    density = np.where(edges[pick], density - density[pick], density)
    left[pick] = False
  return picks, values


def pool(seed=0, num_points=N):
  points = np.random.default_rng(seed).normal(size=(num_points, 3))
  return points.astype(np.float32)


@functools.cache
def manhattan_graph(seed=0):
  return search(pool(seed))


@hypothesis.given(any_points, any_mask, st.sampled_from([0.0, 0.5, 1.0, 2.0]))
@hypothesis.settings(deadline=None, max_examples=60)
def test_scores_are_weighted_by_the_mean_similarity(points, eligible, beta):
  scores = np.linspace(0, 1, N, dtype=np.float32)
  expected = reference_information_density(points, scores, eligible, beta)
  weighted = weigh(points, scores, eligible=eligible, beta=beta)
  np.testing.assert_allclose(weighted, expected, rtol=1e-4, atol=1e-3)


def test_everybody_is_eligible_by_default():
  scores = np.linspace(0, 1, N, dtype=np.float32)
  np.testing.assert_array_equal(
    weigh_jitted(pool(), scores), weigh(pool(), scores)
  )


def test_factors_have_the_density_of_the_points_multiplied_out():
  rng = np.random.default_rng(1)
  factors = kernels.Factors(
    rng.normal(size=(N, 3)).astype(np.float32),
    rng.normal(size=(N, 4)).astype(np.float32),
  )
  multiplied = np.einsum('nc,nd->ncd', *factors).reshape(N, -1)
  eligible = rng.random(N) < 0.7
  scores = np.ones(N, np.float32)
  np.testing.assert_allclose(
    weigh(factors, scores, eligible=eligible),
    reference_information_density(multiplied, scores, eligible, 1.0),
    rtol=1e-5,
  )


def test_jit_changes_nothing():
  scores = np.linspace(0, 1, N, dtype=np.float32)
  np.testing.assert_allclose(
    kernels.information_density(pool(), scores),
    weigh(pool(), scores),
    rtol=1e-6,
  )
  plain = kernels.graph_density(KEY, manhattan_graph(), 6, gamma=0.5)
  compiled = select(KEY, manhattan_graph(), 6)
  np.testing.assert_array_equal(plain.indices, compiled.indices)
  np.testing.assert_allclose(plain.values, compiled.values, rtol=1e-5)


def test_density_follows_a_permutation_of_the_pool():
  order = np.random.default_rng(2).permutation(N)
  scores = np.linspace(0, 1, N, dtype=np.float32)
  np.testing.assert_allclose(
    weigh(pool()[order], scores[order]),
    weigh(pool(), scores)[order],
    rtol=1e-5,
  )


def test_a_mask_of_the_mean_equals_the_subset():
  scores = np.linspace(0, 1, N, dtype=np.float32)
  eligible = np.arange(N) % 3 > 0
  np.testing.assert_allclose(
    weigh(pool(), scores, eligible=eligible)[eligible],
    reference_information_density(
      pool()[eligible], scores[eligible], eligible[eligible], 1.0
    ),
    rtol=1e-5,
  )


def test_the_length_of_a_point_does_not_matter():
  lengths = np.geomspace(1e-30, 1e30, N, dtype=np.float32)[:, None]
  np.testing.assert_allclose(
    weigh(pool() * lengths, np.ones(N, np.float32)),
    weigh(pool(), np.ones(N, np.float32)),
    rtol=1e-5,
  )


def test_equal_points_are_as_dense_as_can_be_and_zeros_half_so():
  same = np.full((N, 3), 0.3, np.float32)
  np.testing.assert_allclose(weigh(same, np.ones(N, np.float32)), 1, rtol=1e-6)
  np.testing.assert_array_equal(weigh(same * 0, np.ones(N, np.float32)), 0.5)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_point_that_is_not_finite_has_no_value_and_no_say(bad):
  points = pool()
  points[7, 1] = bad
  weighted = weigh(points, np.ones(N, np.float32))
  assert np.isnan(weighted[7])
  np.testing.assert_allclose(
    np.delete(weighted, 7),
    weigh(pool(), np.ones(N, np.float32), eligible=np.arange(N) != 7)[
      np.arange(N) != 7
    ],
    rtol=1e-5,
  )


def test_float64_and_short_floats_give_the_same_density():
  scores = np.linspace(0, 1, N, dtype=np.float32)
  short = weigh(pool(), scores)
  with jax.enable_x64(True):
    long = weigh(np.float64(pool()), np.float64(scores))
    assert long.dtype == jnp.float64
  np.testing.assert_allclose(long, short, rtol=1e-5)
  half = kernels.information_density(
    jnp.asarray(pool(), jnp.bfloat16), jnp.asarray(scores, jnp.bfloat16)
  )
  chex.assert_type(half, jnp.float32)
  np.testing.assert_allclose(half, short, atol=0.02)


@hypothesis.given(
  st.integers(0, 2**32 - 1), any_mask, st.sampled_from([1, 6, N + 2])
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_graph_picks_equal_the_reference(seed, eligible, k):
  graph = manhattan_graph(seed % 5)
  picks = select(jax.random.key(seed), graph, k, eligible=eligible, gamma=0.5)
  indices, values = reference_graph_density(graph, k, 0.5, eligible)
  np.testing.assert_array_equal(picks.indices[: len(indices)], indices)
  np.testing.assert_allclose(
    picks.values[: len(values)], values, rtol=1e-4, atol=1e-5
  )
  np.testing.assert_array_equal(picks.indices[len(indices) :], -1)
  np.testing.assert_array_equal(picks.values[len(values) :], -np.inf)


def test_without_gamma_the_mean_distance_is_the_unit():
  graph = manhattan_graph()
  picks = select(KEY, graph, 6, gamma=None)
  scaled = graph._replace(similarities=graph.similarities * 100)
  of_scaled = select(KEY, scaled, 6, gamma=None)
  np.testing.assert_array_equal(of_scaled.indices, picks.indices)
  unit = 1 / -np.mean(graph.similarities)
  np.testing.assert_allclose(
    picks.values, select(KEY, graph, 6, gamma=float(unit)).values, rtol=1e-5
  )


def test_float64_gives_the_same_graph_picks():
  graph = manhattan_graph()
  short = select(KEY, graph, 6)
  with jax.enable_x64(True):
    wide = graph._replace(similarities=np.float64(graph.similarities))
    for same in (graph, wide):
      long = select(KEY, same, 6)
      assert long.values.dtype == same.similarities.dtype
      np.testing.assert_array_equal(long.indices, short.indices)
      np.testing.assert_allclose(long.values, short.values, rtol=1e-4)


def test_graph_picks_follow_a_permutation_of_the_pool():
  graph = manhattan_graph()
  order = np.random.default_rng(3).permutation(N)
  place = np.int32(np.argsort(order))
  moved = kernels.Graph(
    place[graph.neighbors[order]], graph.similarities[order]
  )
  np.testing.assert_array_equal(
    order[select(KEY, moved, 6).indices], select(KEY, graph, 6).indices
  )


def test_equally_dense_points_are_picked_in_any_order():
  # Three pairs: once a point is picked, the other of its pair is at 0.
  graph = kernels.Graph(
    jnp.array([[1], [0], [3], [2], [5], [4]]), jnp.full((6, 1), -1.0)
  )
  draw = jax.vmap(lambda key: kernels.graph_density(key, graph, 2).indices)
  picks = np.asarray(jax.jit(draw)(jax.random.split(KEY, 12_000)))
  outcomes = [
    pair
    for pair in itertools.permutations(range(6), 2)
    if pair[0] // 2 != pair[1] // 2
  ]
  seen, counts = np.unique(picks, axis=0, return_counts=True)
  assert [tuple(row) for row in seen.tolist()] == sorted(outcomes)
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_ineligible_points_without_edges_at_the_end_change_nothing():
  graph = manhattan_graph()
  wider = kernels.Graph(
    np.pad(graph.neighbors, ((0, 7), (0, 0)), constant_values=-1),
    np.pad(graph.similarities, ((0, 7), (0, 0)), constant_values=-np.inf),
  )
  picks = select(KEY, wider, 6, eligible=np.arange(N + 7) < N)
  same = select(KEY, graph, 6)
  np.testing.assert_array_equal(picks.indices, same.indices)
  np.testing.assert_allclose(picks.values, same.values, rtol=1e-5)


def test_duplicates_are_kept_apart_and_what_is_not_finite_is_left_out():
  # Four copies of five points: a point and its copies are neighbours.
  points = np.repeat(pool()[:5] * 100, 4, axis=0)
  points[7] = np.inf
  picks = select(KEY, search(points), N + 2)
  assert {index // 4 for index in picks.indices[:5]} == {*range(5)}
  left = np.delete(np.arange(N), 7)
  np.testing.assert_array_equal(sorted(picks.indices[: N - 1]), left)
  np.testing.assert_array_equal(picks.indices[N - 1 :], -1)


def test_equal_points_are_all_picked_once():
  picks = select(KEY, search(np.ones((N, 3), np.float32)), N + 2)
  assert sorted(picks.indices[:N]) == [*range(N)]
  assert np.isfinite(picks.values[:N]).all()


def test_a_point_without_edges_has_density_zero():
  nobody = kernels.Graph(
    np.full((N, 4), -1, np.int32), np.full((N, 4), -np.inf, np.float32)
  )
  picks = select(KEY, nobody, 6)
  assert len({*picks.indices}) == 6
  np.testing.assert_array_equal(picks.values, 0)


def test_empty_pools_have_empty_results():
  empty = np.zeros((0, 3), np.float32)
  chex.assert_shape(weigh(empty, np.zeros(0, np.float32)), (0,))
  picks = select(KEY, search(empty), 6)
  np.testing.assert_array_equal(picks.indices, [-1] * 6)


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    (dict(k=0), 'k is 0; it must be at least 1'),
    (dict(gamma=0.0), 'gamma is 0.0; it must be above 0'),
  ],
)
def test_wrong_options_are_errors_that_name_them(wrong, message):
  with pytest.raises(ValueError, match=message):
    kernels.graph_density(KEY, manhattan_graph(), **{'k': 1} | wrong)


@pytest.mark.parametrize(
  'wrong',
  [
    dict(scores=jnp.zeros(N, jnp.int32)),
    dict(scores=jnp.zeros(N + 1)),
    dict(eligible=jnp.ones(N)),
  ],
  ids=['integer scores', 'other shape', 'float mask'],
)
def test_arguments_of_the_wrong_kind_are_refused(wrong):
  with pytest.raises(ValueError, match=r'scores must be|eligible must be'):
    kernels.information_density(
      **{'points': pool(), 'scores': jnp.zeros(N)} | wrong
    )
