"""The affinity matrix as lists, against the matrix itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels
from al_jax.kernels import affinity

KINDS = ['reciprocal', 'union']
every_kind = pytest.mark.parametrize('kind', KINDS)


def reference(graph, gamma, kind):
  """The normalised matrix, dense, from the formula."""
  neighbors, similarities = map(np.asarray, graph)
  weights = np.zeros((len(neighbors),) * 2)
  rows, places = np.nonzero(neighbors >= 0)
  weights[rows, neighbors[rows, places]] = (
    np.maximum(np.float64(similarities[rows, places]), 0) ** gamma
  )
  np.fill_diagonal(weights, 0)
  if kind == 'reciprocal':
    weights = np.minimum(weights, weights.T)
  else:
    weights = weights + weights.T
  degrees = weights.sum(axis=1)
  scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1))
  return scale[:, None] * weights * scale[None, :]


@pytest.fixture
def graph():
  points = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
  return kernels.knn_graph(points, 6)


@every_kind
@pytest.mark.parametrize('gamma', [1, 3, 0.5])
def test_the_product_equals_that_of_the_dense_matrix(kind, gamma, graph):
  columns = jax.random.normal(jax.random.key(1), (60, 4))
  product = affinity.times(affinity.affinity(graph, gamma, kind), columns)
  np.testing.assert_allclose(
    product, reference(graph, gamma, kind) @ columns, rtol=1e-4, atol=1e-5
  )


def test_sizes_of_the_pieces_change_nothing(graph, monkeypatch):
  columns = jnp.eye(60)
  whole = affinity.times(affinity.affinity(graph, 3, 'union'), columns)
  monkeypatch.setattr(affinity, '_ROWS_AT_ONCE', 7)
  monkeypatch.setattr(affinity, '_EDGES_AT_ONCE', 11)
  monkeypatch.setattr(affinity, '_NEIGHBORS_AT_ONCE', 4)
  pieces = affinity.times(affinity.affinity(graph, 3, 'union'), columns)
  np.testing.assert_allclose(pieces, whole, rtol=1e-5, atol=1e-7)


@every_kind
def test_the_matrix_is_symmetric_to_the_last_bit(kind, graph):
  # Rounding of a similarity may differ between the two ends of an edge.
  noise = 1 + 1e-6 * np.random.default_rng(2).normal(size=(60, 6))
  graph = graph._replace(similarities=graph.similarities * jnp.float32(noise))
  matrix = affinity.times(affinity.affinity(graph, 3, kind), jnp.eye(60))
  np.testing.assert_allclose(matrix, matrix.T, rtol=3e-7)


@every_kind
def test_missing_negative_and_own_edges_have_no_weight(kind):
  graph = kernels.Graph(
    jnp.array([[1, 0], [0, 2], [1, -1], [-1, -1]]),
    jnp.array([[0.5, 1.0], [0.5, -0.5], [-0.5, -jnp.inf], [jnp.nan] * 2]),
  )
  matrix = affinity.times(affinity.affinity(graph, 3, kind), jnp.eye(4))
  expected = np.zeros((4, 4))
  expected[0, 1] = expected[1, 0] = 1
  np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_a_point_without_edges_adds_nothing_to_the_first_point():
  # An index of -1 must not be taken for point 0, nor for the last.
  graph = kernels.Graph(
    jnp.array([[1], [0], [-1]]), jnp.array([[1.0], [1.0], [-jnp.inf]])
  )
  matrix = affinity.times(affinity.affinity(graph, 1, 'union'), jnp.eye(3))
  np.testing.assert_allclose(matrix, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])


def test_a_solved_column_does_not_depend_on_the_others(graph):
  matrix = affinity.affinity(graph, 3, 'reciprocal')
  # One is solved at once, one never within the cap, one has nothing to solve.
  targets = jnp.zeros((60, 3)).at[5, 0].set(1.0).at[:, 1].set(1.0)
  solve = jax.jit(
    lambda targets: affinity.solve(
      matrix,
      targets,
      jnp.zeros_like(targets),
      alpha=0.9,
      num_iters=8,
      tol=1e-2,
    )
  )
  together = solve(targets)
  for column in range(3):
    alone = solve(targets[:, column : column + 1])
    np.testing.assert_allclose(
      together[:, column : column + 1], alone, rtol=1e-5, atol=1e-7
    )
  np.testing.assert_array_equal(together[:, 2], 0)


def test_a_solve_that_starts_at_its_solution_stays_there(graph):
  matrix = affinity.affinity(graph, 3, 'union')
  targets = jnp.zeros((60, 1)).at[7].set(1.0)
  options = dict(alpha=0.9, tol=1e-4)
  solution = affinity.solve(
    matrix, targets, jnp.zeros_like(targets), num_iters=100, **options
  )
  again = affinity.solve(matrix, targets, solution, num_iters=3, **options)
  np.testing.assert_allclose(again, solution, atol=1e-5)
