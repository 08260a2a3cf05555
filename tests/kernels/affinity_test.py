"""The affinity matrix as lists, against the matrix itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels
from al_jax.kernels import _affinity

N = 60
every_kind = pytest.mark.parametrize('kind', ['reciprocal', 'union'])


def product(graph, columns, gamma, kind):
  return _affinity.times(_affinity.affinity(graph, gamma, kind), columns)


times = jax.jit(product, static_argnames='kind')


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


@pytest.fixture(scope='module')
def graph():
  points = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
  return jax.jit(kernels.knn_graph, static_argnames='k')(points, k=6)


@every_kind
@pytest.mark.parametrize('gamma', [1.0, 3.0, 0.5])
def test_the_product_equals_that_of_the_dense_matrix(kind, gamma, graph):
  columns = np.float32(np.random.default_rng(1).normal(size=(N, N)))
  np.testing.assert_allclose(
    times(graph, columns, gamma, kind),
    reference(graph, gamma, kind) @ columns,
    rtol=1e-4,
    atol=1e-5,
  )


def test_sizes_of_the_pieces_change_nothing(graph, monkeypatch):
  whole = times(graph, np.eye(N, dtype=np.float32), 3.0, 'union')
  monkeypatch.setattr(_affinity, '_ROWS_AT_ONCE', 7)
  monkeypatch.setattr(_affinity, '_EDGES_AT_ONCE', 11)
  monkeypatch.setattr(_affinity, '_NEIGHBORS_AT_ONCE', 4)
  pieces = jax.jit(lambda graph: product(graph, jnp.eye(N), 3.0, 'union'))
  np.testing.assert_allclose(pieces(graph), whole, rtol=1e-5, atol=1e-7)


@every_kind
def test_the_matrix_is_symmetric_to_the_last_bit(kind, graph):
  # Rounding of a similarity may differ between the two ends of an edge.
  noise = 1 + 1e-6 * np.random.default_rng(2).normal(size=(N, 6))
  graph = graph._replace(similarities=graph.similarities * np.float32(noise))
  matrix = np.asarray(times(graph, np.eye(N, dtype=np.float32), 3.0, kind))
  np.testing.assert_allclose(matrix, matrix.T, rtol=3e-7)


@every_kind
def test_missing_negative_and_own_edges_have_no_weight(kind):
  graph = kernels.Graph(
    jnp.array([[1, 0], [0, 2], [1, -1], [-1, -1]]),
    jnp.array([[0.5, 1.0], [0.5, -0.5], [-0.5, -jnp.inf], [jnp.nan] * 2]),
  )
  expected = np.zeros((4, 4), np.float32)
  expected[0, 1] = expected[1, 0] = 1
  matrix = times(graph, np.eye(4, dtype=np.float32), 3.0, kind)
  np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_a_point_without_edges_adds_nothing_to_the_first_point():
  # An index of -1 must not be taken for point 0, nor for the last.
  graph = kernels.Graph(
    jnp.array([[1], [0], [-1]]), jnp.array([[1.0], [1.0], [-jnp.inf]])
  )
  matrix = times(graph, np.eye(3, dtype=np.float32), 1.0, 'union')
  np.testing.assert_allclose(matrix, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])


@pytest.fixture(scope='module')
def solve(graph):
  """Of targets [N, 3]."""
  build = jax.jit(_affinity.affinity, static_argnames='graph_kind')
  matrix = build(graph, 3.0, graph_kind='union')

  def solve(targets, start=None, *, num_iters, tol):
    return _affinity.solve(
      matrix, targets, start, alpha=0.9, num_iters=num_iters, tol=tol
    )

  return jax.jit(solve)


def test_a_solved_column_does_not_depend_on_the_others(solve):
  # One is solved soon, one never within the cap, one has nothing to solve.
  targets = np.zeros((N, 3), np.float32)
  targets[5, 0], targets[:, 1] = 1, np.linspace(0, 1, N)
  options = dict(num_iters=8, tol=1e-2)
  together = solve(targets, **options)
  for column in range(3):
    alone = np.zeros_like(targets)
    alone[:, column] = targets[:, column]
    np.testing.assert_allclose(
      together[:, column],
      solve(alone, **options)[:, column],
      rtol=1e-5,
      atol=1e-7,
    )
  np.testing.assert_array_equal(together[:, 2], 0)


def test_a_solve_that_starts_at_its_solution_stays_there(solve, graph):
  targets = np.eye(N, 3, dtype=np.float32)
  solution = solve(targets, num_iters=100, tol=1e-4)
  system = np.eye(N) - 0.9 * reference(graph, 3, 'union')
  np.testing.assert_allclose(
    solution, np.linalg.solve(system, targets), atol=1e-3
  )
  again = solve(targets, solution, num_iters=3, tol=1e-4)
  np.testing.assert_allclose(again, solution, atol=1e-5)
