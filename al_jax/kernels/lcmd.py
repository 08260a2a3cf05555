"""Largest cluster, maximum distance: far points of where the pool is."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _xla, distances, selection, sharded
from al_jax.kernels.selection import Selection
from al_jax.kernels.sharded import Sharded

# Pairs of a point and a center that are compared at a time, and centers there
# from the start.
_PAIRS_AT_ONCE = 2**20
_CENTERS_PER_PASS = 512


def lcmd(
  points: distances.Points | Sharded,
  k: int,
  *,
  eligible: jax.Array | None = None,
  centers: jax.Array | None = None,
) -> Selection:
  """The farthest point of the largest cluster, k times, each becoming a center.

  Every point belongs to its nearest center. With s_x the squared distance of an
  eligible point to that center, each pick is

    argmax_x s_x over the cluster with the largest sum of s_x.

  k-center follows the farthest points, which may be outliers; a cluster is only
  large if many points, or some very far ones, are badly covered.

  Holzmueller, Zaverkin, Kaestner and Steinwart 2023, "A Framework and Benchmark
  for Deep Batch Active Learning for Regression", section 5: LCMD, whose `TP`
  mode is `centers` being the labelled points.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> points = jnp.array([[0.0], [5.0], [20.0], [23.0], [16.0], [17.0]])
  >>> covered = jnp.array([True, False, True, False, False, False])
  >>> kernels.lcmd(points, 2, centers=covered)
  Selection(indices=Array([4, 1], dtype=int32), values=Array([16., 25.], \
dtype=float32))

  Args:
    points: float [N, D], Factors, or Sharded. A point whose squared length is
      not finite, or within a factor 8 of overflow, is neither picked nor a
      center. A squared distance below the rounding error of the expanded form,
      about 1e-6 of the squared lengths, counts as 0.
    k: how many, at least 1; static.
    eligible: bool[N], what may be picked, and counts in the sums; None: all.
    centers: bool[N], the points that are centers from the start, such as the
      labelled ones. They are not picked. With none, the first pick is the
      eligible point of the largest length.

  Returns:
    A Selection whose values are the squared distances to the nearest center, or
    the squared length for a first pick without centers. They need not fall. A
    point between two centers at one distance belongs to the earlier pick, or to
    the lower index of two that are there from the start. Of clusters with equal
    sums that of the farthest point counts; of points at equal distances the
    lowest index. Past the number that can be picked indices are -1 and values
    -inf.

  Raises:
    ValueError: k below 1.
  """
  k = _checks.count('k', k)
  points = sharded.checked('points', points, distances.checked)
  num_points = sharded.number(points)
  eligible = _checks.mask('eligible', eligible, num_points)
  centers = _checks.mask('centers', centers, num_points)
  return _lcmd(points=points, k=k, eligible=eligible, centers=centers)


class _State(NamedTuple):
  """What is carried from pick to pick.

  Attributes:
    sq_dists: [N], to the nearest center; inf without any.
    owner: int32[N], the index of that center.
    left: bool[N], what can still be picked.
    picks: those so far.
    count: int32, their number.
  """

  sq_dists: jax.Array
  owner: jax.Array
  left: jax.Array
  picks: Selection
  count: jax.Array


@_xla.compiled
@sharded.on_each_device
def _lcmd(*, points, k, eligible, centers):
  pool = sharded.mapped(distances.with_norms, points)
  sq_norms = sharded.per_row(lambda rows: rows.sq_norms, pool)
  if not sq_norms.size:
    return selection.nothing(k, sq_norms.dtype)
  finite = distances.finite(sq_norms)
  is_center = jnp.zeros_like(finite) if centers is None else finite & centers
  state = _State(
    jnp.full_like(sq_norms, jnp.inf),
    jnp.zeros(sq_norms.shape, jnp.int32),
    _checks.among(finite & ~is_center, eligible),
    selection.nothing(k, sq_norms.dtype),
    jnp.zeros((), jnp.int32),
  )
  unit = _unit(jnp.where(finite, sq_norms, 0.0))
  if centers is not None:
    state = _cover(pool, state, is_center)

  def pick(state):
    chosen, value = _next(sq_norms, state, unit)
    state = _join(pool, state, chosen[None], 1)
    picks = Selection(
      state.picks.indices.at[state.count].set(chosen),
      state.picks.values.at[state.count].set(value),
    )
    left = state.left.at[chosen].set(False)
    return state._replace(left=left, picks=picks, count=state.count + 1)

  return lax.while_loop(
    lambda state: (state.count < k) & jnp.any(state.left), pick, state
  ).picks


def _unit(sq_norms):
  """The power of two by which sums of squared distances stay finite."""
  _, exponent = jnp.frexp(jnp.max(sq_norms))
  return jnp.ldexp(jnp.ones((), sq_norms.dtype), -exponent // 2)


def _next(sq_norms, state, unit):
  """The farthest point of the largest cluster; without centers the longest."""
  sq_dists = jnp.where(state.left, state.sq_dists, 0.0)
  shares = sq_dists * unit * unit
  sums = jax.ops.segment_sum(shares, state.owner, state.owner.size)[state.owner]
  # -inf: below every sum and every squared distance.
  sums = jnp.where(state.left, sums, -jnp.inf)
  rank = jnp.where(jnp.isinf(state.sq_dists), sq_norms, state.sq_dists)
  rank = jnp.where(state.left & (sums == jnp.max(sums)), rank, -jnp.inf)
  chosen = jnp.argmax(rank).astype(jnp.int32)
  return chosen, rank[chosen]


def _cover(pool, state, is_center):
  """The state once all centers are there, some at a time."""
  (order,) = jnp.nonzero(is_center, size=is_center.size, fill_value=0)
  order = jnp.pad(order.astype(jnp.int32), (0, _CENTERS_PER_PASS))
  number = jnp.sum(is_center)

  def cover_some(carry):
    done, state = carry
    some = lax.dynamic_slice_in_dim(order, done, _CENTERS_PER_PASS)
    state = _join(pool, state, some, number - done)
    return done + _CENTERS_PER_PASS, state

  _, state = lax.while_loop(
    lambda carry: carry[0] < number, cover_some, (0, state)
  )
  return state


def _join(pool, state, indices, count):
  """The state after the first `count` of `indices` are centers."""
  new = sharded.take(pool, indices)
  sq_dists, owner = sharded.per_row(
    functools.partial(_joined, new=new, indices=indices, count=count),
    pool,
    state.sq_dists,
    state.owner,
  )
  return state._replace(sq_dists=sq_dists, owner=owner)


def _joined(pool, sq_dists, owner, *, new, indices, count):
  """Distances and owners of some rows once there are new centers.

  Tiles are slices that overlap at the end: no point changes its center twice.
  """
  num_points = owner.size
  tile = min(num_points, _PAIRS_AT_ONCE // indices.size)
  is_center = jnp.arange(indices.size) < count

  def join_tile(number, known):
    start = jnp.minimum(number * tile, num_points - tile)
    rows, (sq_dists, owner) = jax.tree.map(
      lambda rows: lax.dynamic_slice_in_dim(rows, start, tile), (pool, known)
    )
    to_new = distances.clear_squared_distances(
      rows.points, new.points, rows.sq_norms, new.sq_norms
    )
    # inf: further than any center.
    to_new = jnp.where(is_center[None, :], to_new, jnp.inf)
    nearest = jnp.argmin(to_new, axis=1)
    least = jnp.min(to_new, axis=1)
    is_nearer = least < sq_dists
    joined = (
      jnp.where(is_nearer, least, sq_dists),
      jnp.where(is_nearer, indices[nearest], owner),
    )
    return jax.tree.map(
      lambda all_rows, rows: lax.dynamic_update_slice_in_dim(
        all_rows, rows, start, 0
      ),
      known,
      joined,
    )

  return lax.fori_loop(0, -(-num_points // tile), join_tile, (sq_dists, owner))
