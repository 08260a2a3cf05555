"""How well numbers rank others: as a loss, and as shares over a whole split."""

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.training.course import Mean


def pair_loss(
  predicted: jax.Array, true: jax.Array, real: jax.Array, *, margin: float
) -> Mean:
  """Computes the hinge loss of pairs that are predicted in the wrong order.

  Of n real rows, row i is paired with row n - 1 - i; of an odd n the row in the
  middle has no partner, and of one row there is no pair. A pair (i, j) costs

    max(0, -s (predicted_i - predicted_j) + margin),

  where s is 1 if true_i > true_j, and else -1.

  Yoo and Kweon 2019, "Learning Loss for Active Learning", equation 2.

  Args:
    predicted: float32[B], of any unit.
    true: float32[B], no gradient goes through it.
    real: bool[B], False in padding rows, which stand last.
    margin: of the hinge.

  Returns:
    The Mean over pairs; without pairs it is one of nothing.
  """
  count = jnp.sum(real, dtype=jnp.int32)
  first = jnp.arange(len(predicted), dtype=jnp.int32)
  partner = jnp.maximum(count - 1 - first, 0)
  is_pair = first < count // 2
  true = lax.stop_gradient(true)
  sign = jnp.where(true > true[partner], 1.0, -1.0)
  costs = jnp.maximum(0.0, margin - sign * (predicted - predicted[partner]))
  return Mean(jnp.sum(jnp.where(is_pair, costs, 0.0)), count // 2)


def concordance(predicted: jax.Array, true: jax.Array) -> jax.Array:
  """Computes the share of pairs that are predicted in the right order.

  All pairs of examples count whose true values differ; one whose predicted
  values are the same counts half. So 0.5 is chance, whatever is predicted.

  Args:
    predicted: float32[N], finite.
    true: float32[N], finite.

  Returns:
    float32, a scalar; NaN if all true values are the same.
  """
  number = len(true)
  # Of examples with the same true value, those predicted larger come first.
  order = jnp.lexsort((-predicted, true))
  predicted, true = predicted[order], true[order]
  in_order = jnp.sort(predicted)
  ranks = jnp.searchsorted(in_order, predicted).astype(jnp.int32)
  differ = number * (number - 1) / 2 - _equal_pairs(_changes(true))
  halves = _equal_pairs(_changes(in_order)) - _equal_pairs(
    _changes(true) | _changes(predicted)
  )
  return (_ascending_pairs(ranks) + 0.5 * halves) / differ


def _changes(values):
  """bool[N]: a value is another than the one before it."""
  return jnp.concatenate([jnp.ones(1, jnp.bool_), values[1:] != values[:-1]])


def _equal_pairs(changes):
  """The number of pairs within the runs that begin at changes: float32."""
  runs = jnp.cumsum(changes) - 1
  counts = jnp.bincount(runs, length=len(runs)).astype(jnp.float32)
  return jnp.sum(counts * (counts - 1)) / 2


def _ascending_pairs(ranks):
  """The number of pairs j < i with ranks[j] < ranks[i]: float32.

  Two ranks differ first in one bit: pairs are counted bit by bit, among the
  ranks that have all higher bits in common.
  """

  def count(bit, total):
    higher = ranks >> (bit + 1)
    order = jnp.argsort(higher, stable=True)
    higher = higher[order]
    is_zero = (ranks[order] >> bit) & 1 == 0
    zeros = jnp.cumsum(is_zero)
    first = jnp.searchsorted(higher, higher)
    before = zeros - (zeros - is_zero)[first]
    pairs = jnp.where(is_zero, 0, before).astype(jnp.float32)
    return total + jnp.sum(pairs)

  bits = max(len(ranks) - 1, 1).bit_length()
  return lax.fori_loop(0, bits, count, jnp.zeros((), jnp.float32))


def rank_correlation(first: jax.Array, second: jax.Array) -> jax.Array:
  """Computes Spearman's correlation: Pearson's of the ranks.

  Args:
    first: float32[N].
    second: float32[N].

  Returns:
    float32, from -1 to 1; NaN if one of them has no spread.
  """
  ranks = [_ranks(values) for values in (first, second)]
  a, b = (each - jnp.mean(each) for each in ranks)
  return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a * a) * jnp.sum(b * b))


def _ranks(values):
  """Ranks from 0 to 1; equal values share the mean of theirs."""
  order = jnp.sort(values)
  ends = (
    jnp.searchsorted(order, values, side=side) for side in ('left', 'right')
  )
  return sum(ends) / (2 * len(values))
