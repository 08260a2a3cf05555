"""Greedy k-center: cover the pool with balls of the smallest radius."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _greedy, _xla, distances, selection
from al_jax.kernels.selection import Selection

# Rows of the pool that are compared with a block of centers at a time: few
# enough that their distances stay in the cache. 1,024 to 4,096 ran alike.
_TILE = 2048
# Centers that are there from the start come as many to a pass over the pool:
# nothing has to be decided between them.
_CENTERS_PER_PASS = 512


def k_center(
  points: distances.Points,
  k: int,
  *,
  eligible: jax.Array | None = None,
  centers: jax.Array | None = None,
  block: int = 128,
) -> Selection:
  """The point farthest from all centers, k times, each becoming a center.

  Covers the pool: the largest distance of a point to its nearest center is at
  most twice what the best k centers leave. Each pick is

    argmax_x s_x,   s_x = min_c |x - c|^2 over all centers c,

  ties going to the lowest index. Distances to the nearest center only shrink,
  so a stale s is an upper bound. Many picks are therefore decided among the
  points of largest stale s, as long as the best of them is above all others'
  bound, before one matrix product brings the pool up to date: the picks are
  those of one pass over the pool per pick.

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
    points: float [N, D], or Factors. A point whose squared length is not
      finite, or within a factor 8 of overflow, is neither picked nor a center.
      A squared distance below the rounding error of the expanded
      form, about 1e-6 of the squared lengths, counts as 0.
    k: how many, at least 1; static.
    eligible: bool[N], what may be picked; None: all.
    centers: bool[N], the points that are centers from the start, such as the
      labelled ones. They are not picked. With none, the first pick is the
      eligible point of the largest length.
    block: the most picks between two passes over the pool, at least 1; static.
      It changes the speed and the memory. The picks are the same but for
      near ties: a product with one center and one with many may round two
      equal distances differently, so that another of the two comes first.

  Returns:
    A Selection whose values are the squared distances to the nearest center,
    or the squared length for a first pick without centers. Points that
    coincide with a center are picked last, at 0. Past the number that can be
    picked its indices are -1 and its values -inf.

  Raises:
    ValueError: k or block below 1.
  """
  k, block = _checks.count('k', k), _checks.count('block', block)
  points = distances.checked('points', points)
  num_points = distances.number(points)
  eligible = _checks.mask('eligible', eligible, num_points)
  centers = _checks.mask('centers', centers, num_points)
  return _k_center(
    points=points, k=k, eligible=eligible, centers=centers, block=block
  )


@_xla.compiled
def _k_center(*, points, k, eligible, centers, block):
  block = min(block, k)
  # Without centers the first pass has one point, the longest, to compare with.
  per_pass = 1 if centers is None else _CENTERS_PER_PASS
  points = distances.cast(points)
  sq_norms = distances.squared_norms(points)
  finite = distances.finite(sq_norms)
  centers = jnp.zeros_like(finite) if centers is None else finite & centers
  pickable = _checks.among(finite & ~centers, eligible)
  if not sq_norms.size:
    return selection.nothing(k, sq_norms.dtype)
  pool = _Points(points, sq_norms)
  state, centers = _start(pool, pickable, centers, k, block)
  state = state._replace(scores=_cover(pool, state.scores, centers, per_pass))

  def distances_among(candidates):
    some = jax.tree.map(lambda rows: rows[candidates], pool)
    return _distances(some, some)

  return _greedy.pick(
    state,
    k,
    block,
    caps_of=distances_among,
    shrink=functools.partial(_shrink, pool),
  )


class _Points(NamedTuple):
  """N points and their squared norms [N]."""

  points: distances.Points
  sq_norms: jax.Array


def _start(pool, pickable, centers, k, block):
  """The state before the first pass, and the centers of that pass.

  Without centers the longest point is picked, and is the only one.
  """
  # -inf: below every squared norm.
  sq_norms = jnp.where(pickable, pool.sq_norms, -jnp.inf)
  longest = jnp.argmax(sq_norms).astype(jnp.int32)
  alone = ~jnp.any(centers) & jnp.any(pickable)
  is_first = alone & (jnp.arange(pickable.size) == longest)
  indices = jnp.full(k + block, -1, jnp.int32)
  values = jnp.full(k + block, -jnp.inf, sq_norms.dtype)
  state = _greedy.Picks(
    # inf: no center yet; -inf: never the largest.
    scores=jnp.where(pickable & ~is_first, jnp.inf, -jnp.inf).astype(
      sq_norms.dtype
    ),
    indices=indices.at[0].set(jnp.where(alone, longest, -1)),
    values=values.at[0].set(jnp.where(alone, sq_norms[longest], -jnp.inf)),
    count=alone.astype(jnp.int32),
    more=jnp.any(pickable),
  )
  return state, centers | is_first


def _cover(pool, sq_dists, centers, per_pass):
  """`sq_dists` to the nearest of all `centers`, some at a time."""
  num_centers = jnp.sum(centers)
  (order,) = jnp.nonzero(centers, size=centers.size, fill_value=0)
  order = jnp.pad(order.astype(jnp.int32), (0, per_pass))

  def cover_some(state):
    done, sq_dists = state
    some = lax.dynamic_slice_in_dim(order, done, per_pass)
    return done + per_pass, _shrink(pool, sq_dists, some, num_centers - done)

  _, sq_dists = lax.while_loop(
    lambda state: state[0] < num_centers, cover_some, (0, sq_dists)
  )
  return sq_dists


def _shrink(pool, sq_dists, indices, count):
  """`sq_dists` after the first `count` of the points at `indices` are centers.

  Tiles are slices that overlap at the end: a minimum taken twice is the same.
  """
  num_points = sq_dists.size
  tile = min(_TILE, num_points)
  is_center = jnp.arange(indices.size) < count
  new = jax.tree.map(lambda rows: rows[indices], pool)

  def shrink_tile(number, sq_dists):
    start = jnp.minimum(number * tile, num_points - tile)
    rows, old = jax.tree.map(
      lambda rows: lax.dynamic_slice_in_dim(rows, start, tile),
      (pool, sq_dists),
    )
    # inf: further than any center.
    to_new = jnp.where(is_center[None, :], _distances(rows, new), jnp.inf)
    shrunk = jnp.minimum(old, jnp.min(to_new, axis=1))
    return lax.dynamic_update_slice_in_dim(sq_dists, shrunk, start, 0)

  return lax.fori_loop(0, -(-num_points // tile), shrink_tile, sq_dists)


def _distances(a, b):
  """Squared distances [A, B].

  Points that are not finite are at -inf from the start, which 0 leaves so.
  """
  return distances.clear_squared_distances(
    a.points, b.points, a.sq_norms, b.sq_norms
  )
