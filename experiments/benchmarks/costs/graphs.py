"""Costs of neighbour graphs, of solves on them, and of densities."""

from experiments.benchmarks.costs.cost import BYTES, Cost

# As in `knn_graph`: columns per chunk, and coordinates per pass over a tile.
_CHUNK = 64
_COORDINATES = 16
# Rows whose neighbour lists are compared at a time.
_ROWS_AT_ONCE = 1024
# Edges of a union graph scattered at a time.
_EDGES_AT_ONCE = 65_536
# As in `similarities`: rows of the pool, and members of a set.
_TILE = 2048
_MEMBERS = 512


def knn_graph(
  *,
  num_points: int,
  num_features: int,
  k: int,
  num_classes: int = 0,
  metric: str = 'cosine',
  block: int = 100,
) -> Cost:
  """Returns the cost for dense points, or Factors with C left columns."""
  dim = num_classes + num_features
  copies = 2 * dim
  if metric == 'manhattan':
    # A transposed copy, and padding to whole groups of coordinates.
    copies = 3 * -(-dim // _COORDINATES) * _COORDINATES
  pairs = num_points**2
  chunks = num_points * (k + 1) * _CHUNK
  return Cost(
    operations=2 * pairs * dim + 2 * pairs + 4 * chunks,
    # A block of rows is compared with all columns; scores stay in the cache.
    num_bytes=BYTES
    * (num_points / block * num_points * dim + 2 * num_points * k),
    extra_bytes=BYTES
    * (
      num_points * (copies + 2 * k + (3 if num_classes else 1) * block)
      + 20 * block * (k + 1) * _CHUNK
    ),
  )


def label_propagation(
  *,
  num_points: int,
  num_neighbors: int,
  num_classes: int,
  num_iters: int = 20,
  graph_kind: str = 'reciprocal',
) -> Cost:
  """Returns the cost for a graph of N lists of k neighbours."""
  edges = num_points * num_neighbors
  one_way = edges if graph_kind == 'union' else 0
  scattered = min(_EDGES_AT_ONCE, one_way) * (num_classes + 4)
  # Per iteration a product, and three updates and two inner products of [N, C].
  per_iteration = 2 * (edges + one_way) + 10 * num_points
  columns = max(
    5 * num_neighbors + num_classes, 2 * num_neighbors + 8 * num_classes
  )
  return Cost(
    operations=num_iters * per_iteration * num_classes
    + 3 * edges * num_neighbors,
    # Gathers by index hit the cache: the lists, and [N, C].
    num_bytes=BYTES
    * (
      num_iters * (2 * (edges + one_way) + 10 * num_points * num_classes)
      + 4 * edges
    ),
    extra_bytes=BYTES
    * (
      num_points * columns
      + 5 * one_way
      + scattered
      + _ROWS_AT_ONCE * num_neighbors**2
    ),
  )


def diffusion_selection(
  *,
  num_points: int,
  num_neighbors: int,
  k: int,
  num_iters: int = 20,
  graph_kind: str = 'reciprocal',
) -> Cost:
  """Returns the cost of k solves, if none ends before `num_iters`."""
  solve = label_propagation(
    num_points=num_points,
    num_neighbors=num_neighbors,
    num_classes=1,
    num_iters=num_iters * k,
    graph_kind=graph_kind,
  )
  picking = 50 * num_points * k
  return solve._replace(
    operations=solve.operations + picking,
    extra_bytes=solve.extra_bytes + BYTES * 14 * num_points,
  )


def graph_density(*, num_points: int, num_neighbors: int, k: int) -> Cost:
  """Returns the cost for a graph of N lists of k neighbours."""
  edges = num_points * num_neighbors
  return Cost(
    operations=10 * edges
    + 3 * edges * num_neighbors
    + k * (2 * edges + 50 * num_points),
    num_bytes=BYTES * (4 + k) * edges,
    extra_bytes=BYTES
    * (num_points * (8 * num_neighbors + 8) + _ROWS_AT_ONCE * num_neighbors**2),
  )


def information_density(
  *, num_points: int, num_features: int, num_classes: int = 0
) -> Cost:
  """Returns the cost for dense points, or Factors with C left columns."""
  dim = num_classes + num_features
  # The mean direction of Factors is a matrix [C, D].
  products = max(num_classes, 1) * num_features
  return Cost(
    operations=num_points * (4 * products + 5 * dim),
    num_bytes=BYTES * num_points * (5 * dim + 2),
    extra_bytes=BYTES * (num_points * (dim + num_classes + 5) + products),
  )


def hybrid_informativeness(
  *,
  num_points: int,
  num_features: int,
  k: int,
  num_classes: int = 0,
  num_references: int = 2000,
  num_labeled: int = 0,
  share: float = 0.12,
) -> Cost:
  """Returns the cost for dense points, or Factors with C left columns.

  `share`, at most 1, is the compared part of the N (K + L) pairs of a point and
  a picked or labelled point. The default is near that of k-center on random
  features.
  """
  dim = num_classes + num_features
  compared = min(num_references, num_points) + share * (num_labeled + k)
  products = 2 if num_classes else 1
  return Cost(
    operations=num_points * compared * (2 * dim + 10),
    num_bytes=BYTES * num_points * (dim + 4) * (compared / _MEMBERS + 4),
    extra_bytes=BYTES
    * (
      num_points * (2 * dim + 12)
      + (products + 1) * _TILE * _MEMBERS
      + (_TILE + _MEMBERS) * dim
    ),
  )
