"""Costs of gradients, of distances, and of selections by distance."""

from experiments.benchmarks.costs.cost import BYTES, Cost

# Rows of the pool that k-means and k-means++ hold at a time.
_TILE = 1024
# Rows of the pool and centers that k-center compares at a time; rows of its
# shortlist.
_COVER_TILE = 2048
_MET_AT_ONCE = 64
_SHORTLIST = 1024
# Initial centers that LCMD compares with a tile of rows at a time.
_COVER_CENTERS = 512


def squared_norms(
  *, num_points: int, num_features: int, num_classes: int = 0
) -> Cost:
  """Returns the cost for [N, D], or Factors with C left columns."""
  dim = num_classes + num_features
  return Cost(
    operations=2 * num_points * dim,
    num_bytes=BYTES * num_points * (dim + 1),
    extra_bytes=BYTES * 2 * num_points,
  )


def squared_distances(
  *, num_a: int, num_b: int, num_features: int, num_classes: int = 0
) -> Cost:
  """Returns the cost for [A, D] and [B, D], or Factors with C left columns.

  Pairs that are close relative to their norms cost another 10 (C + D)
  operations each.
  """
  dim = num_classes + num_features
  pairs = num_a * num_b
  return Cost(
    operations=2 * pairs * dim + 4 * pairs + 2 * (num_a + num_b) * dim,
    num_bytes=BYTES * ((num_a + num_b) * dim + pairs),
    # The products, the running count of close pairs, and the pairs that are
    # recomputed.
    extra_bytes=BYTES
    * ((4 if num_classes else 3) * pairs + 8 * min(1024, pairs) * dim),
  )


def gradient_factors(
  *, num_points: int, num_features: int, num_classes: int
) -> Cost:
  """Returns the cost of a softmax; the embedding is passed through."""
  del num_features
  return Cost(
    operations=8 * num_points * num_classes,
    num_bytes=2 * BYTES * num_points * num_classes,
    # Includes a mask of the predicted class, one byte per entry.
    extra_bytes=BYTES * num_points * (1.25 * num_classes + 2),
  )


def gradient_embedding(
  *, num_points: int, num_features: int, num_classes: int
) -> Cost:
  """Returns the cost of a softmax and of writing [N, C * D]."""
  width = num_classes * num_features
  return Cost(
    operations=num_points * (8 * num_classes + width),
    num_bytes=BYTES * num_points * (num_classes + num_features + width),
    extra_bytes=BYTES * num_points * (2.25 * num_classes + 2),
  )


def per_example_gradients(
  *,
  num_points: int,
  num_params: int,
  operations_of_one: float,
  activations_of_one: int,
  sketch_dim: int | None = None,
  chunk: int = 16,
) -> Cost:
  """Returns the cost for a loss with `operations_of_one` per gradient.

  `activations_of_one` counts the numbers that one example keeps from the
  forward pass, including patches of convolutions.
  """
  per_example = num_params + activations_of_one
  sketching = 0 if sketch_dim is None else 2 * num_params
  columns = num_params if sketch_dim is None else sketch_dim
  return Cost(
    operations=num_points * (operations_of_one + sketching),
    num_bytes=BYTES * num_points * (2 * per_example + columns),
    extra_bytes=BYTES * (2 * chunk * per_example + 2 * num_params),
  )


def kmeans_plus_plus(
  *,
  num_points: int,
  num_features: int,
  k: int,
  num_classes: int = 0,
  block: int = 128,
  acceptance: float = 0.3,
) -> Cost:
  """Returns the cost for dense points, or Factors with C left columns.

  `acceptance` is the share of candidates that become picks: 0.5 on random
  points, 0.05 to 0.5 on gradients of an MLP on MNIST. If it is low, the kernel
  visits the pool, which costs no more than the rejections before.
  """
  dim = num_classes + num_features
  num_blocks = k / (acceptance * block)
  per_block = block * (k / 2 + block)
  return Cost(
    operations=dim * (4 * num_points + 2 * num_blocks * per_block),
    # Norms and the first pick read the pool; each block reads the bounds.
    num_bytes=BYTES
    * (2 * num_points * dim + num_blocks * (4 * num_points + dim * k / 2)),
    extra_bytes=BYTES
    * (14 * num_points + dim * (2 * k + 4 * _TILE + 8 * block)),
  )


def one_pick_per_pass(
  *, num_points: int, num_features: int, k: int, num_classes: int = 0
) -> Cost:
  """Returns the cost of textbook k-means++ or k-center: one pass per pick.

  The two kernels avoid most of these passes. At worst, when no pick can be
  decided without a pass over the pool, they cost as much.
  """
  dim = num_classes + num_features
  return Cost(
    operations=2 * num_points * dim * k,
    num_bytes=BYTES * num_points * (dim + 2) * k,
    extra_bytes=BYTES * 4 * num_points,
  )


def k_center(
  *,
  num_points: int,
  num_features: int,
  k: int,
  num_classes: int = 0,
  num_centers: int = 0,
  block: int = 128,
  share: float = 0.15,
) -> Cost:
  """Returns the cost for dense points, or Factors with C left columns.

  `share`, at most 1, is the compared part of the N (K + M) pairs of a point and
  a center: 0.14 on random features with 1,000 initial centers.
  """
  dim = num_classes + num_features
  block = min(block, k)
  candidates = 4 * block
  num_blocks = k / block
  pairs = share * num_points * (k + num_centers)
  products = 2 if num_classes else 1
  return Cost(
    operations=2 * dim * (pairs + num_blocks * candidates**2 + num_points),
    # Norms and the first centers read the pool; each block reads the bounds and
    # the rows of the shortlist.
    num_bytes=BYTES
    * (2 * num_points * dim + num_blocks * (4 * num_points + _SHORTLIST * dim)),
    extra_bytes=BYTES
    * (
      5 * num_points
      + _COVER_TILE * (products * _MET_AT_ONCE + dim)
      + candidates * (candidates + dim)
    ),
  )


def lcmd(
  *,
  num_points: int,
  num_features: int,
  k: int,
  num_classes: int = 0,
  num_centers: int = 0,
) -> Cost:
  """Returns the cost for dense points, or Factors with C left columns.

  Each pick takes a pass over all points and over the sums of the clusters.
  """
  dim = num_classes + num_features
  num_passes = k + num_centers / _COVER_CENTERS
  columns = _COVER_CENTERS if num_centers else 1
  rows = _COVER_TILE if num_centers else 0
  return Cost(
    operations=2 * num_points * dim * (k + num_centers) + 8 * num_points * k,
    num_bytes=BYTES * num_points * (dim + 10) * num_passes,
    extra_bytes=BYTES
    * (
      12 * num_points
      + rows * ((3 if num_classes else 2) * columns + 2 * dim)
      + 2 * columns * dim
    ),
  )


def k_means(
  *,
  num_points: int,
  num_features: int,
  k: int,
  num_iters: int,
  num_classes: int = 1,
) -> Cost:
  """Returns the cost of `num_iters` iterations, without seeding.

  `num_classes` is the number C of left columns of Factors, 1 for dense points.
  """
  dim = num_classes * num_features
  width = num_features + (num_classes if num_classes > 1 else 0)
  looks = num_iters + 1
  return Cost(
    operations=looks * num_points * dim * (4 * k + 3),
    num_bytes=BYTES * looks * num_points * (width + 3),
    # Includes the memory of seeding.
    extra_bytes=BYTES * (18 * num_points + 3 * _TILE * (dim + k) + 4 * k * dim),
  )
