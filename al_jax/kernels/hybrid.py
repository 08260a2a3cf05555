"""Uncertain, typical, and not yet covered: three measures in one."""

import operator
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _similarities, distances, selection
from al_jax.kernels.selection import Selection

# More candidates per pick lower the bound under which no pick is certain.
_CANDIDATES_PER_PICK = 4


class _State(NamedTuple):
  """What is carried from block to block.

  Attributes:
    worth: [N], u^alpha * rho^beta; -inf where it cannot be picked, or no more.
    redundancy: [N].
    indices: int32, the first `count` are final.
    values: likewise.
    count: int32.
  """

  worth: jax.Array
  redundancy: jax.Array
  indices: jax.Array
  values: jax.Array
  count: jax.Array


def hybrid_informativeness(
  scores: jax.Array,
  points: distances.Points,
  k: int,
  *,
  eligible: jax.Array | None = None,
  labeled: jax.Array | None = None,
  key: jax.Array | None = None,
  num_references: int = 2000,
  alpha: float | jax.Array = 1.0,
  beta: float | jax.Array = 1.0,
  gamma: float | jax.Array = 0.5,
  block: int = 64,
) -> Selection:
  """Greedily the k points of largest uncertainty, density and novelty.

  With r_ij = max(0, cos(h_i, h_j)), references R among the eligible points,
  and L the labelled and the picked points,

    a_i = u_i^alpha * rho_i^beta * (1 - kappa_i)^gamma,
    rho_i = mean of r_ij over the j in R other than i,
    kappa_i = max of r_ij over the j in L, 0 if there is none.

  The density rho keeps outliers out, the redundancy kappa near copies of what
  is known. With alpha 1 and the others 0 it is `top_k` of the scores.

  Redundancy only grows, so a stale a is an upper bound: many picks are decided
  among the points of largest stale a before one matrix product brings the pool
  up to date, and they are those of one pass over the pool per pick.

  Gikunda and Jouandeau 2020, "Budget Active Learning for Deep Networks", names
  the measures and leaves their formulas open: these are ours.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> scores = jnp.array([0.9, 0.8, 0.5])
  >>> points = jnp.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
  >>> kernels.hybrid_informativeness(scores, points, 2, beta=0.0).indices
  Array([0, 2], dtype=int32)

  Args:
    scores: float [N], the uncertainties u, 0 or above, such as entropy divided
      by log C. One that is not finite or is negative is never picked.
    points: float [N, D], or Factors: the embeddings h. Their length does not
      matter; one of length 0 is similar to nothing. One with a coordinate that
      is not finite is never picked and counts for no other point.
    k: how many, at least 1; static.
    eligible: bool[N], what may be picked; None: all.
    labeled: bool[N], what is known already, and so not picked; None: nothing.
    key: draws `num_references` eligible points as R; None: R is all of them,
      at the price of all similarities.
    num_references: |R| where there is a key, at least 1; static.
    alpha: exponent of the uncertainty, 0 or above.
    beta: exponent of the density, 0 or above.
    gamma: exponent of the novelty, 0 or above.
    block: the most picks between two passes over the pool, at least 1; static.
      It changes the speed, not the picks.

  Returns:
    A Selection whose values are the a_i. Ties go to the lowest index. Past the
    points that can be picked indices are -1 and values -inf.

  Raises:
    ValueError: k, num_references or block below 1, or a negative exponent.
  """
  k, block = operator.index(k), operator.index(block)
  numbers = {'k': k, 'num_references': num_references, 'block': block}
  for name, number in numbers.items():
    if number < 1:
      raise ValueError(f'{name} is {number}; it must be at least 1.')
  for name, power in {'alpha': alpha, 'beta': beta, 'gamma': gamma}.items():
    if not isinstance(power, jax.Array) and not power >= 0:
      raise ValueError(f'{name} is {power}; it must be 0 or above.')
  scores = jnp.asarray(scores)
  chex.assert_rank(scores, 1)
  chex.assert_type(scores, float)
  unit, finite = _similarities.normalised(points)
  chex.assert_equal_shape([scores, finite])
  if not scores.size:
    return Selection(jnp.full(k, -1, jnp.int32), jnp.full(k, -jnp.inf))
  eligible = finite & _mask(eligible, scores.shape, everything=True)
  labeled = finite & _mask(labeled, scores.shape, everything=False)
  pickable = eligible & ~labeled & jnp.isfinite(scores) & (scores >= 0)
  worth = jnp.power(jnp.where(pickable, scores, 0.0), alpha)
  if isinstance(beta, jax.Array) or beta > 0:
    worth *= jnp.power(_density(unit, eligible, key, num_references), beta)
  (known,) = jnp.nonzero(labeled, size=labeled.size, fill_value=0)
  redundancy = jnp.zeros_like(worth)
  redundancy = _covered(unit, redundancy, known, jnp.sum(labeled))
  # A block is written whole, so that the last one needs room past k.
  block = min(block, k)
  state = _State(
    # -inf: never the largest.
    jnp.where(pickable, worth, -jnp.inf),
    redundancy,
    jnp.full(k + block, -1, jnp.int32),
    jnp.full(k + block, -jnp.inf, worth.dtype),
    jnp.zeros((), jnp.int32),
  )
  state = lax.while_loop(
    lambda state: (state.count < k) & jnp.any(state.worth > -jnp.inf),
    lambda state: _pick_a_block(unit, state, gamma, k, block),
    state,
  )
  return Selection(state.indices[:k], state.values[:k].astype(jnp.float32))


def _mask(mask, shape, *, everything):
  """A bool[N] argument, checked; None stands for everything or nothing."""
  if mask is None:
    return jnp.full(shape, everything)
  mask = jnp.asarray(mask)
  chex.assert_type(mask, bool)
  chex.assert_shape(mask, shape)
  return mask


def _density(unit, eligible, key, num_references):
  """Mean similarity of each point to the references other than itself."""
  is_reference = eligible
  if key is not None:
    drawn = selection.uniform(key, eligible, min(num_references, eligible.size))
    drawn = jnp.where(drawn.indices >= 0, drawn.indices, eligible.size)
    is_reference = jnp.zeros_like(eligible).at[drawn].set(True, mode='drop')
  (references,) = jnp.nonzero(is_reference, size=eligible.size, fill_value=0)
  num_present = jnp.sum(is_reference)

  def sum_of_others(rows, others, present):
    is_other = present[None] & (rows.place[:, None] != others.place[None])
    return jnp.sum(
      jnp.where(is_other, _similarities.similarities(rows, others), 0.0), axis=1
    )

  zeros = jnp.zeros(eligible.shape, unit.parts[0].dtype)
  total = _similarities.fold(
    unit, zeros, references, num_present, sum_of_others, jnp.add
  )
  return total / jnp.maximum(num_present - is_reference, 1)


def _covered(unit, redundancy, members, count):
  """`redundancy` once the first `count` of the members are known too."""

  def largest(rows, others, present):
    return jnp.max(
      jnp.where(present[None], _similarities.similarities(rows, others), 0.0),
      axis=1,
    )

  return _similarities.fold(
    unit, redundancy, members, count, largest, jnp.maximum
  )


def _pick_a_block(unit, state, gamma, k, block):
  """Picks what is certain and brings the redundancies up to date.

  They are so at the start, so that the first pick, the largest, is certain.
  """
  num_candidates = min(_CANDIDATES_PER_PICK * block, state.worth.size)
  value = _value(state.worth, state.redundancy, gamma)
  # -inf: nobody is outside a pool of as many points.
  padded = jnp.pad(value, (0, 1), constant_values=-jnp.inf)
  # Without the barrier XLA would sort the whole pool: see `selection`.
  highest, indices = lax.optimization_barrier(
    lax.top_k(padded, num_candidates + 1)
  )
  bound, outsider = highest[-1], indices[-1]
  # By index, so that among equals the lowest wins.
  candidates = jnp.sort(indices[:-1])
  some = jax.tree.map(lambda leaf: leaf[candidates], unit)
  between = _similarities.similarities(some, some)
  room = jnp.minimum(block, k - state.count)
  worth, redundancy = state.worth[candidates], state.redundancy[candidates]

  def best(worth, redundancy):
    value = _value(worth, redundancy, gamma)
    place = jnp.argmax(value)
    # The outsider is the first of those at the bound.
    tied = (value[place] == bound) & (candidates[place] < outsider)
    certain = (value[place] > bound) | tied
    return place, value[place], certain & (value[place] > -jnp.inf)

  def pick(carry):
    (place, value, _), (worth, redundancy), places, values, count = carry
    worth = worth.at[place].set(-jnp.inf)
    redundancy = jnp.maximum(redundancy, between[place])
    return (
      best(worth, redundancy),
      (worth, redundancy),
      places.at[count].set(place.astype(jnp.int32)),
      values.at[count].set(value),
      count + 1,
    )

  _, _, places, values, count = lax.while_loop(
    lambda carry: carry[0][2] & (carry[-1] < room),
    pick,
    (
      best(worth, redundancy),
      (worth, redundancy),
      jnp.zeros(block, jnp.int32),
      jnp.full(block, -jnp.inf, value.dtype),
      jnp.zeros((), jnp.int32),
    ),
  )
  indices = candidates[places]
  picked = jnp.arange(block) < count
  # N is dropped.
  taken = jnp.where(picked, indices, state.worth.size)
  return _State(
    state.worth.at[taken].set(-jnp.inf, mode='drop'),
    _covered(unit, state.redundancy, indices, count),
    lax.dynamic_update_slice_in_dim(
      state.indices, jnp.where(picked, indices, -1), state.count, 0
    ),
    lax.dynamic_update_slice_in_dim(state.values, values, state.count, 0),
    state.count + count,
  )


def _value(worth, redundancy, gamma):
  """The informativeness; -inf where `worth` is."""
  novelty = jnp.power(1 - redundancy, gamma)
  # -inf * 0 is NaN.
  return jnp.where(worth > -jnp.inf, worth * novelty, -jnp.inf)
