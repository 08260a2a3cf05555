"""Losses and shares of pairs against plain loops over them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from al_jax.training import ranking

RNG = np.random.default_rng(0)
pair_loss = jax.jit(ranking.pair_loss, static_argnames='margin')
concordance = jax.jit(ranking.concordance)


def by_hand(predicted, true, count, margin):
  """The costs of rows i and count - 1 - i, one after another."""
  costs = []
  for i in range(count // 2):
    j = count - 1 - i
    sign = 1 if true[i] > true[j] else -1
    costs.append(max(0.0, margin - sign * (predicted[i] - predicted[j])))
  return costs


@pytest.mark.parametrize('count', [0, 1, 2, 5, 8])
def test_pairs_are_of_real_rows_and_the_middle_has_none(count):
  predicted, true = RNG.normal(size=(2, 8)).astype(np.float32)
  # What stands in padding rows is seen by nobody.
  true[count:], predicted[count:] = np.nan, np.nan
  found = pair_loss(predicted, true, np.arange(8) < count, margin=0.7)
  costs = by_hand(predicted, true, count, 0.7)
  assert int(found.count) == len(costs)
  np.testing.assert_allclose(found.total, sum(costs), rtol=1e-6)


def test_a_tie_asks_for_the_second_to_be_larger():
  equal, real = jnp.zeros(2), jnp.ones(2, jnp.bool_)
  found = pair_loss(jnp.array([3.0, 5.0]), equal, real, margin=1.0)
  assert float(found.value) == 0
  found = pair_loss(jnp.array([5.0, 3.0]), equal, real, margin=1.0)
  assert float(found.value) == 3


def test_gradients_reach_the_predictions_alone_and_no_padding():
  predicted, true = RNG.normal(size=(2, 6)).astype(np.float32)
  true[4:] = np.nan

  def loss(predicted, true):
    real = jnp.arange(6) < 4
    return ranking.pair_loss(predicted, true, real, margin=5.0).value

  of_predicted, of_true = jax.jit(jax.grad(loss, argnums=(0, 1)))(
    predicted, true
  )
  assert np.all(np.asarray(of_predicted)[:4] != 0)
  assert not np.any(np.asarray(of_predicted)[4:])
  assert not np.any(of_true)


@pytest.mark.parametrize('size', [2, 5, 130, 300])
def test_concordance_counts_every_pair_whose_true_values_differ(size):
  predicted = RNG.integers(0, 9, size).astype(np.float32)
  true = RNG.integers(0, 5, size).astype(np.float32)
  true[:2] = 0, 1
  scores = [
    0.5 if p == q else float((p > q) == (t > u))
    for (p, t), (q, u) in itertools.combinations(
      zip(predicted, true, strict=True), 2
    )
    if t != u
  ]
  np.testing.assert_allclose(
    concordance(predicted, true), np.mean(scores), rtol=1e-6
  )


def test_chance_is_a_half_and_no_order_is_nan():
  true = RNG.normal(size=50).astype(np.float32)
  assert concordance(np.zeros(50, np.float32), true) == 0.5
  assert concordance(true, true) == 1
  assert concordance(-true, true) == 0
  assert np.isnan(concordance(true, np.zeros(50, np.float32)))


def test_rank_correlation_is_that_of_scipy():
  first = RNG.integers(0, 20, 200).astype(np.float32)
  second = first + RNG.integers(0, 9, 200).astype(np.float32)
  found = jax.jit(ranking.rank_correlation)(first, second)
  expected = scipy.stats.spearmanr(first, second).statistic
  np.testing.assert_allclose(found, expected, atol=1e-5)
