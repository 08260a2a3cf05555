"""Exact k nearest neighbours of every point, without an N x N array."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _similarities, _xla, distances

_METRICS = ('cosine', 'dot', 'euclidean', 'manhattan')
# Number of columns in a chunk. At 50,000 points and 50 neighbours, 64 to 128
# are equally fast, and 32 takes 1.05 times as long.
_CHUNK = 64
# Number of coordinates per pass over a tile of distances: 2.6 times as fast as
# one at a time.
_COORDINATES = 16


class Graph(NamedTuple):
  """The k nearest neighbours of each of N points.

  Attributes:
    neighbors: int32[N, k], nearest first, without the point itself; padded with
      -1 if fewer than k other points are finite and eligible.
    similarities: float [N, k], larger is nearer; -inf for padding, and NaN for
      a point that itself is not finite or not eligible. The dtype is that of
      the points, at least float32.
  """

  neighbors: jax.Array
  similarities: jax.Array


def checked(graph: Graph) -> Graph:
  """Returns the graph as arrays, after checking their shapes and types."""
  if not isinstance(graph, tuple) or len(graph) != 2:
    raise ValueError(
      'graph must be a Graph, such as knn_graph(points, 10) returns; got '
      f'{_checks.kind(graph)}.'
    )
  neighbors, nearness = map(jnp.asarray, graph)
  is_graph = (
    neighbors.ndim == 2
    and neighbors.shape == nearness.shape
    and jnp.issubdtype(neighbors.dtype, jnp.integer)
    and jnp.issubdtype(nearness.dtype, jnp.floating)
  )
  if not is_graph:
    raise ValueError(
      'graph must have neighbors int [N, k] and similarities float [N, k]; got '
      f'{_checks.described(neighbors)} and {_checks.described(nearness)}.'
    )
  return Graph(neighbors, nearness)


def cast(graph: Graph) -> Graph:
  """Casts the similarities of a graph to at least float32."""
  return graph._replace(
    similarities=_checks.at_least_float32(graph.similarities)
  )


def knn_graph(
  points: distances.Points,
  k: int,
  *,
  eligible: jax.Array | None = None,
  metric: str = 'cosine',
  block: int = 100,
) -> Graph:
  """Finds the exact k nearest neighbours of every point, itself excluded.

  The similarity of x and y (larger is nearer) is

    cosine: x.y / (|x| |y|);   dot: x.y;
    euclidean: -|x - y|_2;     manhattan: -|x - y|_1.

  Scores of a block of points with all others are a matrix product. Only the
  chunks of a row with the k largest maxima can have one of its k largest
  scores, so only these are searched. A point is excluded by its index, because
  among duplicates it need not be its own nearest neighbour.

  The cosine graph is that of Iscen et al. 2019, "Label Propagation for Deep
  Semi-supervised Learning", section 3.2.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> points = jnp.array([[0.0], [1.0], [3.0]])
  >>> graph = kernels.knn_graph(points, 2, metric='euclidean')
  >>> graph.neighbors.tolist(), graph.similarities.tolist()
  ([[1, 2], [0, 2], [1, 0]], [[-1.0, -3.0], [-1.0, -2.0], [-2.0, -3.0]])

  Args:
    points: float [N, D], or Factors, except for manhattan. A point with a
      coordinate that is not finite neither has neighbours nor is one. Except
      for cosine, the same holds for a point whose squared length overflows. The
      cosine of a point of length 0 with any other is 0.
    k: number of neighbours per point, at least 1; static.
    eligible: bool[N], points to include; the others are treated like points
      that are not finite. If None, all are eligible.
    metric: 'cosine', 'dot', 'euclidean' or 'manhattan'; static.
    block: number of points whose scores are held at a time, at least 1; static.
      It takes 4 block N bytes and does not change the result.

  Returns:
    A Graph. Among equally near points the lowest index comes first. Neighbours
    are exact up to the rounding of the products; euclidean similarities are
    computed from differences.

  Raises:
    ValueError: k or block is below 1, the metric is unknown, or it is manhattan
      for Factors, whose two parts do not give it.
  """
  k, block = _checks.count('k', k), _checks.count('block', block)
  if metric not in _METRICS:
    raise ValueError(f'metric is {metric!r}; it must be one of {_METRICS}.')
  if metric == 'manhattan' and isinstance(points, distances.Factors):
    raise ValueError(
      "metric is 'manhattan'; for Factors it must be one of "
      f'{_METRICS[:-1]}, which need only the products of the two parts.'
    )
  points = distances.checked('points', points)
  num_points = distances.number(points)
  eligible = _checks.mask('eligible', eligible, num_points)
  return _knn_graph(
    points=points, k=k, eligible=eligible, metric=metric, block=block
  )


@_xla.compiled
def _knn_graph(*, points, k, eligible, metric, block):
  parts, is_there, bias = _prepared(points, eligible, metric)
  num_points = is_there.size
  if not num_points:
    return Graph(jnp.zeros((0, k), jnp.int32), jnp.zeros((0, k), bias.dtype))
  # Padding columns have the lowest score, -inf.
  missing = max(0, k - num_points)
  missing += -(num_points + missing) % _CHUNK
  columns = tuple(jnp.pad(part, ((0, missing), (0, 0))) for part in parts)
  bias = jnp.pad(bias, (0, missing), constant_values=-jnp.inf)
  block = min(block, num_points)
  score = _negative_manhattan if metric == 'manhattan' else _products

  def neighbors_of(start):
    # Rows past the end repeat the last point, and are cut off below.
    place = jnp.minimum(start + jnp.arange(block), num_points - 1)
    rows = tuple(part[place] for part in parts)
    best, indices = _largest_of_others(score(rows, columns), bias, place, k)
    indices = jnp.where(best > -jnp.inf, indices, -1)
    if metric == 'euclidean':
      return _by_distance(parts, place, indices)
    return indices, jnp.clip(best, -1, 1) if metric == 'cosine' else best

  starts = jnp.arange(0, num_points, block)
  neighbors, nearness = jax.tree.map(
    lambda blocks: blocks.reshape(-1, k)[:num_points],
    lax.map(neighbors_of, starts),
  )
  nearness = jnp.where(neighbors < 0, -jnp.inf, nearness)
  return Graph(
    jnp.where(is_there[:, None], neighbors, -1),
    jnp.where(is_there[:, None], nearness, jnp.nan),
  )


def _prepared(points, eligible, metric):
  """Returns parts to multiply, the mask of valid points, and a column bias.

  A point that is not finite becomes zeros. It is not valid, nor is one that is
  not eligible; both have a bias of -inf.
  """
  if metric == 'cosine':
    unit, finite = _similarities.normalised(points)
    parts, bias = unit.parts, jnp.zeros(finite.shape, unit.parts[0].dtype)
  else:
    sq_norms = distances.squared_norms(points)
    finite = distances.finite(sq_norms)
    parts = tuple(
      jnp.where(finite[:, None], part, 0.0) for part in distances.parts(points)
    )
    # x.y - |y|^2 / 2 ranks y like -|x - y|^2.
    bias = -sq_norms / 2 if metric == 'euclidean' else jnp.zeros_like(sq_norms)
  is_there = _checks.among(finite, eligible)
  return parts, is_there, jnp.where(is_there, bias, -jnp.inf)


def _products(rows, columns):
  """Computes the inner products [A, B] of two lists of parts."""
  first, *rest = (
    jnp.matmul(row, column.T, precision=lax.Precision.HIGHEST)
    for row, column in zip(rows, columns, strict=True)
  )
  for product in rest:
    first *= product
  return first


def _negative_manhattan(rows, columns):
  """Computes -|x - y|_1, [A, B], a few coordinates at a time."""
  (rows,), (columns,) = rows, columns
  missing = -rows.shape[1] % _COORDINATES
  rows, columns = (
    # The long axis is last, because the compiler vectorises that one.
    jnp.pad(points, ((0, 0), (0, missing))).T.reshape(
      -1, _COORDINATES, len(points)
    )
    for points in (rows, columns)
  )

  def add_some(total, some):
    some_rows, some_columns = some
    for row, column in zip(some_rows, some_columns, strict=True):
      total -= jnp.abs(row[:, None] - column[None, :])
    return total, None

  shape = (rows.shape[-1], columns.shape[-1])
  total, _ = lax.scan(add_some, jnp.zeros(shape, rows.dtype), (rows, columns))
  return total


def _largest_of_others(scores, bias, place, k):
  """Finds the k largest scores of each row, the lowest index first for ties.

  Args:
    scores: [rows, columns]; the number of columns is a multiple of the chunk.
    bias: [columns], added to the scores at both places that read them. Storing
      the sum first takes 1.15 times as long.
    place: int32[rows], the column to leave out of each row.
    k: number of scores per row.

  Returns:
    The scores and their columns, both [rows, k].
  """
  num_rows, num_columns = scores.shape
  num_chunks = num_columns // _CHUNK
  if num_chunks < 2 * k:
    is_own = jnp.arange(num_columns)[None, :] == place[:, None]
    others = jnp.where(is_own, -jnp.inf, scores + bias[None, :])
    return _xla.top_k(others, k)
  chunked = scores.reshape(num_rows, num_chunks, _CHUNK)
  bias = bias.reshape(num_chunks, _CHUNK)
  # One chunk more than k, because one may qualify only by the row's own column.
  maxima, chunks = _xla.top_k(jnp.max(chunked + bias[None], axis=2), k + 1)
  # Sorted, so that the lowest index comes first for ties.
  chunks = jnp.sort(chunks, axis=1)
  found = jnp.take_along_axis(chunked, chunks[:, :, None], axis=1)
  found += bias[chunks]
  column = chunks[:, :, None] * _CHUNK + jnp.arange(_CHUNK)[None, None, :]
  # At least k other scores reach the smallest of the maxima. Dropping those
  # below it makes the last search faster.
  is_out = found < maxima[:, -1][:, None, None]
  is_out |= column == place[:, None, None]
  found = jnp.where(is_out, -jnp.inf, found).reshape(num_rows, -1)
  best, where = _xla.top_k(found, k)
  chunk = jnp.take_along_axis(chunks, where // _CHUNK, axis=1)
  return best, chunk * _CHUNK + where % _CHUNK


def _by_distance(parts, place, indices):
  """Computes -|x - y|_2 from differences, and sorts by it, nearest first."""
  num_rows, k = indices.shape
  points = parts[0] if len(parts) == 1 else distances.Factors(*parts)
  sq_dists = distances.paired_squared_distances(
    distances.take(points, jnp.repeat(place, k)),
    distances.take(points, jnp.maximum(indices.reshape(-1), 0)),
  )
  # A distance of inf sorts padding to the end.
  dists = jnp.where(
    indices < 0, jnp.inf, jnp.sqrt(sq_dists).reshape(num_rows, k)
  )
  dists, indices = lax.sort((dists, indices), num_keys=2)
  return indices, -dists
