"""Largest cluster, maximum distance: far points of badly covered regions."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _xla, distances, selection, sharded
from al_jax.kernels.selection import Selection
from al_jax.kernels.sharded import Sharded

# Pairs of a point and a center that are compared at a time, and initial centers
# that are added at a time.
_PAIRS_AT_ONCE = 2**20
_CENTERS_PER_PASS = 512


def lcmd(
  points: distances.Points | Sharded,
  k: int,
  *,
  eligible: jax.Array | None = None,
  centers: jax.Array | None = None,
) -> Selection:
  """Selects k times the farthest point of the largest cluster as a new center.

  Every point belongs to its nearest center. With s_x the squared distance of an
  eligible point to that center, each pick is

    argmax_x s_x over the cluster with the largest sum of s_x.

  k-center picks the farthest points, which may be outliers. A cluster is only
  large if many points, or some very far ones, are badly covered.

  Holzmueller, Zaverkin, Kaestner and Steinwart 2023, "A Framework and Benchmark
  for Deep Batch Active Learning for Regression", section 5: LCMD. Its `TP` mode
  passes the labelled points as `centers`.

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
    k: Number of picks, at least 1; static.
    eligible: Points that may be picked and count in the sums, bool[N]. If None,
      all.
    centers: Initial centers, bool[N], such as the labelled points. They are not
      picked. Without any, the first pick is the eligible point of the largest
      length.

  Returns:
    A Selection whose values are the squared distances to the nearest center, or
    the squared length for a first pick without centers. They need not decrease.
    A point equally far from two centers belongs to the earlier pick, or to the
    lower index of two initial centers. Among clusters with equal sums, the one
    with the farthest point is picked from; among points at equal distances, the
    lowest index is picked. If fewer than k points can be picked, the remaining
    indices are -1 and values -inf.

  Raises:
    ValueError: If k is below 1.
  """
  k = _checks.count('k', k)
  points = sharded.checked('points', points, distances.checked)
  num_points = sharded.number(points)
  eligible = _checks.mask('eligible', eligible, num_points)
  centers = _checks.mask('centers', centers, num_points)
  return _lcmd(points=points, k=k, eligible=eligible, centers=centers)


class _State(NamedTuple):
  """State carried from pick to pick.

  Attributes:
    sq_dists: [N], squared distances to the nearest center; inf without any.
    owner: int32[N], index of the nearest center.
    left: bool[N], points that can still be picked.
    picks: Picks so far.
    count: int32, number of picks so far.
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
  """Returns the power of two that keeps sums of squared distances finite."""
  _, exponent = jnp.frexp(jnp.max(sq_norms))
  return jnp.ldexp(jnp.ones((), sq_norms.dtype), -exponent // 2)


def _next(sq_norms, state, unit):
  """Finds the farthest point of the largest cluster, or the longest point.

  It is the longest point if there are no centers.
  """
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
  """Returns the state once all initial centers are added, some at a time."""
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
  """Returns the state once the first `count` of `indices` are centers."""
  new = sharded.take(pool, indices)
  sq_dists, owner = sharded.per_row(
    functools.partial(_joined, new=new, indices=indices, count=count),
    pool,
    state.sq_dists,
    state.owner,
  )
  return state._replace(sq_dists=sq_dists, owner=owner)


def _joined(pool, sq_dists, owner, *, new, indices, count):
  """Returns distances and owners of some rows once there are new centers.

  The last tile overlaps the one before: joining twice changes nothing.
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
    # inf: never the nearest center.
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
