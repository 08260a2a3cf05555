"""Sparse affinity matrix of a neighbour graph, and linear solves with it.

Label propagation and diffusion share this code: W from the graph, its product
with many columns at once, and conjugate gradients for (I - alpha W) Z = Y.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks
from al_jax.kernels.graph import Graph

GRAPH_KINDS = ('reciprocal', 'union')
# Number of rows whose neighbours' lists are searched at a time.
_ROWS_AT_ONCE = 1024
# Number of edges that are scattered at a time.
_EDGES_AT_ONCE = 65_536
# Number of neighbours whose rows are gathered and summed in one fused loop.
_NEIGHBORS_AT_ONCE = 64


class OneWay(NamedTuple):
  """Edges i -> j of a union graph where j does not list i.

  Attributes:
    source: int32[N * k], i of each edge; entries past `count` are padding.
    target: int32[N * k], j of each edge.
    weight: [N * k], W_ij = W_ji.
    count: int32, number of edges.
  """

  source: jax.Array
  target: jax.Array
  weight: jax.Array
  count: jax.Array


class Affinity(NamedTuple):
  """Matrix D^-1/2 W D^-1/2, symmetric, non-negative, with zero diagonal.

  Attributes:
    neighbors: int32[N, k], all in range.
    weights: [N, k], entries of the matrix for these neighbours; 0 for padding.
    one_way: entries that the list of their row lacks; None if reciprocal.
  """

  neighbors: jax.Array
  weights: jax.Array
  one_way: OneWay | None


def affinity(graph: Graph, gamma: float, graph_kind: str) -> Affinity:
  """Computes the normalised affinity matrix of a graph of cosines.

    A_ij = max(s_ij, 0)^gamma for the neighbours j of i;
    W = min(A, A^T) if reciprocal, A + A^T if union;   D = diag(W 1).

  A negative similarity has weight 0, because odd powers of it would make
  degrees negative. An isolated node has degree 1, so that its row is 0, not
  NaN.

  Args:
    graph: neighbours and similarities; an index of -1 is padding.
    gamma: exponent, above 0.
    graph_kind: one of `GRAPH_KINDS`.

  Returns:
    The matrix, in N x k entries, or twice that number if union.
  """
  num_points = len(graph.neighbors)
  rows = jnp.arange(num_points)[:, None]
  present = (graph.neighbors >= 0) & (graph.neighbors != rows)
  # A comparison with NaN is false. `where` is needed twice, because 0 to a
  # small power has no derivative.
  positive = present & (graph.similarities > 0)
  weights = jnp.where(positive, graph.similarities, 1.0) ** gamma
  weights = jnp.where(positive, weights, 0.0)
  neighbors = jnp.where(present, graph.neighbors, 0)
  back = weights_back(graph.neighbors, weights)
  one_way = None
  if graph_kind == 'reciprocal':
    weights = jnp.where(back >= 0, jnp.minimum(weights, back), 0.0)
  else:
    one_way = _one_way(neighbors, weights, positive & (back < 0))
    weights += jnp.maximum(back, 0.0)
  degrees = jnp.sum(weights, axis=1, keepdims=True)
  if one_way is not None:
    degrees = _add_one_way(one_way, jnp.ones_like(degrees), degrees)
  degrees = degrees[:, 0]
  scale = lax.rsqrt(jnp.where(degrees > 0, degrees, 1.0))
  if one_way is not None:
    one_way = one_way._replace(
      weight=one_way.weight * scale[one_way.source] * scale[one_way.target]
    )
  weights = weights * scale[:, None] * scale[neighbors]
  return Affinity(neighbors, weights, one_way)


def weights_back(neighbors: jax.Array, weights: jax.Array) -> jax.Array:
  """Returns for each edge i -> j the weight of j -> i.

  Args:
    neighbors: int32[N, k]; -1 is padding.
    weights: [N, k], 0 or above.

  Returns:
    [N, k], with -1 if j does not list i.
  """
  rows = jnp.arange(len(neighbors), dtype=jnp.int32)

  def of_row(row_and_list):
    row, listed = row_and_list
    place = jnp.maximum(listed, 0)
    returned = neighbors.at[place].get(mode='promise_in_bounds') == row
    there = weights.at[place].get(mode='promise_in_bounds')
    back = jnp.max(jnp.where(returned, there, -1.0), axis=1)
    return jnp.where(listed >= 0, back, -1.0)

  return lax.map(of_row, (rows, neighbors), batch_size=_ROWS_AT_ONCE)


def times(matrix: Affinity, columns: jax.Array) -> jax.Array:
  """Multiplies the matrix by [N, C], a row of C numbers per neighbour."""
  k = matrix.neighbors.shape[1]
  product = jnp.zeros_like(columns)
  # Unrolled into one fused loop, which never stores the gathered rows.
  for start in range(0, k, _NEIGHBORS_AT_ONCE):
    for place in range(start, min(k, start + _NEIGHBORS_AT_ONCE)):
      rows = columns.at[matrix.neighbors[:, place]].get(
        mode='promise_in_bounds'
      )
      product += matrix.weights[:, place, None] * rows
    product = lax.optimization_barrier(product)
  if matrix.one_way is None:
    return product
  return _add_one_way(matrix.one_way, columns, product)


def solve(
  matrix: Affinity,
  targets: jax.Array,
  start: jax.Array | None = None,
  *,
  alpha: float | jax.Array,
  num_iters: int,
  tol: float,
) -> jax.Array:
  """Solves (I - alpha W) Z = Y by conjugate gradients, all columns at once.

  A column is done, and no longer changes, once its residual is below `tol`
  times the length of its targets.

  Args:
    matrix: W.
    targets: [N, C], Y.
    start: [N, C], initial Z. If None, 0.
    alpha: number from 0 to below 1.
    num_iters: maximal number of iterations.
    tol: relative tolerance.

  Returns:
    Z, [N, C].
  """
  enough = jnp.square(tol) * _column_dots(targets, targets)

  def apply(columns):
    return columns - alpha * times(matrix, columns)

  def is_active(sq_residual):
    return (sq_residual >= enough) & (sq_residual > 0)

  def iterate(state):
    done, solution, residual, direction, sq_residual = state
    active = is_active(sq_residual)
    applied = apply(direction)
    # A column that is done is divided by 1.
    curvature = jnp.where(active, _column_dots(direction, applied), 1.0)
    step = jnp.where(active, sq_residual / curvature, 0.0)[None, :]
    solution += step * direction
    residual -= step * applied
    shrunk = _column_dots(residual, residual)
    ratio = jnp.where(active, shrunk / jnp.where(active, sq_residual, 1.0), 0.0)
    direction = residual + ratio[None, :] * direction
    return done + 1, solution, residual, direction, shrunk

  if start is None:
    start, residual = jnp.zeros_like(targets), targets
  else:
    residual = targets - apply(start)
  state = (0, start, residual, residual, _column_dots(residual, residual))
  return lax.while_loop(
    lambda state: (state[0] < num_iters) & jnp.any(is_active(state[-1])),
    iterate,
    state,
  )[1]


def check_options(
  alpha: float | jax.Array, gamma: float, graph_kind: str, num_iters: int
) -> None:
  """Raises an error about the first invalid option."""
  _checks.number(
    'alpha', alpha, 'at least 0 and below 1', lambda value: 0 <= value < 1
  )
  _checks.number('gamma', gamma, 'above 0', lambda value: value > 0)
  if graph_kind not in GRAPH_KINDS:
    raise ValueError(
      f'graph_kind is {graph_kind!r}; it must be one of {GRAPH_KINDS}.'
    )
  _checks.count('num_iters', num_iters)


def _column_dots(a, b):
  """Returns the inner products of the columns of `a` and `b`, [C]."""
  return jnp.sum(a * b, axis=0)


def _one_way(neighbors, weights, is_one_way):
  """Lists the marked edges, followed by padding to the number of all edges."""
  k = neighbors.shape[1]
  (place,) = jnp.nonzero(
    is_one_way.reshape(-1), size=neighbors.size, fill_value=0
  )
  place = place.astype(jnp.int32)
  return OneWay(
    source=place // max(k, 1),
    target=neighbors.reshape(-1)[place],
    weight=weights.reshape(-1)[place],
    count=jnp.sum(is_one_way, dtype=jnp.int32),
  )


def _add_one_way(one_way, columns, product):
  """Adds W_ji of each one-way edge to a product, which has W_ij already."""
  size = one_way.source.size
  at_once = min(_EDGES_AT_ONCE, size)

  def add_some(state):
    done, product = state
    # The last slice is moved back to fit; its overlap with the previous slice
    # gets weight 0.
    begin = jnp.minimum(done, size - at_once)
    source, target, weight = (
      lax.dynamic_slice_in_dim(part, begin, at_once) for part in one_way[:3]
    )
    edge = begin + jnp.arange(at_once)
    weight = jnp.where((edge >= done) & (edge < one_way.count), weight, 0.0)
    sent = weight[:, None] * columns.at[source].get(mode='promise_in_bounds')
    product = product.at[target].add(sent, mode='promise_in_bounds')
    return done + at_once, product

  if not size:
    return product
  return lax.while_loop(
    lambda state: state[0] < one_way.count, add_some, (0, product)
  )[1]
