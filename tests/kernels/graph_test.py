"""Exact nearest neighbours, themselves excluded."""

import functools

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.neighbors

from al_jax import kernels
from al_jax.kernels import graph as graph_module

METRICS = ['cosine', 'dot', 'euclidean', 'manhattan']
every_metric = pytest.mark.parametrize('metric', METRICS)
jitted = jax.jit(kernels.knn_graph, static_argnames=('k', 'metric', 'block'))
# Of small whole numbers products are exact, and many tie.
any_points = hnp.arrays(
  np.float32, (9, 2), elements=st.integers(-3, 3).map(float)
)


def reference(points, k, metric):
  """All similarities, sorted: among equals the lowest index comes first."""
  points = np.asarray(points, np.float64)
  lengths = np.linalg.norm(points, axis=1, keepdims=True)
  unit = points / np.where(lengths > 0, lengths, 1)
  differences = points[:, None] - points[None]
  similarities = {
    'cosine': unit @ unit.T,
    'dot': points @ points.T,
    'euclidean': -np.sqrt(np.sum(differences**2, axis=-1)),
    'manhattan': -np.sum(np.abs(differences), axis=-1),
  }[metric]
  np.fill_diagonal(similarities, -np.inf)
  padded = np.pad(similarities, ((0, 0), (0, k)), constant_values=-np.inf)
  neighbors = np.argsort(-padded, axis=1, kind='stable')[:, :k]
  nearest = np.take_along_axis(padded, neighbors, axis=1)
  return np.where(nearest > -np.inf, neighbors, -1), nearest


@pytest.fixture
def points():
  """Enough of them for the search in two stages."""
  rng = np.random.default_rng(0)
  return rng.normal(size=(1000, 20)).astype(np.float32)


@hypothesis.given(
  any_points,
  st.sampled_from(['dot', 'euclidean', 'manhattan']),
  st.sampled_from([1, 8, 11]),
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_neighbors_and_ties_equal_the_reference(points, metric, k):
  graph = jitted(points, k, metric=metric, block=4)
  neighbors, similarities = reference(points, k, metric)
  np.testing.assert_array_equal(graph.neighbors, neighbors)
  np.testing.assert_allclose(graph.similarities, similarities, rtol=1e-6)


@every_metric
def test_similarities_are_right_and_belong_to_their_neighbors(metric, points):
  graph = jitted(points, 5, metric=metric)
  neighbors, similarities = reference(points, 5, metric)
  np.testing.assert_array_equal(graph.neighbors, neighbors)
  np.testing.assert_allclose(
    graph.similarities, similarities, rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize('metric', ['cosine', 'euclidean', 'manhattan'])
def test_neighbors_equal_those_of_scikit_learn(metric, points):
  search = sklearn.neighbors.NearestNeighbors(
    algorithm='brute', metric=metric
  ).fit(points)
  distances, neighbors = search.kneighbors(n_neighbors=5)
  graph = jitted(points, 5, metric=metric)
  np.testing.assert_array_equal(graph.neighbors, neighbors)
  offset = 1 if metric == 'cosine' else 0
  np.testing.assert_allclose(
    graph.similarities, offset - distances, rtol=1e-5, atol=1e-5
  )


@pytest.mark.parametrize('metric', ['dot', 'euclidean'])
def test_ties_across_chunks_go_to_the_lowest_index(metric):
  rng = np.random.default_rng(1)
  points = rng.integers(-1, 2, (1000, 3)).astype(np.float32)
  neighbors, _ = reference(points, 5, metric)
  np.testing.assert_array_equal(
    jitted(points, 5, metric=metric).neighbors, neighbors
  )


@every_metric
@pytest.mark.parametrize('block', [7, 5000])
def test_the_block_changes_nothing(block, metric, points):
  whole = jitted(points, 5, metric=metric)
  graph = jitted(points, 5, metric=metric, block=block)
  np.testing.assert_array_equal(graph.neighbors, whole.neighbors)
  chex.assert_trees_all_close(graph, whole, rtol=1e-5, atol=1e-6)


def test_the_chunk_changes_nothing(points, monkeypatch):
  whole = jitted(points, 5)
  for chunk in (3, 40, 1000):
    monkeypatch.setattr(graph_module, '_CHUNK', chunk)
    graph = jax.jit(functools.partial(kernels.knn_graph, k=5))(points)
    np.testing.assert_array_equal(graph.neighbors, whole.neighbors)


@every_metric
def test_jit_changes_nothing(metric):
  points = np.random.default_rng(2).normal(size=(40, 4)).astype(np.float32)
  chex.assert_trees_all_close(
    kernels.knn_graph(points, 3, metric=metric),
    jitted(points, 3, metric=metric),
    rtol=1e-5,
  )


@every_metric
def test_neighbors_follow_a_permutation_of_the_pool(metric, points):
  order = np.random.default_rng(3).permutation(len(points))
  graph = jitted(points, 5, metric=metric)
  moved = jitted(points[order], 5, metric=metric)
  np.testing.assert_array_equal(order[moved.neighbors], graph.neighbors[order])


@every_metric
def test_float64_gives_the_same_neighbors(metric, points):
  short = jitted(points, 5, metric=metric)
  with jax.enable_x64(True):
    long = kernels.knn_graph(points.astype(np.float64), 5, metric=metric)
  chex.assert_type(
    [long.neighbors, long.similarities], [jnp.int32, jnp.float32]
  )
  np.testing.assert_array_equal(long.neighbors, short.neighbors)
  chex.assert_trees_all_close(long, short, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('metric', METRICS[:-1])
def test_factors_have_the_neighbors_of_the_points_multiplied_out(metric):
  rng = np.random.default_rng(4)
  factors = kernels.Factors(
    rng.normal(size=(300, 3)).astype(np.float32),
    rng.normal(size=(300, 4)).astype(np.float32),
  )
  multiplied = np.einsum('nc,nd->ncd', *factors).reshape(300, -1)
  graph = jitted(factors, 4, metric=metric)
  whole = jitted(multiplied, 4, metric=metric)
  np.testing.assert_array_equal(graph.neighbors, whole.neighbors)
  chex.assert_trees_all_close(graph, whole, rtol=1e-4, atol=1e-5)


@every_metric
def test_a_point_is_excluded_by_index_also_among_its_duplicates(metric):
  # The first search result of any of them may be any other.
  points = np.repeat(np.eye(4, dtype=np.float32), 200, axis=0)
  graph = jitted(points, 3, metric=metric)
  rows = np.arange(800)[:, None]
  assert (np.asarray(graph.neighbors) != rows).all()
  np.testing.assert_array_equal(graph.neighbors // 200, rows // 200 + [0, 0, 0])
  expected = 1.0 if metric in ('cosine', 'dot') else 0.0
  np.testing.assert_array_equal(graph.similarities, expected)


def test_nearly_identical_points_far_from_the_origin_keep_their_distance():
  points = 100 + np.array([[0.0], [1e-3], [3e-3]], np.float32)
  graph = kernels.knn_graph(points, 2, metric='euclidean')
  nearest = np.abs(points - points.T)
  np.testing.assert_array_equal(
    graph.similarities,
    -np.take_along_axis(nearest, np.asarray(graph.neighbors), axis=1),
  )


def test_a_point_of_length_zero_has_cosine_zero_with_all():
  points = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.1], [-1.0, 0.0]])
  graph = kernels.knn_graph(points, 3)
  np.testing.assert_array_equal(graph.neighbors[0], [1, 2, 3])
  np.testing.assert_array_equal(graph.similarities[0], 0)
  assert np.isfinite(graph.similarities).all()


@every_metric
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_point_that_is_not_finite_is_nobodys_neighbor(bad, metric, points):
  clean = jitted(np.delete(points, 3, axis=0), 5, metric=metric)
  points[3, 7] = bad
  graph = jitted(points, 5, metric=metric)
  np.testing.assert_array_equal(graph.neighbors[3], -1)
  assert np.isnan(graph.similarities[3]).all()
  others = np.delete(np.arange(1000), 3)
  np.testing.assert_array_equal(
    np.delete(graph.neighbors, 3, axis=0), others[clean.neighbors]
  )


def test_a_length_that_overflows_matters_except_for_the_cosine():
  points = jnp.array([[1e25, 1e25], [1.0, 1.1], [1.0, 0.0]])
  cosine = kernels.knn_graph(points, 1)
  np.testing.assert_array_equal(cosine.neighbors[:, 0], [1, 0, 0])
  dot = kernels.knn_graph(points, 1, metric='dot')
  np.testing.assert_array_equal(dot.neighbors[:, 0], [-1, 2, 1])


@every_metric
def test_fewer_others_than_k_are_padded(metric):
  points = jnp.array([[1.0, 0.0], [0.0, 1.0]])
  graph = kernels.knn_graph(points, 3, metric=metric)
  np.testing.assert_array_equal(graph.neighbors, [[1, -1, -1], [0, -1, -1]])
  np.testing.assert_array_equal(graph.similarities[:, 1:], -np.inf)
  alone = kernels.knn_graph(points[:1], 2, metric=metric)
  np.testing.assert_array_equal(alone.neighbors, -1)
  empty = kernels.knn_graph(points[:0], 2, metric=metric)
  chex.assert_shape(empty, (0, 2))


def test_short_floats_are_compared_in_float32(points):
  short = jnp.asarray(points, jnp.bfloat16)
  chex.assert_trees_all_equal(
    jitted(short, 5), jitted(short.astype(jnp.float32), 5)
  )


def test_vmap_over_pools_equals_a_loop():
  points = np.random.default_rng(5).normal(size=(2, 30, 3)).astype(np.float32)
  search = functools.partial(kernels.knn_graph, k=4)
  together = jax.vmap(search)(points)
  for number in range(2):
    np.testing.assert_array_equal(
      together.neighbors[number], search(points[number]).neighbors
    )


@every_metric
def test_memory_is_a_block_of_rows_and_not_all_pairs(metric):
  num_points = 20_000
  points = jax.ShapeDtypeStruct((num_points, 8), jnp.float32)
  compiled = jitted.lower(points, 5, metric=metric).compile()
  extra = compiled.memory_analysis().temp_size_in_bytes
  # A block of scores is 8 MB, all of them 1.6 GB.
  assert extra < 25e6


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    (dict(k=0), 'k is 0; it must be at least 1'),
    (dict(block=0), 'block is 0; it must be at least 1'),
    (dict(metric='cosin'), "metric is 'cosin'; it must be one of .*cosine"),
  ],
)
def test_wrong_options_are_errors_that_name_them(wrong, message):
  with pytest.raises(ValueError, match=message):
    kernels.knn_graph(jnp.zeros((3, 2)), **{'k': 1} | wrong)


def test_manhattan_of_factors_is_refused():
  factors = kernels.Factors(jnp.ones((3, 2)), jnp.ones((3, 2)))
  with pytest.raises(ValueError, match="'manhattan'; of Factors it must be"):
    kernels.knn_graph(factors, 1, metric='manhattan')


@pytest.mark.parametrize('wrong', [jnp.zeros(3), jnp.zeros((3, 2), jnp.int32)])
def test_points_of_the_wrong_kind_are_refused(wrong):
  with pytest.raises(AssertionError):
    kernels.knn_graph(wrong, 1)


@every_metric
def test_the_kernel_lowers_for_cpu_cuda_and_tpu(metric):
  platforms = ('cpu', 'cuda', 'tpu')
  kernel = jax.jit(functools.partial(kernels.knn_graph, k=3, metric=metric))
  exported = jax.export.export(kernel, platforms=platforms)(jnp.zeros((300, 4)))
  assert exported.platforms == platforms
