"""Measures how well predicted values rank true ones, in training and tests."""

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.training.course import Mean


def pair_loss(
  predicted: jax.Array, true: jax.Array, real: jax.Array, *, margin: float
) -> Mean:
  """Computes a hinge loss over pairs, for predictions in the wrong order.

  Of n real rows, row i is paired with row n - 1 - i. If n is odd, the middle
  row is left out. A pair (i, j) costs

    max(0, -s (predicted_i - predicted_j) + margin),

  where s is 1 if true_i > true_j, and else -1.

  Yoo and Kweon 2019, "Learning Loss for Active Learning", equation 2.

  Args:
    predicted: float32[B], in any unit.
    true: float32[B]; no gradient goes through it.
    real: bool[B], False in padding rows, which come last.
    margin: margin of the hinge.

  Returns:
    The Mean over pairs; total and count are 0 without pairs.
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

  Only pairs with different true values count. A pair with equal predicted
  values counts half, so that chance is 0.5 for any predictions.

  Args:
    predicted: float32[N], finite.
    true: float32[N], finite.

  Returns:
    float32, a scalar; NaN if all true values are the same.
  """
  number = len(true)
  # Among equal true values larger predictions come first, so that such a pair
  # is never ascending.
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
  """Tells whether each value differs from the one before it: bool[N]."""
  return jnp.concatenate([jnp.ones(1, jnp.bool_), values[1:] != values[:-1]])


def _equal_pairs(changes):
  """Counts the pairs within the runs that begin at changes: float32."""
  runs = jnp.cumsum(changes) - 1
  counts = jnp.bincount(runs, length=len(runs)).astype(jnp.float32)
  return jnp.sum(counts * (counts - 1)) / 2


def _ascending_pairs(ranks):
  """Counts the pairs j < i with ranks[j] < ranks[i]: float32.

  The highest bit in which two ranks differ decides their order. So pairs are
  counted bit by bit, among the ranks that agree in all higher bits.
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
    float32, from -1 to 1; NaN if all values of one array are equal.
  """
  ranks = [_ranks(values) for values in (first, second)]
  a, b = (each - jnp.mean(each) for each in ranks)
  return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a * a) * jnp.sum(b * b))


def _ranks(values):
  """Computes ranks from 0 to 1; equal values share their mean rank."""
  order = jnp.sort(values)
  ends = (
    jnp.searchsorted(order, values, side=side) for side in ('left', 'right')
  )
  return sum(ends) / (2 * len(values))
