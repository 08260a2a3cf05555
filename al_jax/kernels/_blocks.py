"""Exact D^2 sampling in blocks of candidates, from out-of-date distances.

Defines the state that `kmeans_plus_plus` carries and its two operations: trying
a block of candidates, and visiting the whole pool.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _draws, distances, sharded
from al_jax.kernels.distances import Points

PyTree = Any

# Pool rows and picks per matrix product. Groups of 128 picks are no faster,
# groups of 32 take 1.1 times as long.
ROWS_AT_ONCE = 1024
PICKS_AT_ONCE = 64
# Fixed cost of a block of candidates, as the cost of this many more picks.
_OVERHEAD = 512
# Distances between candidates below this share of their squared norms are
# computed from differences; above it the expanded form is accurate to 0.1%.
_NEAR = 2**-10


class Candidates(NamedTuple):
  """The pool: the part of a run that does not change.

  Attributes:
    points: N points, see `sharded.Rows`.
    norms: Squared norms of the points, [N].
    weights: Weights of the points, [N], at most 1, or None.
  """

  points: sharded.Rows
  norms: jax.Array
  weights: jax.Array | None


class Draws(NamedTuple):
  """State after some blocks.

  Attributes:
    indices: int32[K], picks; -1 from `count` on.
    values: [K], squared distance of each pick to the nearest earlier pick.
    count: Number of picks so far.
    bounds: [N], upper bounds of the squared distance to the nearest pick; 0 for
      picks and for points that cannot be picked.
    centers: Points of the picks, padded with zeros to whole groups.
    center_norms: Squared norms of `centers`; inf from `count` on.
    visited: Number of picks that the bounds of the whole pool account for.
    wasted: Work spent on rejected candidates since the last visit.
    round: Number of the next block.
  """

  indices: jax.Array
  values: jax.Array
  count: jax.Array
  bounds: jax.Array
  centers: Points
  center_norms: jax.Array
  visited: jax.Array
  wasted: jax.Array
  round: jax.Array


def begin(
  norms: jax.Array,
  pickable: jax.Array,
  start: jax.Array,
  first: Points,
  k: int,
) -> Draws:
  """Returns the state before the visit that follows the first pick.

  Args:
    norms: Squared norms, [N].
    pickable: bool[N]. If all are False, there is no pick.
    start: First pick, int32[1].
    first: Point of the first pick.
    k: Number of picks; static.

  Returns:
    Draws without bounds yet; call `visit`, then `begun`.
  """
  count = jnp.any(pickable).astype(jnp.int32)
  width = min(PICKS_AT_ONCE, k)
  # One extra group, since visits read whole groups from any start.
  num_rows = (-(-k // width) + 1) * width
  # Out of range, hence dropped, if nothing can be picked.
  place = jnp.where(count, jnp.zeros(1, jnp.int32), num_rows)
  return Draws(
    indices=_filled(k, -1, jnp.int32, place, start),
    values=_filled(k, -jnp.inf, norms.dtype, place, jnp.inf),
    count=count,
    bounds=jnp.where(pickable, jnp.inf, 0.0).astype(norms.dtype),
    centers=jax.tree.map(
      lambda row: _filled((num_rows, row.shape[1]), 0, row.dtype, place, row),
      first,
    ),
    # inf: no point is near a row that is not a pick yet.
    center_norms=_filled(num_rows, jnp.inf, norms.dtype, place, norms[start]),
    visited=jnp.zeros((), jnp.int32),
    wasted=jnp.zeros((), jnp.float32),
    round=jnp.zeros((), jnp.int32),
  )


def begun(state: Draws, start: jax.Array) -> Draws:
  """Returns the state once the whole pool has met the first pick, `start`."""
  return state._replace(bounds=state.bounds.at[start].set(0.0))


def _filled(shape, filler, dtype, place, value):
  """Returns an array of `filler` with `value` at `place`."""
  return jnp.full(shape, filler, dtype).at[place].set(value, mode='drop')


def draw_block(
  key: jax.Array, mass: jax.Array, block: int
) -> tuple[jax.Array, jax.Array]:
  """Draws a block of candidates.

  Args:
    key: Random key; consumed.
    mass: [N], see `mass`.
    block: Number of candidates; static.

  Returns:
    The candidates, int32[block], and the key that `try_block` takes.
  """
  draw_key, accept_key = jax.random.split(key)
  return _draws.draw(draw_key, mass, block), accept_key


def try_block(
  accept_key: jax.Array,
  state: Draws,
  drawn: jax.Array,
  candidates: Points,
  norms: jax.Array,
) -> Draws:
  """Accepts or rejects the candidates of a block, in order.

  Args:
    accept_key: Random key; consumed.
    state: State before the block.
    drawn: Candidates, int32[block]; may contain duplicates.
    candidates: Points of the candidates.
    norms: Squared norms of the candidates.

  Returns:
    The state with the accepted candidates as picks.
  """
  k, block = state.indices.shape[0], drawn.size
  bars = jax.random.uniform(accept_key, (block,), norms.dtype)
  bars = bars * state.bounds[drawn]
  to_picks = _distances_to_picks(state, candidates, norms)
  to_picks = jnp.minimum(to_picks, state.bounds[drawn])
  to_mates = _distances_to_mates(candidates, norms, drawn)
  accepted = _accept(bars, to_picks, to_mates)
  place = state.count + jnp.cumsum(accepted, dtype=jnp.int32) - 1
  accepted &= place < k
  # Out of range, hence dropped, for rejected candidates.
  place = jnp.where(accepted, place, state.center_norms.shape[0])
  earlier = jnp.tril(jnp.ones((block, block), jnp.bool_), -1)
  values = _nearest(to_picks, to_mates, earlier & accepted[None, :])
  # Includes the candidate itself: the bound of a pick becomes 0.
  bounds = _nearest(to_picks, to_mates, accepted[None, :])
  num_accepted = jnp.sum(accepted, dtype=jnp.int32)
  work = state.count + (block + _OVERHEAD)
  return state._replace(
    indices=state.indices.at[place].set(drawn, mode='drop'),
    values=state.values.at[place].set(values, mode='drop'),
    count=state.count + num_accepted,
    bounds=state.bounds.at[drawn].min(bounds),
    centers=jax.tree.map(
      lambda rows, new: rows.at[place].set(new, mode='drop'),
      state.centers,
      candidates,
    ),
    center_norms=state.center_norms.at[place].set(norms, mode='drop'),
    wasted=state.wasted + (block - num_accepted) * work.astype(jnp.float32),
    round=state.round + 1,
  )


def _accept(bars, to_picks, to_mates):
  """Finds which candidates are accepted when taken one by one, bool[block].

  A candidate is accepted if its squared distance to all picks and to those
  accepted before it in the block is above its bar. The loop finds them without
  taking them one by one: each pass settles at least one more candidate, and a
  few passes settle all, since few candidates block each other.
  """
  in_the_way = jnp.tril(to_mates <= bars[:, None], -1)

  def settle(state):
    accepted, _ = state
    again = (to_picks > bars) & ~jnp.any(in_the_way & accepted[None, :], axis=1)
    return again, jnp.any(again != accepted)

  accepted, _ = lax.while_loop(
    lambda state: state[1], settle, (to_picks > bars, jnp.array(True))
  )
  return accepted


def _nearest(to_picks, to_mates, considered):
  """Returns squared distances to the nearest pick or considered block mate."""
  # inf: never the nearest.
  to_considered = jnp.where(considered, to_mates, jnp.inf)
  return jnp.minimum(to_picks, jnp.min(to_considered, axis=1))


def _distances_to_mates(candidates, norms, drawn):
  """Returns squared distances within a block of candidates, [block, block]."""
  sq_dists = distances.expanded_squared_distances(
    candidates, candidates, norms, norms
  )
  same = drawn[:, None] == drawn[None, :]
  near = sq_dists < _NEAR * (norms[:, None] + norms[None, :])
  sq_dists = distances.recompute_pairs(
    sq_dists, near & ~same, candidates, candidates
  )
  return jnp.where(same, 0.0, sq_dists)


def _distances_to_picks(state, candidates, norms):
  """Returns squared distances of candidates to their nearest picks, [block].

  Matrix products find the nearest pick; its distance is then computed from
  differences, so that a candidate that equals a pick is at 0.
  """
  width = min(PICKS_AT_ONCE, state.indices.shape[0])

  def one_group(group, carry):
    best, nearest = carry
    start = group * width
    centers, center_norms = _slice(
      (state.centers, state.center_norms), start, width
    )
    sq_dists = distances.expanded_squared_distances(
      candidates, centers, norms, center_norms
    )
    closest = jnp.argmin(sq_dists, axis=1).astype(jnp.int32)
    sq_dist = jnp.min(sq_dists, axis=1)
    nearer = sq_dist < best
    return (
      jnp.where(nearer, sq_dist, best),
      jnp.where(nearer, start + closest, nearest),
    )

  unknown = jnp.full(norms.shape, jnp.inf, norms.dtype)
  _, nearest = lax.fori_loop(
    0,
    -(-state.count // width),
    one_group,
    (unknown, jnp.zeros(norms.shape, jnp.int32)),
  )
  return distances.paired_squared_distances(
    candidates, distances.take(state.centers, nearest)
  )


def visit(
  state: Draws, pool: Candidates, picks_at_once: int = PICKS_AT_ONCE
) -> Draws:
  """Updates the bounds of the whole pool."""
  bounds = sharded.per_row(
    lambda points, bounds, norms: renew(
      state, bounds, points, norms, picks_at_once=picks_at_once
    ),
    pool.points,
    state.bounds,
    pool.norms,
  )
  return visited(state._replace(bounds=bounds))


def visited(state: Draws) -> Draws:
  """Returns the state once the bounds of the whole pool are up to date."""
  return state._replace(
    visited=state.count, wasted=jnp.zeros_like(state.wasted)
  )


def renew(
  state: Draws,
  bounds: jax.Array,
  points: PyTree,
  norms: jax.Array,
  *,
  picks_at_once: int = PICKS_AT_ONCE,
  points_of: Callable[[PyTree], Points] = distances.cast,
) -> jax.Array:
  """Returns the bounds of consecutive points once they have met all picks.

  The rounding error of the products is added, so that the results stay upper
  bounds. Each tile of points meets all new picks while it is in the cache.

  Args:
    state: State with the picks, and the number that the bounds account for.
    bounds: Old bounds, [R].
    points: R rows that `points_of` turns into points.
    norms: Squared norms, [R].
    picks_at_once: Number of picks that meet a tile in one product; static.
    points_of: Function from rows of a tile to points, float32 or wider.

  Returns:
    The new bounds, [R].
  """
  width = min(picks_at_once, state.indices.shape[0])
  num_points = norms.shape[0]
  num_rows = min(ROWS_AT_ONCE, num_points)
  num_groups = -(-(state.count - state.visited) // width)

  def one_tile(tile, bounds):
    # The last tile overlaps the one before: taking a minimum twice is harmless.
    start = jnp.minimum(tile * num_rows, num_points - num_rows)
    rows, row_norms, row_bounds = _slice(
      (points, norms, bounds), start, num_rows
    )
    rows = points_of(rows)

    def one_group(group, lowest):
      centers, center_norms = _slice(
        (state.centers, state.center_norms),
        state.visited + group * width,
        width,
      )
      sq_dists = distances.expanded_squared_distances(
        rows, centers, row_norms, center_norms
      ) + distances.rounding_error(row_norms, center_norms)
      return jnp.minimum(lowest, jnp.min(sq_dists, axis=1))

    lowest = lax.fori_loop(0, num_groups, one_group, row_bounds)
    # Keep bounds of 0: points that cannot be picked may have NaN distances.
    lowest = jnp.where(row_bounds > 0, lowest, 0.0)
    return lax.dynamic_update_slice_in_dim(bounds, lowest, start, 0)

  num_tiles = -(-num_points // num_rows)
  return lax.fori_loop(0, num_tiles, one_tile, bounds)


def _slice(arrays, start, size):
  """Returns rows `start` to `start + size` of every array."""
  return jax.tree.map(
    lambda array: lax.dynamic_slice_in_dim(array, start, size), arrays
  )


def mass(state: Draws, pool: Candidates) -> jax.Array:
  """Returns the masses that draws are proportional to, [N].

  They are at most 1, so that their sums stay finite.
  """
  shares = _draws.scaled(state.bounds)
  return shares if pool.weights is None else shares * pool.weights


def visit_is_due(state: Draws, patience: float) -> jax.Array:
  """Returns whether rejections wasted `patience` times the work of a visit."""
  num_points, k = state.bounds.shape[0], state.indices.shape[0]
  pending = state.count - state.visited + PICKS_AT_ONCE
  cost = patience * num_points * pending.astype(jnp.float32)
  return (state.count < k) & (state.wasted >= cost)


def step(
  key: jax.Array,
  state: Draws,
  pool: Candidates,
  block: int,
  patience: float,
) -> tuple[Draws, jax.Array]:
  """Tries a block of candidates, and visits the pool if that is due.

  Args:
    key: Random key shared by all blocks; the block number is folded in.
    state: State before the block.
    pool: Whole pool, in memory.
    block: Number of candidates; static.
    patience: See `visit_is_due`.

  Returns:
    The state, and bool []: whether the pool was visited.
  """
  block_key = jax.random.fold_in(key, state.round)
  drawn, accept_key = draw_block(block_key, mass(state, pool), block)
  candidates = sharded.take(pool.points, drawn)
  norms = distances.take(pool.norms, drawn)
  state = try_block(accept_key, state, drawn, candidates, norms)
  is_due = visit_is_due(state, patience)
  state = lax.cond(
    is_due, lambda state: visit(state, pool), lambda state: state, state
  )
  return state, is_due
