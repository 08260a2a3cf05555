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
  if metric == 'cosine':
    similarities = unit @ unit.T
  elif metric == 'dot':
    similarities = points @ points.T
  else:
    order = 2 if metric == 'euclidean' else 1
    similarities = np.stack(
      [-np.linalg.norm(points - point, order, axis=1) for point in points]
    )
  np.fill_diagonal(similarities, -np.inf)
  padded = np.pad(similarities, ((0, 0), (0, k)), constant_values=-np.inf)
  neighbors = np.argsort(-padded, axis=1, kind='stable')[:, :k]
  nearest = np.take_along_axis(padded, neighbors, axis=1)
  return np.where(nearest > -np.inf, neighbors, -1), nearest


def search(points, metric='cosine', **options):
  """Most tests share a program for each metric: of 1,000 points, 5 of each.

  They are enough for the search in two stages.
  """
  return jitted(points, 5, metric=metric, **options)


@pytest.fixture
def points():
  rng = np.random.default_rng(0)
  return rng.normal(size=(1000, 20)).astype(np.float32)


@hypothesis.given(
  any_points,
  st.sampled_from(['dot', 'euclidean', 'manhattan']),
  st.sampled_from([1, 11]),
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_neighbors_and_ties_equal_the_reference(points, metric, k):
  graph = jitted(points, k, metric=metric, block=4)
  neighbors, similarities = reference(points, k, metric)
  np.testing.assert_array_equal(graph.neighbors, neighbors)
  np.testing.assert_allclose(graph.similarities, similarities, rtol=1e-6)


@every_metric
def test_similarities_are_right_and_belong_to_their_neighbors(metric, points):
  graph = search(points, metric)
  neighbors, similarities = reference(points, 5, metric)
  np.testing.assert_array_equal(graph.neighbors, neighbors)
  np.testing.assert_allclose(
    graph.similarities, similarities, rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize('metric', ['cosine', 'euclidean', 'manhattan'])
def test_neighbors_equal_those_of_scikit_learn(metric, points):
  peer = sklearn.neighbors.NearestNeighbors(algorithm='brute', metric=metric)
  distances, neighbors = peer.fit(points).kneighbors(n_neighbors=5)
  graph = search(points, metric)
  np.testing.assert_array_equal(graph.neighbors, neighbors)
  offset = 1 if metric == 'cosine' else 0
  np.testing.assert_allclose(
    graph.similarities, offset - distances, rtol=1e-5, atol=1e-5
  )


def test_neighbors_by_dot_equal_those_of_scikit_learn(points):
  # It knows distances only. A point must be at 0 from itself to be left out.
  products = np.float64(points) @ points.T
  largest = products.max()
  distances = largest - products
  np.fill_diagonal(distances, 0)
  peer = sklearn.neighbors.NearestNeighbors(metric='precomputed')
  distances, neighbors = peer.fit(distances).kneighbors(n_neighbors=5)
  graph = search(points, 'dot')
  np.testing.assert_array_equal(graph.neighbors, neighbors)
  np.testing.assert_allclose(
    graph.similarities, largest - distances, rtol=1e-5, atol=1e-5
  )


@pytest.mark.parametrize('metric', ['dot', 'euclidean', 'manhattan'])
def test_ties_across_chunks_go_to_the_lowest_index(metric):
  # Few distinct points, each many times, all over the chunks.
  points = np.zeros((1000, 20), np.float32)
  points[:, :3] = np.random.default_rng(1).integers(-1, 2, (1000, 3))
  neighbors, _ = reference(points, 5, metric)
  np.testing.assert_array_equal(search(points, metric).neighbors, neighbors)


@every_metric
def test_points_that_are_not_eligible_are_not_there(metric, points):
  eligible = np.arange(len(points)) % 3 > 0
  rows = np.flatnonzero(eligible)
  alone = search(points[rows], metric)
  graph = search(points, metric, eligible=eligible)
  np.testing.assert_array_equal(
    graph.neighbors[rows], rows[np.asarray(alone.neighbors)]
  )
  np.testing.assert_allclose(
    graph.similarities[rows], alone.similarities, rtol=1e-5, atol=1e-6
  )
  np.testing.assert_array_equal(graph.neighbors[~eligible], -1)
  assert np.isnan(graph.similarities[~eligible]).all()


@every_metric
def test_the_block_changes_nothing(metric, points):
  whole = search(points, metric)
  # The last block has only 6 points of its own.
  graph = search(points, metric, block=7)
  np.testing.assert_array_equal(graph.neighbors, whole.neighbors)
  chex.assert_trees_all_close(graph, whole, rtol=1e-5, atol=1e-6)


def test_a_block_may_be_larger_than_the_pool(points):
  np.testing.assert_array_equal(
    search(points, block=5000).neighbors, search(points).neighbors
  )


@pytest.mark.parametrize('chunk', [3, 40, 1000])
def test_the_chunk_changes_nothing(chunk, points, monkeypatch):
  whole = search(points)
  monkeypatch.setattr(graph_module, '_CHUNK', chunk)
  graph = jax.jit(functools.partial(kernels.knn_graph, k=5))(points)
  np.testing.assert_array_equal(graph.neighbors, whole.neighbors)


@every_metric
def test_jit_changes_nothing(metric, points):
  plain = kernels.knn_graph(points, 5, metric=metric)
  chex.assert_trees_all_close(
    plain, search(points, metric), rtol=1e-5, atol=1e-6
  )


@every_metric
def test_neighbors_follow_a_permutation_of_the_pool(metric, points):
  order = np.random.default_rng(3).permutation(len(points))
  graph, moved = search(points, metric), search(points[order], metric)
  np.testing.assert_array_equal(order[moved.neighbors], graph.neighbors[order])


@every_metric
def test_float64_gives_the_same_neighbors(metric, points):
  short = search(points, metric)
  with jax.enable_x64(True):
    long = search(np.float64(points), metric)
  chex.assert_type(
    [long.neighbors, long.similarities], [jnp.int32, jnp.float64]
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
  neighbors, similarities = reference(multiplied, 5, metric)
  graph = search(factors, metric)
  np.testing.assert_array_equal(graph.neighbors, neighbors)
  np.testing.assert_allclose(
    graph.similarities, similarities, rtol=1e-4, atol=1e-5
  )


@every_metric
def test_a_point_is_excluded_by_index_also_among_its_duplicates(metric):
  # The first search result of any of them may be any other.
  points = np.repeat(np.eye(5, 20, dtype=np.float32), 200, axis=0)
  graph = search(points, metric)
  rows = np.arange(1000)[:, None]
  assert (np.asarray(graph.neighbors) != rows).all()
  np.testing.assert_array_equal(graph.neighbors // 200, rows // 200 + [0] * 5)
  expected = 1.0 if metric in ('cosine', 'dot') else 0.0
  np.testing.assert_array_equal(graph.similarities, expected)


@every_metric
@pytest.mark.parametrize('value', [0.0, 1.0])
def test_of_equal_points_the_first_others_are_the_neighbors(value, metric):
  graph = search(np.full((1000, 20), value, np.float32), metric)
  first = np.arange(6)
  expected = [
    first[first != row][:5] if row < 5 else first[:5] for row in range(1000)
  ]
  np.testing.assert_array_equal(graph.neighbors, expected)


def test_nearly_identical_points_far_from_the_origin_keep_their_distance():
  points = 100 + np.array([[0.0], [1e-3], [3e-3]], np.float32)
  graph = jitted(points, 2, metric='euclidean')
  nearest = np.abs(points - points.T)
  np.testing.assert_array_equal(
    graph.similarities,
    -np.take_along_axis(nearest, np.asarray(graph.neighbors), axis=1),
  )


def test_a_point_of_length_zero_has_cosine_zero_with_all(points):
  points[0] = 0
  graph = search(points)
  np.testing.assert_array_equal(graph.neighbors[0], [1, 2, 3, 4, 5])
  np.testing.assert_array_equal(graph.similarities[0], 0)
  assert not (np.asarray(graph.neighbors) == 0).any()
  assert np.isfinite(graph.similarities).all()


@every_metric
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_point_that_is_not_finite_is_nobodys_neighbor(bad, metric, points):
  others = np.delete(np.arange(1000), 3)
  expected, _ = reference(points[others], 5, metric)
  points[3, 7] = bad
  graph = search(points, metric)
  np.testing.assert_array_equal(graph.neighbors[3], -1)
  assert np.isnan(graph.similarities[3]).all()
  np.testing.assert_array_equal(graph.neighbors[others], others[expected])


def test_a_length_that_overflows_matters_except_for_the_cosine(points):
  points[3] *= 1e25
  assert (np.asarray(search(points).neighbors)[3] >= 0).all()
  graph = search(points, 'dot')
  assert (np.asarray(graph.neighbors)[3] == -1).all()
  assert not (np.asarray(graph.neighbors) == 3).any()


@every_metric
def test_without_others_there_are_no_neighbors(metric):
  alone = jitted(jnp.ones((1, 2)), 2, metric=metric)
  np.testing.assert_array_equal(alone.neighbors, [[-1, -1]])
  np.testing.assert_array_equal(alone.similarities, [[-np.inf, -np.inf]])
  empty = kernels.knn_graph(jnp.ones((0, 2)), 2, metric=metric)
  chex.assert_shape(empty, (0, 2))


def test_vmap_over_pools_equals_a_loop():
  points = np.random.default_rng(5).normal(size=(2, 30, 3)).astype(np.float32)
  together = jax.jit(jax.vmap(functools.partial(kernels.knn_graph, k=4)))(
    points
  )
  for number in range(2):
    neighbors, _ = reference(points[number], 4, 'cosine')
    np.testing.assert_array_equal(together.neighbors[number], neighbors)


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
  with pytest.raises(ValueError, match="'manhattan'; for Factors it must be"):
    kernels.knn_graph(factors, 1, metric='manhattan')


@pytest.mark.parametrize('wrong', [jnp.zeros(3), jnp.zeros((3, 2), jnp.int32)])
def test_points_of_the_wrong_kind_are_refused(wrong):
  with pytest.raises(ValueError, match='points must be float'):
    kernels.knn_graph(wrong, 1)
