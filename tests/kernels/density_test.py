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
weigh = jax.jit(kernels.information_density)
select = jax.jit(kernels.graph_density, static_argnames='k')
any_points = hnp.arrays(np.float32, (N, 3), elements=st.floats(-5, 5, width=32))
any_mask = hnp.arrays(np.bool_, N)


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
  neighbors, similarities = map(np.asarray, graph)
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
  return kernels.knn_graph(pool(seed), 4, metric='manhattan')


@hypothesis.given(any_points, any_mask, st.sampled_from([0.0, 0.5, 1.0, 2.0]))
@hypothesis.settings(deadline=None, max_examples=60)
def test_scores_are_weighted_by_the_mean_similarity(points, eligible, beta):
  scores = np.linspace(0, 1, N, dtype=np.float32)
  expected = reference_information_density(points, scores, eligible, beta)
  weighted = weigh(points, scores, eligible=eligible, beta=jnp.float32(beta))
  np.testing.assert_allclose(weighted, expected, rtol=1e-4, atol=1e-3)


def test_nothing_but_the_scores_counts_at_beta_zero():
  scores = np.linspace(0, 1, N, dtype=np.float32)
  np.testing.assert_array_equal(
    kernels.information_density(pool(), scores, beta=0.0), scores
  )


def test_everybody_is_eligible_by_default():
  everybody = np.ones(N, bool)
  np.testing.assert_array_equal(
    weigh(pool(), jnp.ones(N)), weigh(pool(), jnp.ones(N), eligible=everybody)
  )


def test_factors_have_the_density_of_the_points_multiplied_out():
  rng = np.random.default_rng(1)
  factors = kernels.Factors(
    rng.normal(size=(N, 3)).astype(np.float32),
    rng.normal(size=(N, 4)).astype(np.float32),
  )
  multiplied = np.einsum('nc,nd->ncd', *factors).reshape(N, -1)
  eligible = rng.random(N) < 0.7
  np.testing.assert_allclose(
    weigh(factors, jnp.ones(N), eligible=eligible),
    weigh(multiplied, jnp.ones(N), eligible=eligible),
    rtol=1e-5,
  )


def test_jit_changes_nothing():
  scores = jnp.linspace(0, 1, N)
  np.testing.assert_allclose(
    kernels.information_density(pool(), scores),
    weigh(pool(), scores),
    rtol=1e-6,
  )
  plain = kernels.graph_density(KEY, manhattan_graph(), 5)
  compiled = select(KEY, manhattan_graph(), 5)
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
    weigh(pool()[eligible], scores[eligible]),
    rtol=1e-5,
  )


def test_the_length_of_a_point_does_not_matter():
  lengths = np.geomspace(1e-30, 1e30, N, dtype=np.float32)[:, None]
  np.testing.assert_allclose(
    weigh(pool() * lengths, jnp.ones(N)), weigh(pool(), jnp.ones(N)), rtol=1e-5
  )


def test_equal_points_are_as_dense_as_can_be_and_zeros_half_so():
  same = np.full((N, 3), 0.3, np.float32)
  np.testing.assert_allclose(weigh(same, jnp.ones(N)), 1, rtol=1e-6)
  np.testing.assert_array_equal(weigh(same * 0, jnp.ones(N)), 0.5)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_point_that_is_not_finite_has_no_value_and_no_say(bad):
  points = pool()
  points[7, 1] = bad
  weighted = weigh(points, jnp.ones(N))
  assert np.isnan(weighted[7])
  np.testing.assert_allclose(
    np.delete(weighted, 7),
    weigh(np.delete(points, 7, axis=0), jnp.ones(N - 1)),
    rtol=1e-5,
  )


def test_float64_and_short_floats_give_the_same_density():
  scores = np.linspace(0, 1, N, dtype=np.float32)
  short = weigh(pool(), scores)
  with jax.enable_x64(True):
    long = kernels.information_density(np.float64(pool()), np.float64(scores))
    assert long.dtype == jnp.float64
  np.testing.assert_allclose(long, short, rtol=1e-5)
  half = kernels.information_density(
    jnp.asarray(pool(), jnp.bfloat16), jnp.asarray(scores, jnp.bfloat16)
  )
  chex.assert_type(half, jnp.float32)
  np.testing.assert_allclose(half, short, atol=0.02)


def test_density_needs_no_pair_of_points_and_no_product_of_factors():
  num_points = 20_000
  points = kernels.Factors(
    jax.ShapeDtypeStruct((num_points, 10), jnp.float32),
    jax.ShapeDtypeStruct((num_points, 20), jnp.float32),
  )
  scores = jax.ShapeDtypeStruct((num_points,), jnp.float32)
  compiled = weigh.lower(points, scores).compile()
  # The factors have 2.4 MB, multiplied out 16 MB.
  assert compiled.memory_analysis().temp_size_in_bytes < 10e6


@hypothesis.given(
  st.integers(0, 2**32 - 1), any_mask, st.sampled_from([1, 6, N + 2])
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_graph_picks_equal_the_reference(seed, eligible, k):
  graph = manhattan_graph(seed % 5)
  picks = select(
    jax.random.key(seed), graph, k, eligible=eligible, gamma=jnp.float32(0.5)
  )
  indices, values = reference_graph_density(graph, k, 0.5, eligible)
  np.testing.assert_array_equal(picks.indices[: len(indices)], indices)
  np.testing.assert_allclose(
    picks.values[: len(values)], values, rtol=1e-4, atol=1e-5
  )
  np.testing.assert_array_equal(picks.indices[len(indices) :], -1)
  np.testing.assert_array_equal(picks.values[len(values) :], -np.inf)


def test_without_gamma_the_mean_distance_is_the_unit():
  graph = manhattan_graph()
  picks = select(KEY, graph, 5)
  scaled = graph._replace(similarities=graph.similarities * 100)
  np.testing.assert_array_equal(select(KEY, scaled, 5).indices, picks.indices)
  unit = 1 / -np.mean(graph.similarities)
  np.testing.assert_allclose(
    picks.values, select(KEY, graph, 5, gamma=unit).values, rtol=1e-5
  )


def test_float64_gives_the_same_graph_picks():
  graph = manhattan_graph()
  short = select(KEY, graph, 6)
  with jax.enable_x64(True):
    wide = graph._replace(similarities=np.float64(graph.similarities))
    for same in (graph, wide):
      long = kernels.graph_density(KEY, same, 6)
      np.testing.assert_array_equal(long.indices, short.indices)
      np.testing.assert_allclose(long.values, short.values, rtol=1e-4)


def test_graph_picks_follow_a_permutation_of_the_pool():
  graph = manhattan_graph()
  order = np.random.default_rng(3).permutation(N)
  place = jnp.argsort(order)
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


def test_duplicates_are_kept_apart_and_points_without_edges_have_density_zero():
  points = np.array([[0.0]] * 3 + [[4.0]] * 3 + [[np.inf]], np.float32)
  graph = kernels.knn_graph(points, 2, metric='manhattan')
  picks = select(KEY, graph, 7)
  assert {index // 3 for index in picks.indices[:2].tolist()} == {0, 1}
  # The point that is not finite is never picked.
  assert sorted(picks.indices[:6].tolist()) == [*range(6)]
  assert picks.indices[6] == -1
  alone = kernels.graph_density(
    KEY, kernels.knn_graph(points[:1], 2, metric='manhattan'), 1
  )
  np.testing.assert_array_equal(alone.indices, [0])
  np.testing.assert_array_equal(alone.values, [0])


def test_empty_pools_have_empty_results():
  empty = jnp.zeros((0, 2))
  chex.assert_shape(kernels.information_density(empty, jnp.zeros(0)), (0,))
  graph = kernels.knn_graph(empty, 2, metric='manhattan')
  np.testing.assert_array_equal(
    kernels.graph_density(KEY, graph, 2).indices, [-1, -1]
  )


def test_a_graph_of_numpy_arrays_will_do():
  graph = manhattan_graph()
  plain = kernels.Graph(*map(np.asarray, graph))
  np.testing.assert_array_equal(
    kernels.graph_density(KEY, plain, 2).indices,
    kernels.graph_density(KEY, graph, 2).indices,
  )


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
  with pytest.raises(AssertionError):
    kernels.information_density(
      **{'points': pool(), 'scores': jnp.zeros(N)} | wrong
    )


def test_the_kernels_lower_for_cpu_cuda_and_tpu():
  platforms = ('cpu', 'cuda', 'tpu')
  export = functools.partial(jax.export.export, platforms=platforms)
  density = export(weigh)(pool(), jnp.zeros(N))
  assert density.platforms == platforms
  picks = export(jax.jit(functools.partial(kernels.graph_density, k=3)))
  assert picks(KEY, manhattan_graph()).platforms == platforms
