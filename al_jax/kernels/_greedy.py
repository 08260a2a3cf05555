"""Greedy selection whose scores only shrink, many picks to a pass.

A pick lowers the scores of the other points, so a score that is out of date is
an upper bound. Many picks are therefore decided among the points of largest
stale score, as long as the best of them is above all others' bound, before one
pass over the pool brings the scores up to date. The picks are those of one
pass per pick.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _xla
from al_jax.kernels.selection import Selection

# Candidates per pick of a block: more of them lower the bound under which no
# pick is certain, at the price of what they have to be told of each other.
_CANDIDATES_PER_PICK = 4


class Picks(NamedTuple):
  """What is carried from block to block.

  Attributes:
    scores: [N]; -inf where a point cannot be picked, or no more.
    indices: int32[k + block]: a block is written whole, so that the last one
      needs room past k. The first `count` are final, the others -1.
    values: [k + block], the scores when they were picked; -inf past `count`.
    count: int32.
    more: bool, whether anything is left to pick.
  """

  scores: jax.Array
  indices: jax.Array
  values: jax.Array
  count: jax.Array
  more: jax.Array


def pick(
  state: Picks,
  k: int,
  block: int,
  caps_of: Callable[[jax.Array], jax.Array],
  shrink: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
) -> Selection:
  """Picks the point of largest score until there are k, or none is left.

  Args:
    state: at the start, its scores up to date.
    k: how many; static.
    block: the most picks between two passes over the pool; static.
    caps_of: int32[C], some points -> [C, C]: entry (i, j) is what the score of
      the j-th is at most once the i-th is picked.
    shrink: (scores, indices, count) -> the scores, [N], once the first `count`
      of the points at `indices` are picked.

  Returns:
    A Selection whose values are the scores. Ties go to the lowest index.
  """
  state = lax.while_loop(
    lambda state: state.more & (state.count < k),
    lambda state: _pick_a_block(state, k, block, caps_of, shrink),
    state,
  )
  return Selection(state.indices[:k], state.values[:k])


def _pick_a_block(state, k, block, caps_of, shrink):
  """Picks what is certain, at least one point, and renews the scores.

  The largest stale score is up to date already, and so the first pick is
  certain unless nothing is left.
  """
  indices, values, accepted = _certain_picks(state, k, block, caps_of)
  scores = shrink(state.scores, indices, accepted)
  # Past the last pick the index is N, which is dropped.
  taken = jnp.where(jnp.arange(block) < accepted, indices, scores.size)
  scores = scores.at[taken].set(-jnp.inf, mode='drop')
  indices = jnp.where(jnp.arange(block) < accepted, indices, -1)
  return Picks(
    scores,
    lax.dynamic_update_slice_in_dim(state.indices, indices, state.count, 0),
    lax.dynamic_update_slice_in_dim(state.values, values, state.count, 0),
    state.count + accepted,
    accepted > 0,
  )


def _certain_picks(state, k, block, caps_of):
  """Plain greedy among the candidates while it beats everybody's bound.

  Returns:
    indices int32[block], values [block] and how many of them are picks.
  """
  candidates, stale, bound, outsider = _candidates(state.scores, block)
  caps = caps_of(candidates)
  room = jnp.minimum(block, k - state.count)

  def best(scores):
    place = jnp.argmax(scores)
    # The outsider is the first of those at the bound, so that among equals the
    # lower index wins against all of them.
    above = scores[place] > bound
    tied = (scores[place] == bound) & (candidates[place] < outsider)
    return place, (above | tied) & (scores[place] > -jnp.inf)

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
    stale,
    best(stale),
    jnp.zeros(block, jnp.int32),
    jnp.full(block, -jnp.inf, stale.dtype),
    jnp.zeros((), jnp.int32),
  )
  _, _, indices, values, count = lax.while_loop(is_certain, pick_one, start)
  return indices, values, count


def _candidates(scores, block):
  """The points of largest score, in the order of their indices.

  Returns:
    their indices and scores, and the best outsider's score and index: -inf
    where everybody is a candidate.
  """
  num_candidates = min(_CANDIDATES_PER_PICK * block, scores.size)
  # -inf: nobody is outside a pool of as many points.
  padded = jnp.pad(scores, (0, 1), constant_values=-jnp.inf)
  largest, indices = _xla.top_k(padded, num_candidates + 1)
  candidates = jnp.sort(indices[:-1])
  return candidates, scores[candidates], largest[-1], indices[-1]
