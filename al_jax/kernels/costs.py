"""What a kernel will cost: operations, bytes and extra memory, predicted.

One function per kernel, under the kernel's name, of its sizes. Operations over
a machine's matrix-multiply rate and bytes over its memory bandwidth: the longer
of the two times is the least the kernel can take there. Numbers are float32.
"""

from typing import NamedTuple

_BYTES = 4
# Rows of the pool that a tiled kernel holds at a time.
_TILE = 1024


class Cost(NamedTuple):
  """What one call of a kernel takes.

  Attributes:
    operations: additions and multiplications.
    num_bytes: read from and written to memory outside the caches.
    extra_bytes: memory besides arguments and result.
  """

  operations: float
  num_bytes: float
  extra_bytes: float


def squared_distances(
  *, num_a: int, num_b: int, num_features: int, num_classes: int = 0
) -> Cost:
  """Of [A, D] to [B, D], or of Factors with C columns on the left.

  Pairs that are near for their length cost another 10 (C + D) operations each.
  """
  dim = num_classes + num_features
  pairs = num_a * num_b
  return Cost(
    operations=2 * pairs * dim + 4 * pairs + 2 * (num_a + num_b) * dim,
    num_bytes=_BYTES * ((num_a + num_b) * dim + pairs),
    # The running count of near pairs, and the pairs as they are recomputed.
    extra_bytes=_BYTES * (2 * pairs + 8 * min(1024, pairs) * dim),
  )


def gradient_factors(
  *, num_points: int, num_features: int, num_classes: int
) -> Cost:
  """A softmax; the embedding is passed on."""
  return Cost(
    operations=8 * num_points * num_classes,
    num_bytes=2 * _BYTES * num_points * num_classes,
    extra_bytes=2 * _BYTES * num_points * num_classes,
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
  """Of a loss whose gradient takes `operations_of_one` for one example.

  `activations_of_one` counts the numbers kept from the forward pass, patches
  of convolutions included.
  """
  per_example = num_params + activations_of_one
  sketching = 0 if sketch_dim is None else 2 * num_params
  columns = num_params if sketch_dim is None else sketch_dim
  return Cost(
    operations=num_points * (operations_of_one + sketching),
    num_bytes=_BYTES * num_points * (2 * per_example + columns),
    extra_bytes=_BYTES * (2 * chunk * per_example + 2 * num_params),
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
  """Of dense points, or of Factors with C columns on the left.

  `acceptance` is the share of candidates that become picks: 0.5 on random
  points, 0.05 to 0.5 on gradients of an MLP on MNIST. Visits to the pool, made
  where it is low, cost no more than the rejections that they follow.
  """
  dim = num_classes + num_features
  num_blocks = k / (acceptance * block)
  per_block = block * (k / 2 + block)
  return Cost(
    operations=dim * (4 * num_points + 2 * num_blocks * per_block),
    # Norms and the first pick read the pool; a block reads the bounds.
    num_bytes=_BYTES
    * (2 * num_points * dim + num_blocks * (4 * num_points + dim * k / 2)),
    extra_bytes=_BYTES * (6 * num_points + dim * (k + 2 * _TILE + 4 * block)),
  )


def k_means(
  *,
  num_points: int,
  num_features: int,
  k: int,
  num_iters: int,
  num_classes: int = 1,
) -> Cost:
  """Of `num_iters` iterations, seeding apart; C columns where Factors."""
  dim = num_classes * num_features
  width = num_features + (num_classes if num_classes > 1 else 0)
  looks = num_iters + 1
  return Cost(
    operations=looks * num_points * dim * (4 * k + 3),
    num_bytes=_BYTES * looks * num_points * (width + 3),
    extra_bytes=_BYTES * (4 * num_points + 3 * _TILE * (dim + k) + 4 * k * dim),
  )
