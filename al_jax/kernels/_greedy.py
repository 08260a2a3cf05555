"""Greedy selection by scores that only fall, with the pool visited lazily.

Each pick becomes a center, and a center lowers the scores of other points. A
point meets a center when its score takes the center into account; before that,
the score is an upper bound. Only the points with the largest bounds are brought
up to date. Picks are made among them while the best score is above the bounds
of all others. The picks equal those of one pass over the pool per pick.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _xla, sharded
from al_jax.kernels.selection import Selection

# Candidates per pick of a block. More candidates make more picks certain, but
# need a larger matrix of caps.
_CANDIDATES_PER_PICK = 4
# Number of points that are brought up to date before each block of picks.
SHORTLIST = 1024
# Rows of the shortlist that meet centers at a time (those that have met similar
# numbers of centers go together), rows of the pool per tile of a pass, and
# centers that a group of rows meets at a time.
_ROWS = 512
TILE = 2048
CENTERS = 64
# The whole pool meets this many first centers, in passes.
MET_BY_ALL = 128


class Scoring(NamedTuple):
  """Rules for how centers lower the scores of points.

  Attributes:
    pool: Rows of all points, a pytree of arrays [N, ...].
    lower: Function (scores [R], rows of the pool, W rows of centers, bool[W]:
      which centers are present) -> scores once the rows have met those centers.
    caps: Function from C rows of the pool to [C, C]: entry (i, j) is an upper
      bound of the score of j once i is a center.
  """

  pool: sharded.Rows
  lower: Callable[[jax.Array, Any, Any, jax.Array], jax.Array]
  caps: Callable[[Any], jax.Array]


class Picks(NamedTuple):
  """State carried from block to block.

  Attributes:
    scores: Upper bounds, [N]; -inf for points that cannot be picked (any more).
    met: int32[N], number of centers, from the first, in each score.
    met_by_all: int32, lower bound of `met`.
    order: int32, centers in the order in which they became centers, with room
      for a block past the last pick.
    num_centers: int32, number of centers.
    values: [k + block], scores at the time of each pick; -inf past the last.
    count: int32, number of picks.
    more: bool, whether any point is left to pick.
  """

  scores: jax.Array
  met: jax.Array
  met_by_all: jax.Array
  order: jax.Array
  num_centers: jax.Array
  values: jax.Array
  count: jax.Array
  more: jax.Array


def start(
  scores: jax.Array, centers: jax.Array | None, k: int, block: int
) -> Picks:
  """Returns the state before the first pick.

  Args:
    scores: Scores before any center is met, [N]; -inf for points that cannot be
      picked.
    centers: Initial centers, bool[N]. If None, there are none.
    k: Number of picks; static.
    block: Maximum number of picks between two shortlists; static.
  """
  room = k + block + CENTERS
  if centers is None:
    order, num_centers = jnp.zeros(room, jnp.int32), jnp.zeros((), jnp.int32)
  else:
    (order,) = jnp.nonzero(centers, size=centers.size, fill_value=0)
    order = jnp.pad(order.astype(jnp.int32), (0, room))
    num_centers = jnp.sum(centers, dtype=jnp.int32)
  return Picks(
    scores,
    met=jnp.zeros(scores.shape, jnp.int32),
    met_by_all=jnp.zeros((), jnp.int32),
    order=order,
    num_centers=num_centers,
    values=jnp.full(k + block, -jnp.inf, scores.dtype),
    count=jnp.zeros((), jnp.int32),
    more=jnp.any(scores > -jnp.inf),
  )


def pick(scoring: Scoring, state: Picks, k: int, block: int) -> Picks:
  """Picks the point with the largest score until there are k or none is left.

  Ties go to the lowest index.
  """
  return lax.while_loop(
    lambda state: state.more & (state.count < k),
    lambda state: _pick_a_block(scoring, state, k, block),
    state,
  )


def selected(state: Picks, k: int) -> Selection:
  """Returns the first k picks; -1 and -inf past the last."""
  start = state.num_centers - state.count
  indices = lax.dynamic_slice_in_dim(state.order, start, k)
  return Selection(
    jnp.where(jnp.arange(k) < state.count, indices, -1), state.values[:k]
  )


def _pick_a_block(scoring, state, k, block):
  """Brings the largest bounds up to date and makes the picks that are certain.

  Every block makes progress: the point with the largest bound is either picked
  or brought up to date.
  """
  state = _pass_over(scoring, state)
  shortlist, outsider = largest(state.scores, SHORTLIST)
  state = bring_up_to_date(scoring, state, shortlist)
  return pick_certain(scoring, state, shortlist, outsider, k, block)


def _pass_over(scoring, state):
  """Lets all points meet the first centers that they have not met yet."""
  goal = jnp.minimum(state.num_centers, MET_BY_ALL)
  # Padded by CENTERS: `meet_all` reads that many at a time.
  centers = sharded.take(scoring.pool, state.order[: MET_BY_ALL + CENTERS])
  return state._replace(
    scores=sharded.per_row(
      lambda rows, scores: meet_all(
        scoring, centers, scores, rows, state.met_by_all, goal
      ),
      scoring.pool,
      state.scores,
    ),
    met=jnp.maximum(state.met, goal),
    met_by_all=goal,
  )


def meet_all(
  scoring: Scoring,
  centers: Any,
  scores: jax.Array,
  rows: Any,
  start: jax.Array,
  stop: jax.Array,
  of_rows: Callable[[Any], Any] = lambda rows: rows,
) -> jax.Array:
  """Returns the scores of consecutive points once they have met some centers.

  The last tile overlaps the one before: meeting a center twice changes nothing.

  Args:
    scoring: Rules for how centers lower scores.
    centers: Rows of the centers in order, then `CENTERS` rows of any points.
    scores: Old scores, [R].
    rows: Rows of the R points, in any form that `of_rows` accepts.
    start: First center to meet.
    stop: End of the centers to meet, exclusive.
    of_rows: Function from a tile of `rows` to rows of the pool.

  Returns:
    The scores, [R].
  """
  num_points = scores.size
  tile = min(TILE, num_points)

  def some_centers(start):
    return jax.tree.map(
      lambda leaf: lax.dynamic_slice_in_dim(leaf, start, CENTERS), centers
    )

  def lower_tile(number, scores):
    first = jnp.minimum(number * tile, num_points - tile)
    some, old = jax.tree.map(
      lambda leaf: lax.dynamic_slice_in_dim(leaf, first, tile), (rows, scores)
    )
    new = _meet(scoring, some_centers, old, of_rows(some), start, stop)
    return lax.dynamic_update_slice_in_dim(scores, new, first, 0)

  num_tiles = jnp.where(start < stop, -(-num_points // tile), 0)
  return lax.fori_loop(0, num_tiles, lower_tile, scores)


def bring_up_to_date(scoring, state, shortlist):
  """Lets the points of the shortlist meet every center they have not met.

  The points are sorted by the number of centers they have met, so that a group
  of rows meets few centers twice.
  """
  met, shortlist = lax.sort((state.met[shortlist], shortlist), num_keys=1)
  size = min(_ROWS, shortlist.size)

  def some_centers(start):
    some = lax.dynamic_slice_in_dim(state.order, start, CENTERS)
    return sharded.take(scoring.pool, some)

  def lower_rows(number, scores):
    start = jnp.minimum(number * size, shortlist.size - size)
    some, old = (
      lax.dynamic_slice_in_dim(of_list, start, size)
      for of_list in (shortlist, scores)
    )
    rows = sharded.take(scoring.pool, some)
    new = _meet(scoring, some_centers, old, rows, met[start], state.num_centers)
    return lax.dynamic_update_slice_in_dim(scores, new, start, 0)

  # Groups of rows that are up to date are skipped.
  num_behind = jnp.sum(met < state.num_centers)
  scores = lax.fori_loop(
    0, -(-num_behind // size), lower_rows, state.scores[shortlist]
  )
  return state._replace(
    scores=state.scores.at[shortlist].set(scores),
    met=state.met.at[shortlist].set(state.num_centers),
  )


def _meet(scoring, some_centers, scores, rows, start, stop):
  """Returns the scores of rows once they have met centers `start` to `stop`.

  `some_centers(i)` returns the rows of `CENTERS` centers from the i-th.
  """

  def meet_some(carry):
    start, scores = carry
    present = jnp.arange(CENTERS) < stop - start
    scores = scoring.lower(scores, rows, some_centers(start), present)
    return start + CENTERS, scores

  _, scores = lax.while_loop(
    lambda carry: carry[0] < stop, meet_some, (start, scores)
  )
  return scores


def pick_certain(scoring, state, shortlist, outsider, k, block):
  """Picks greedily while the best score beats the bound of every other point.

  The candidates are the best of the shortlist, which is up to date.
  """
  scores = state.scores[shortlist]
  places, other = largest(scores, _CANDIDATES_PER_PICK * block)
  # Padded: if all are candidates, the place of the other is past the end.
  other = other._replace(index=jnp.pad(shortlist, (0, 1))[other.index])
  outsider = _better(outsider, other)
  candidates = shortlist[places]
  caps = scoring.caps(sharded.take(scoring.pool, candidates))
  room = jnp.minimum(block, k - state.count)

  def best(scores):
    place = jnp.argmax(scores)
    it = _Best(scores[place], candidates[place])
    return place, _is_before(it, outsider) & (it.score > -jnp.inf)

  def pick_one(carry):
    scores, (place, _), indices, values, count = carry
    indices = indices.at[count].set(candidates[place])
    values = values.at[count].set(scores[place])
    scores = jnp.minimum(scores, caps[place]).at[place].set(-jnp.inf)
    return scores, best(scores), indices, values, count + 1

  def is_certain(carry):
    _, (_, certain), _, _, count = carry
    return certain & (count < room)

  start = (
    scores[places],
    best(scores[places]),
    jnp.zeros(block, jnp.int32),
    jnp.full(block, -jnp.inf, scores.dtype),
    jnp.zeros((), jnp.int32),
  )
  lowered, _, *picks = lax.while_loop(is_certain, pick_one, start)
  return _with_picks(state, *picks, candidates, lowered)


def _with_picks(state, indices, values, count, candidates, lowered):
  """Returns the state after `count` picks, all met by the candidates."""
  num_centers = state.num_centers + count
  scores = state.scores.at[candidates].set(lowered)
  return state._replace(
    scores=scores,
    met=state.met.at[candidates].set(num_centers),
    order=lax.dynamic_update_slice_in_dim(
      state.order, indices, state.num_centers, 0
    ),
    num_centers=num_centers,
    values=lax.dynamic_update_slice_in_dim(
      state.values, values, state.count, 0
    ),
    count=state.count + count,
    more=jnp.any(scores > -jnp.inf),
  )


class _Best(NamedTuple):
  """Score and index of the best of some points; ties go to the lowest index."""

  score: jax.Array
  index: jax.Array


def _is_before(one, other):
  return (one.score > other.score) | (
    (one.score == other.score) & (one.index < other.index)
  )


def _better(one, other):
  is_before = _is_before(one, other)
  return jax.tree.map(lambda a, b: jnp.where(is_before, a, b), one, other)


def largest(scores, count):
  """Finds the places of the `count` largest scores, in ascending order.

  Returns:
    The places, or all places if there are no more than `count`; and the best of
    the other points, whose score is -inf if there is none.
  """
  # -inf: below every score.
  padded = jnp.pad(scores, (0, 1), constant_values=-jnp.inf)
  best, places = _xla.top_k(padded, min(count, scores.size) + 1)
  return jnp.sort(places[:-1]), _Best(best[-1], places[-1])
