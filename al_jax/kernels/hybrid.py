"""Hybrid informativeness: uncertainty, density and novelty in one score."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax.kernels import (
  _checks,
  _greedy,
  _padding,
  _similarities,
  _xla,
  distances,
  selection,
  sharded,
)
from al_jax.kernels.selection import Selection
from al_jax.kernels.sharded import Sharded


def hybrid_informativeness(
  scores: jax.Array,
  points: distances.Points | Sharded,
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
  """Picks greedily the k points of largest uncertainty, density and novelty.

  With r_ij = max(0, cos(h_i, h_j)), references R among the eligible points,
  and L the labelled and the picked points,

    a_i = u_i^alpha * rho_i^beta * (1 - kappa_i)^gamma,
    rho_i = mean of r_ij over the j in R other than i,
    kappa_i = max of r_ij over the j in L, 0 if there is none.

  The density rho keeps out outliers, and the redundancy kappa near copies of
  known points. With alpha 1 and the others 0 it is `top_k` of the scores.

  Redundancy only grows, so that a score a that ignores part of L is an upper
  bound. Only the points with the largest bounds meet all of L; the others meet
  its first 128 points, or a few more. The picks equal those of one pass over
  the pool per pick.

  Gikunda and Jouandeau 2020, "Budget Active Learning for Deep Networks", names
  the measures and leaves their formulas open. These formulas are our own.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> scores = jnp.array([0.9, 0.8, 0.5])
  >>> points = jnp.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
  >>> kernels.hybrid_informativeness(scores, points, 2, beta=0.0).indices
  Array([0, 2], dtype=int32)

  Args:
    scores: Uncertainties u, float [N], 0 or above, such as entropy divided by
      log C. A point whose score is negative or not finite is never picked.
    points: Embeddings h, float [N, D], Factors, or Sharded. Their lengths do
      not matter; a point of length 0 is similar to nothing. A point with a
      coordinate that is not finite is never picked and affects no other point.
    k: Number of picks, at least 1; static.
    eligible: Points that may be picked, bool[N]. If None, all.
    labeled: Points that are labelled already, bool[N]. They are not picked. If
      None, there are none.
    key: Random key that draws `num_references` eligible points as R. If None, R
      is all of them, at the cost of computing all similarities.
    num_references: Size of R if there is a key, at least 1; static.
    alpha: Exponent of the uncertainty, 0 or above. A power that overflows
      counts as the largest number.
    beta: Exponent of the density, 0 or above.
    gamma: Exponent of the novelty, 0 or above.
    block: Maximum number of picks before points are brought up to date, at
      least 1; static. It changes the speed, not the picks.

  Returns:
    A Selection whose values are the a_i. Ties go to the lowest index. If fewer
    than k points can be picked, the remaining indices are -1 and values -inf.

  Raises:
    ValueError: If k, num_references or block is below 1, or an exponent is
      negative.
  """
  k, block = _checks.count('k', k), _checks.count('block', block)
  num_references = _checks.count('num_references', num_references)
  for name, power in {'alpha': alpha, 'beta': beta, 'gamma': gamma}.items():
    _checks.number(
      name, power, '0 or above, and finite', lambda value: 0 <= value < np.inf
    )
  points = sharded.checked('points', points, distances.checked)
  num_points = sharded.number(points)
  scores = _checks.per_point('scores', scores, num_points, 'points')
  eligible = _checks.mask('eligible', eligible, num_points)
  labeled = _checks.mask('labeled', labeled, num_points)
  if key is not None:
    key = _checks.key(key)
  return _hybrid_informativeness(
    scores=scores,
    points=points,
    k=k,
    eligible=eligible,
    labeled=labeled,
    key=key,
    num_references=num_references,
    alpha=alpha,
    beta=beta,
    gamma=gamma,
    block=block,
  )


@_xla.compiled
@sharded.on_each_device
def _hybrid_informativeness(
  *,
  scores,
  points,
  k,
  eligible,
  labeled,
  key,
  num_references,
  alpha,
  beta,
  gamma,
  block,
):
  scores = _checks.at_least_float32(scores)
  both = sharded.mapped(_similarities.normalised, points)
  finite = sharded.per_row(lambda rows: rows[1], both)
  unit = sharded.mapped(
    lambda rows, place: rows[0]._replace(place=place),
    both,
    jnp.arange(finite.size, dtype=jnp.int32),
  )
  if not scores.size:
    return selection.nothing(k, scores.dtype)
  eligible = _checks.among(finite, eligible)
  pickable = eligible & jnp.isfinite(scores) & (scores >= 0)
  if labeled is not None:
    labeled &= finite
    pickable &= ~labeled
  worth = jnp.power(jnp.where(pickable, scores, 0.0), alpha)
  # inf times a density or novelty of 0 would be NaN.
  worth = jnp.minimum(worth, jnp.finfo(worth.dtype).max)
  if isinstance(beta, jax.Array) or beta > 0:
    worth *= jnp.power(_density(unit, eligible, key, num_references), beta)
  # -inf: never the largest.
  worth = jnp.where(pickable, worth, -jnp.inf)

  def lower(values, rows, known, present):
    similar = _similarities.similarities(rows.unit, known.unit)
    redundancy = jnp.max(jnp.where(present[None], similar, 0.0), axis=1)
    return jnp.minimum(values, _value(rows.worth, redundancy, gamma))

  def caps(rows):
    between = _similarities.similarities(rows.unit, rows.unit)
    return _value(rows.worth[None, :], between, gamma)

  block = min(block, k)
  scoring = _greedy.Scoring(sharded.mapped(_Worthy, unit, worth), lower, caps)
  state = _greedy.start(worth, labeled, k, block)
  return _greedy.selected(_greedy.pick(scoring, state, k, block), k)


class _Worthy(NamedTuple):
  """Points of length 1, and their worth without redundancy, [N]."""

  unit: _similarities.Unit
  worth: jax.Array


def _density(unit, eligible, key, num_references):
  """Computes each point's mean similarity to references other than itself."""
  is_reference = eligible
  if key is not None:
    drawn = selection.uniform(key, eligible, min(num_references, eligible.size))
    drawn = _padding.past_end(drawn.indices, eligible.size)
    is_reference = jnp.zeros_like(eligible).at[drawn].set(True, mode='drop')
  (references,) = jnp.nonzero(is_reference, size=eligible.size, fill_value=0)
  num_present = jnp.sum(is_reference)

  def sum_of_others(rows, others, present):
    is_other = present[None] & (rows.place[:, None] != others.place[None])
    return jnp.sum(
      jnp.where(is_other, _similarities.similarities(rows, others), 0.0), axis=1
    )

  total = _similarities.total(unit, references, num_present, sum_of_others)
  return total / jnp.maximum(num_present - is_reference, 1)


def _value(worth, redundancy, gamma):
  """Returns the informativeness; -inf where `worth` is."""
  novelty = jnp.power(1 - redundancy, gamma)
  # -inf * 0 is NaN.
  return jnp.where(worth > -jnp.inf, worth * novelty, -jnp.inf)
