"""Selections from scores: the best k, and a uniform draw."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from al_jax.kernels import _checks, _xla, sharded
from al_jax.kernels.sharded import Sharded

# 23 random bits each: the chance that any two of a million tied points share
# all 69 is below 1e-9.
_NUM_TIE_BREAKERS = 3
# Hint if scores and eligible differ in length.
_IF_OF_SAMPLES = 'Scores of samples are computed from mc_logits [S, N, C].'


class Selection(NamedTuple):
  """Picked points.

  Attributes:
    indices: int32[K], distinct pool indices in order of choice; -1 once no more
      points can be picked.
    values: float [K], the quantity that the kernel maximised at each pick;
      -inf, the maximum over nothing, where the index is -1. At least float32,
      and as wide as the inputs.
  """

  indices: jax.Array
  values: jax.Array


def nothing(k: int, dtype: DTypeLike) -> Selection:
  """Returns a Selection of k without a pick, with values of the given type."""
  return Selection(jnp.full(k, -1, jnp.int32), jnp.full(k, -jnp.inf, dtype))


def top_k(
  scores: jax.Array | Sharded,
  k: int,
  *,
  eligible: jax.Array | None = None,
  key: jax.Array | None = None,
) -> Selection:
  """Picks the k points with the largest scores, largest first.

  With a key, points of equal score are picked and ordered at random, all orders
  being equally likely. Without a key the lower index wins. That skews the
  classes of a pool that is sorted by class, above all if scores take few
  values, such as a vote among S samples.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> scores = jnp.array([0.1, 0.7, jnp.nan, 0.9])
  >>> eligible = jnp.array([True, True, True, False])
  >>> kernels.top_k(scores, 3, eligible=eligible).indices
  Array([ 1,  0, -1], dtype=int32)

  Args:
    scores: float [N], or Sharded, which gives the same picks. A point whose
      score is not finite (NaN, +inf or -inf) is never picked. Zeros of both
      signs tie.
    k: Number of picks, at least 1; static.
    eligible: Points that may be picked, bool[N]. If None, all.
    key: Random key that breaks ties. If None, the lowest index wins.

  Returns:
    A Selection whose values are the scores. If fewer than k points can be
    picked, the remaining indices are -1 and values -inf.

  Raises:
    ValueError: If k is below 1.
  """
  k = _checks.count('k', k)
  scores = sharded.checked(
    'scores', scores, lambda name, given: _checks.floats(name, given, 'N')
  )
  hint = '' if isinstance(scores, Sharded) else _IF_OF_SAMPLES
  eligible = _checks.mask(
    'eligible', eligible, sharded.number(scores), hint=hint
  )
  if key is not None:
    key = _checks.key(key)
  return _top_k(points=scores, k=k, eligible=eligible, key=key)


@_xla.compiled
@sharded.on_each_device
def _top_k(*, points, k, eligible, key):
  if isinstance(points, sharded.Part):
    return _top_k_of_part(points, k, eligible, key)
  scores = ranked(points, eligible)
  # At least k rows, so that there is always a k-th.
  shortfall = max(0, k - scores.shape[0])
  scores = jnp.pad(scores, (0, shortfall), constant_values=-jnp.inf)
  if key is None:
    _, indices = _xla.top_k(scores, k)
  else:
    columns = tie_breakers(key, len(scores))
    chosen = largest(scores, columns, k)
    indices = in_order(scores, columns, chosen)
  values = scores[indices]
  indices = jnp.where(values > -jnp.inf, indices, -1)
  return Selection(indices, values)


def _top_k_of_part(points, k, eligible, key):
  """Picks the best k of the best k of every device.

  Five numbers per proposal travel between devices.
  """
  num_points, each = points.num_points, points.each
  columns = jnp.zeros((0, num_points))
  if key is not None:
    # Draw the same number as one device would, which pads to k.
    columns = tie_breakers(key, max(num_points, k))[:, :num_points]
  own = jnp.ones(num_points, jnp.bool_) if eligible is None else eligible
  scores = ranked(points.rows[:each], sharded.own(points, own))
  columns = sharded.own(points, columns.T).T
  best = largest(scores, columns, min(k, each))
  index = each * lax.axis_index(points.axis) + best
  scores, columns, index = lax.all_gather(
    (scores[best], columns[:, best].T, index), points.axis, tiled=True
  )
  shortfall = max(0, k - len(scores))
  scores = jnp.pad(scores, (0, shortfall), constant_values=-jnp.inf)
  columns = jnp.pad(columns.T, ((0, 0), (0, shortfall)))
  chosen = in_order(scores, columns, largest(scores, columns, k))
  values = scores[chosen]
  # -inf marks padding, whose entry of `index` must not be used.
  indices = jnp.where(values > -jnp.inf, index[chosen], -1)
  return Selection(indices, values)


def uniform(key: jax.Array, eligible: jax.Array, k: int) -> Selection:
  """Draws k eligible points uniformly without replacement.

  Every ordered choice of k eligible points is equally likely. This is the
  baseline that every strategy has to beat. It is `top_k` of scores that all
  tie.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> eligible = jnp.array([False, True, False, True])
  >>> picks = kernels.uniform(jax.random.key(0), eligible, 3).indices
  >>> sorted(picks.tolist())
  [-1, 1, 3]

  Args:
    key: Random key; consumed.
    eligible: Points that may be picked, bool[N].
    k: Number of picks, at least 1; static.

  Returns:
    A Selection whose values are 0, the score that all points share. If fewer
    than k points are eligible, the remaining indices are -1 and values -inf.

  Raises:
    ValueError: If k is below 1.
  """
  k, key = _checks.count('k', k), _checks.key(key)
  eligible = _checks.array('eligible', eligible, 'a bool mask of shape [N]')
  eligible = _checks.mask('eligible', eligible, eligible.size)
  return _uniform(key=key, eligible=eligible, k=k)


@_xla.compiled
def _uniform(*, key, eligible, k):
  scores = jnp.zeros(eligible.shape, jnp.float32)
  return top_k(scores, k, eligible=eligible, key=key)


def ranked(scores: jax.Array, eligible: jax.Array | None) -> jax.Array:
  """Returns scores for ranking: -inf where a point cannot be picked."""
  pickable = _checks.among(jnp.isfinite(scores), eligible)
  scores = _checks.at_least_float32(scores)
  # lax.top_k would rank -0.0 below 0.0.
  scores = jnp.where(scores == 0, 0.0, scores)
  # -inf: below every score that can be picked.
  return jnp.where(pickable, scores, -jnp.inf)


def tie_breakers(key: jax.Array, num_points: int) -> jax.Array:
  """Draws float32[columns, N] that rank points of equal score."""
  return jax.random.uniform(key, (_NUM_TIE_BREAKERS, num_points))


def largest(scores: jax.Array, columns: jax.Array, k: int) -> jax.Array:
  """Finds the positions of the k largest of N >= k scores, random among equals.

  Ranks by score, then by three random columns, without sorting all N. Each
  column in turn settles which of the rows that still tie at the k-th place are
  above it. Only the k chosen rows are sorted, see `in_order`. On 2 CPU cores,
  100 of a million take 35 ms; permuting the million first, to let the lower
  index win, takes 490 ms.
  """
  above = jnp.zeros(scores.shape, jnp.bool_)
  tied = ~above
  for column in (scores, *columns):
    best, _ = _xla.top_k(jnp.where(tied, column, -jnp.inf), k)
    # Fewer than k rows are above, and at least k are above or tied.
    threshold = best[k - 1 - jnp.sum(above)]
    above |= tied & (column > threshold)
    tied &= column == threshold
  return _xla.top_k(2 * above.astype(jnp.float32) + tied, k)[1]


def in_order(
  scores: jax.Array, columns: jax.Array, chosen: jax.Array
) -> jax.Array:
  """Sorts the chosen positions by falling score, at random among equals."""
  keys = (-scores[chosen], *columns[:, chosen])
  return lax.sort((*keys, chosen), num_keys=len(keys))[-1]
