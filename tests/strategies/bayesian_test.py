import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import strategies
from tests.strategies.linear_network import (
  KEY,
  C,
  D,
  K,
  N,
  choose,
  measure_pool,
  pool_with,
  sampled_probs,
  select,
)

S = 4


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def entropy(probs):
  safe = np.where(probs > 0, probs, 1)
  return -np.sum(probs * np.log(safe), axis=-1)


def reference_score(name, probs):
  """Of probabilities [S, N, C]."""
  votes = np.argmax(probs, axis=-1)
  most = np.max([np.sum(votes == c, axis=0) for c in range(C)], axis=0)
  return {
    'bald': entropy(probs.mean(axis=0)) - entropy(probs).mean(axis=0),
    'variation_ratio': 1 - most / len(probs),
    'mean_std': probs.std(axis=0).mean(axis=-1),
  }[name]


@pytest.mark.parametrize('name', ['bald', 'variation_ratio', 'mean_std'])
def test_picks_are_the_eligible_with_the_largest_scores(name, inputs):
  strategy = strategies.build(name, {'num_samples': S})
  scores = measure_pool(strategy, inputs)
  wanted = reference_score(name, sampled_probs(inputs, S))
  np.testing.assert_allclose(scores, wanted, rtol=1e-3, atol=1e-6)
  asked = np.argsort(-wanted)[:3]
  picks = choose(strategy, inputs, pool_with(asked))
  left = np.delete(wanted, asked)
  # By score, for variation ratios tie.
  np.testing.assert_allclose(wanted[picks], np.sort(left)[::-1][:K], atol=1e-6)
  assert not set(picks) & set(asked)


def test_votes_that_tie_are_drawn_by_the_key(inputs):
  strategy = strategies.variation_ratio(num_samples=S)
  keys = jax.random.split(KEY, 4)
  draws = {
    tuple(choose(strategy, inputs, pool_with([]), key=key)) for key in keys
  }
  assert len(draws) == 4


@pytest.mark.parametrize(
  'name', ['bald', 'batch_bald', 'mean_std', 'variation_ratio']
)
def test_one_sample_tells_nothing_and_is_refused(name):
  with pytest.raises(
    ValueError, match=r'^num_samples is 1; it must be a whole number at least 2'
  ):
    strategies.STRATEGIES[name](num_samples=1)


def test_a_coldness_without_a_draw_is_refused():
  with pytest.raises(
    ValueError, match=r"^coldness is 5\.0 and draw is 'top', wh"
  ):
    strategies.bald(num_samples=S, coldness=5.0)


@pytest.mark.parametrize('draw', ['power', 'softmax', 'softrank'])
def test_a_draw_prefers_high_scores_and_leaves_none_out(draw, inputs):
  strategy = strategies.bald(num_samples=S, draw=draw)
  scores = measure_pool(strategy, inputs)
  if draw == 'softmax':  # scale dependent: nats are too small to matter
    scores = scores * 10
  pool, keys = pool_with([0, 1]), jax.random.split(KEY, 200)
  picks = [select(strategy, scores, pool, key=key)[1].indices for key in keys]
  times = np.bincount(np.ravel(picks), minlength=N)
  assert times[0] == times[1] == 0
  order = 2 + np.argsort(-np.asarray(scores)[2:])
  assert times[order[:10]].sum() > 1.5 * times[order[-10:]].sum()
  assert np.all(times[2:][np.asarray(scores)[2:] > 1e-3] > 0)


@pytest.mark.parametrize('draw', ['power', 'softmax', 'softrank'])
def test_a_cold_draw_is_the_top(draw, inputs):
  cold = strategies.bald(num_samples=S, draw=draw, coldness=1e6)
  top = strategies.bald(num_samples=S)
  np.testing.assert_array_equal(
    choose(cold, inputs, pool_with([2])), choose(top, inputs, pool_with([2]))
  )


def mutual_information(probs):
  """I(y_1 ... y_n; w) of [S, n, C], over all C^n configurations of labels."""
  num_points = probs.shape[1]
  joint = np.array(
    [
      np.mean(np.prod(probs[:, np.arange(num_points), labels], axis=1))
      for labels in itertools.product(range(C), repeat=num_points)
    ]
  )
  return entropy(joint) - entropy(probs).mean(axis=0).sum()


def test_batch_bald_is_greedy_over_all_configurations_of_labels(inputs):
  inputs = 3 * inputs  # samples that disagree
  probs, asked = sampled_probs(inputs, S), [1, 4]
  batch = []
  for _ in range(3):
    gains = [
      -np.inf
      if i in batch + asked
      else mutual_information(probs[:, [*batch, i]])
      for i in range(N)
    ]
    batch.append(int(np.argmax(gains)))
  strategy = strategies.batch_bald(num_samples=S, num_configurations=C**2)
  picks = choose(strategy, inputs, pool_with(asked), k=3)
  np.testing.assert_array_equal(picks, batch)


def test_batch_bald_does_not_ask_the_same_question_twice(inputs):
  inputs *= 100  # every sample is sure of its label
  inputs[20:] = inputs[:20]
  top = choose(strategies.bald(num_samples=S), inputs, pool_with([]))
  strategy = strategies.batch_bald(num_samples=S, num_configurations=C**2)
  picks = choose(strategy, inputs, pool_with([]), k=3)
  assert len(set(top % 20)) < K
  votes = np.argmax(sampled_probs(inputs, S), axis=-1)
  # The labels of one example leave three samples or fewer apart, of two none.
  assert len(set(picks[:2] % 20)) == 2
  assert len(set(map(tuple, votes[:, picks[:2]]))) == S


def test_equal_rows_in_different_chunks_score_alike(inputs):
  inputs[33] = inputs[2]
  for name in ('bald', 'mean_std', 'variation_ratio'):
    scores = measure_pool(strategies.build(name, {'num_samples': S}), inputs)
    assert scores[33] == scores[2]
  logits = measure_pool(
    strategies.batch_bald(num_samples=S, num_configurations=C**2), inputs
  )
  assert logits.shape == (N, S, C)
  np.testing.assert_array_equal(logits[33], logits[2])


def test_numbers_that_make_no_sense_are_refused():
  for name in ('bald', 'mean_std', 'variation_ratio', 'batch_bald'):
    for count in (0, 1.5, True, '3'):
      message = f'num_samples is {count!r}; it must be a whole number'
      with pytest.raises(ValueError, match=message):
        strategies.build(name, {'num_samples': count})
  with pytest.raises(ValueError, match='num_configurations is 99;'):
    strategies.batch_bald(num_samples=100, num_configurations=99)
  with pytest.raises(ValueError, match=r'num_configurations is 10000\.0;'):
    strategies.batch_bald(num_configurations=1e4)
  with pytest.raises(ValueError, match="'power'"):
    strategies.bald(draw='powr')
  with pytest.raises(ValueError, match='coldness is 0'):
    strategies.bald(draw='power', coldness=0)


def test_saturated_samples_that_agree_score_zero():
  scores = measure_pool(
    strategies.bald(num_samples=S), np.zeros((N, D), np.float32)
  )
  assert jnp.all(scores == 0)
