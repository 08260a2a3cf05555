"""Greedy k-center: covers the pool with balls of the smallest radius."""

import jax

from al_jax.kernels import (
  _checks,
  _covering,
  _greedy,
  _tiled_covering,
  _xla,
  distances,
  selection,
  sharded,
)
from al_jax.kernels.selection import Selection
from al_jax.kernels.sharded import Sharded
from al_jax.kernels.tiled import Tiled


def k_center(
  points: distances.Points | Tiled | Sharded,
  k: int,
  *,
  eligible: jax.Array | None = None,
  centers: jax.Array | None = None,
  block: int = 128,
) -> Selection:
  """Selects k times the point farthest from all centers; it becomes a center.

  The result covers the pool: the largest distance of a point to its nearest
  center is at most twice that of the best k centers. Each pick is

    argmax_x s_x,   s_x = min_c |x - c|^2 over all centers c,

  with ties going to the lowest index. Distances to the nearest center only
  shrink, so that an s that ignores some centers is an upper bound. All points
  meet the first 128 centers. From then on only the points with the largest
  bounds meet the others, and picks are made among them while the best is above
  the bounds of all other points. The picks equal those of one pass over the
  pool per pick.

  That compares at most N (K + M) pairs of a point and a center, for M centers.
  With 50,000 points with random features, 1,000 centers and 1,000 picks it
  compared 14% of these (`python -m experiments.benchmark covering`). Points
  that lie densely in few dimensions need more.

  Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks:
  A Core-Set Approach", Algorithm 1.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> points = jnp.array([[0.0], [1.0], [5.0], [9.0]])
  >>> covered = jnp.array([True, False, False, False])
  >>> kernels.k_center(points, 2, centers=covered)
  Selection(indices=Array([3, 2], dtype=int32), values=Array([81., 16.], \
dtype=float32))

  Args:
    points: float [N, D], Factors, Tiled or Sharded; the picks are the same. For
      Tiled, the rows of all centers are kept in memory. A point whose squared
      length is not finite, or within a factor 8 of overflow, is neither picked
      nor a center. A squared distance below the rounding error of the expanded
      form, about 1e-6 of the squared lengths, counts as 0.
    k: Number of picks, at least 1; static.
    eligible: Points that may be picked, bool[N]. If None, all.
    centers: Initial centers, bool[N], such as the labelled points. They are not
      picked. Without any, the first pick is the eligible point of the largest
      length.
    block: Maximum number of picks before points are brought up to date, at
      least 1; static. It changes speed and memory. The picks are the same
      except for near ties: a product with one center and a product with many
      may round two equal distances differently, and so swap their order.

  Returns:
    A Selection whose values are the squared distances to the nearest center,
    or the squared length for a first pick without centers. Points that
    coincide with a center are picked last, at 0. If fewer than k points can be
    picked, the remaining indices are -1 and values -inf.

  Raises:
    ValueError: If k or block is below 1.
  """
  k, block = _checks.count('k', k), _checks.count('block', block)
  if isinstance(points, Tiled):
    run, num_points = _tiled_covering.k_center, points.num_points
  else:
    points = sharded.checked('points', points, distances.checked)
    run, num_points = _k_center, sharded.number(points)
  eligible = _checks.mask('eligible', eligible, num_points)
  centers = _checks.mask('centers', centers, num_points)
  return run(
    points=points, k=k, eligible=eligible, centers=centers, block=block
  )


@_xla.compiled
@sharded.on_each_device
def _k_center(*, points, k, eligible, centers, block):
  if not sharded.number(points):
    return selection.nothing(k, distances.squared_norms(points).dtype)
  return _greedy.selected(covering(points, k, eligible, centers, block), k)


def covering(
  points: sharded.Rows,
  k: int,
  eligible: jax.Array | None,
  centers: jax.Array | None,
  block: int,
) -> _greedy.Picks:
  """Returns the state after the last pick of `k_center`, for N above 0.

  Its `met` is the number of centers that each point was compared with.
  """
  pool = sharded.mapped(distances.with_norms, points)
  sq_norms = sharded.per_row(lambda rows: rows.sq_norms, pool)
  block = min(block, k)
  state = _covering.begin(sq_norms, eligible, centers, k, block)
  return _greedy.pick(_covering.scoring(pool), state, k, block)
