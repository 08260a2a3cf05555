"""How well numbers rank others: as a loss, and as shares over a whole split."""

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.training.course import Mean

# Rows of the table of pairs that are compared at a time.
_ROWS = 128


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
    predicted: float32[N].
    true: float32[N].

  Returns:
    float32, a scalar; NaN if all true values are the same.
  """
  size = len(true)
  padded = -(-size // _ROWS) * _ROWS
  rows = jnp.minimum(jnp.arange(padded), size - 1).reshape(-1, _ROWS)

  def of_rows(index):
    above = true[index][:, None] > true[None]
    higher = predicted[index][:, None] > predicted[None]
    same = predicted[index][:, None] == predicted[None]
    # Twice the score, in whole numbers.
    score = jnp.where(same, 1, 2 * higher.astype(jnp.int32))
    score = jnp.sum(jnp.where(above, score, 0), axis=1)
    return score, jnp.sum(above, axis=1, dtype=jnp.int32)

  scores, pairs = lax.map(of_rows, rows)
  scores, pairs = scores.reshape(-1)[:size], pairs.reshape(-1)[:size]
  # A sum of N^2 overflows int32 beyond 46,340 examples.
  total = jnp.sum(pairs.astype(jnp.float32))
  return 0.5 * jnp.sum(scores.astype(jnp.float32)) / total


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
