import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from al_jax.strategies import expected_error, expected_error_reduction
from tests.strategies.linear_network import (
  WEIGHTS,
  C,
  D,
  K,
  N,
  choose,
  pool_with,
  softmax,
)

RIDGE = 0.5
ASKED = np.arange(6)


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def entropy(logits):
  probs = softmax(logits)
  return -np.sum(probs * np.log(np.where(probs > 0, probs, 1)), axis=-1)


def entropy_slopes(logits):
  probs = softmax(logits)
  return -probs * (np.log(probs) + entropy(logits)[:, None])


def inverse_fisher(points, probs, labeled, *, blocks):
  """K over weights in the order [D, C]."""
  size, total = points.shape[1], points.shape[1] * C
  fisher = RIDGE * np.eye(total).reshape(size, C, size, C)
  for h, p in zip(points[labeled], probs[labeled], strict=True):
    curvature = np.diag(p * (1 - p)) if blocks else np.diag(p) - np.outer(p, p)
    fisher += np.einsum('d,cf,e->dcef', h, curvature, h)
  return np.linalg.inv(fisher.reshape(total, total)).reshape(fisher.shape)


def answer_of(label, logits, response):
  """Solves a = e_y - softmax(f + G a) by halves of Newton's steps."""
  answer = np.zeros(C)
  for _ in range(50):
    p = softmax(logits + response @ answer)
    residual = answer - np.eye(C)[label] + p
    slope = np.eye(C) + (np.diag(p) - np.outer(p, p)) @ response
    answer = answer - np.linalg.solve(slope, residual) / 2
  assert np.abs(residual).max() < 1e-7
  return answer


def by_the_formula(embeddings, logits, labeled, eligible, *, blocks=False):
  """The double loop of the docstring, in float64."""
  points = np.c_[embeddings, np.ones(len(embeddings))].astype(np.float64)
  logits = logits.astype(np.float64)
  probs, found = softmax(logits), np.zeros(len(points))
  inverse = inverse_fisher(points, probs, labeled, blocks=blocks)
  slopes = points[eligible].T @ entropy_slopes(logits[eligible])
  g = points @ np.einsum('dcef,ef->dc', inverse, slopes / eligible.sum())
  g -= np.sum(probs * g, axis=1, keepdims=True)
  for i, x in enumerate(points):
    influence = np.einsum('nd,dcef,e->ncf', points, inverse, x)
    for label in range(C):
      u = influence @ answer_of(label, logits[i], influence[i])
      spread = u - np.sum(probs * u, axis=1, keepdims=True)
      cumulants = np.sum(probs * spread**2 * g, axis=1)[labeled]
      expected = entropy(logits + u)[eligible].mean() - cumulants.sum() / 2
      found[i] += probs[i, label] * expected
  return found


# One size of arrays, so that it compiles once.
expected = jax.jit(
  functools.partial(expected_error.expected_entropy, ridge=RIDGE)
)


def run(embeddings, logits, labeled, eligible):
  return np.asarray(
    expected(
      jnp.asarray(embeddings),
      jnp.asarray(logits),
      eligible=jnp.asarray(eligible),
      labeled=jnp.asarray(labeled),
    )
  )


def test_scores_are_those_of_the_double_loop(inputs):
  logits = inputs @ WEIGHTS
  labeled = np.arange(N) < 6
  eligible = ~labeled & (np.arange(N) != 9)
  wanted = by_the_formula(inputs, logits, labeled, eligible)
  found = run(inputs, logits, labeled, eligible)
  np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_picks_have_the_smallest_expected_entropy(inputs):
  logits = inputs @ WEIGHTS
  labeled = np.isin(np.arange(N), ASKED)
  wanted = by_the_formula(inputs, logits, labeled, ~labeled)
  order = np.argsort(np.where(labeled, np.inf, wanted))
  strategy = expected_error_reduction(ridge=RIDGE)
  picks = choose(strategy, inputs, pool_with(ASKED))
  np.testing.assert_array_equal(picks, order[:K])


def test_what_was_not_measured_does_not_count(inputs):
  labeled = np.arange(N) < 6
  some = np.arange(N) % 4 != 1
  logits = inputs @ WEIGHTS
  found = run(
    np.where(some[:, None], inputs, np.nan),
    np.where(some[:, None], logits, np.nan),
    labeled,
    ~labeled,
  )
  np.testing.assert_array_equal(np.isnan(found), ~some)
  wanted = by_the_formula(
    inputs[some], logits[some], labeled[some], ~labeled[some]
  )
  np.testing.assert_allclose(found[some], wanted, rtol=1e-4)


def test_long_embeddings_of_the_labelled_do_not_drown_the_ridge(inputs):
  """In float32 a sum of their squares and the ridge is their squares."""
  labeled = np.arange(N) < 3
  logits = inputs @ WEIGHTS
  inputs[labeled] *= 1e4
  wanted = by_the_formula(inputs, logits, labeled, ~labeled)
  found = run(inputs, logits, labeled, ~labeled)
  np.testing.assert_allclose(found[3:], wanted[3:], rtol=1e-3)


def test_blocks_of_the_classes_take_the_place_of_too_large_a_matrix(
  inputs, monkeypatch
):
  monkeypatch.setattr(expected_error, '_MOST_WEIGHTS', (D + 1) * C - 1)
  labeled = np.arange(N) < 6
  logits = inputs @ WEIGHTS
  wanted = by_the_formula(inputs, logits, labeled, ~labeled, blocks=True)
  of_blocks = functools.partial(expected_error.expected_entropy, ridge=RIDGE)
  found = jax.jit(of_blocks)(inputs, logits, eligible=~labeled, labeled=labeled)
  np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_values_of_a_block_of_examples_are_centred_by_their_own_means(rng):
  """XLA on CPU once gave wrong differences for blocks of so many numbers."""
  probs = softmax(rng.normal(size=(1200, 10))).astype(np.float32)
  values = rng.normal(size=(8, 1200, 10)).astype(np.float32)
  block = jax.jit(jax.vmap(lambda one: expected_error._centred(one, probs)))
  means = np.sum(probs * values.astype(np.float64), axis=2, keepdims=True)
  np.testing.assert_allclose(block(values), values - means, atol=1e-5)


def refitted(points, labels, weights):
  """Weights of a logistic regression with a ridge, to the end.

  By steps under a bound on the curvature, which never go up.
  """
  truth = np.eye(C)[labels]
  bound = RIDGE * np.eye(points.shape[1]) + points.T @ points / 2
  towards = np.linalg.inv(bound)
  for _ in range(300):
    residuals = softmax(points @ weights) - truth
    gradient = points.T @ residuals + RIDGE * weights
    weights = weights - towards @ gradient
  assert np.abs(gradient).max() < 1e-4
  return weights


def test_scores_rank_as_training_anew_under_every_label_does(rng):
  embeddings = rng.normal(size=(N, D))
  points = np.c_[embeddings, np.ones(N)]
  labels = np.argmax(points[:, :C] + 0.5 * rng.normal(size=(N, C)), axis=1)
  labeled = np.arange(N) < 20
  weights = refitted(points[:20], labels[:20], np.zeros((D + 1, C)))
  probs, truth = softmax(points @ weights), []
  for i in range(20, N):
    total = 0
    for label in range(C):
      again = refitted(
        points[[*range(20), i]],
        np.append(labels[:20], label),
        weights,
      )
      total += probs[i, label] * entropy(points[20:] @ again).mean()
    truth.append(total)
  found = run(
    embeddings.astype(np.float32),
    (points @ weights).astype(np.float32),
    labeled,
    ~labeled,
  )
  rank_correlation = scipy.stats.spearmanr(found[20:], truth).statistic
  assert rank_correlation > 0.95
  # Better than uncertainty, which looks at an example alone.
  uncertainty = entropy(points[20:] @ weights)
  assert rank_correlation > scipy.stats.spearmanr(-uncertainty, truth).statistic


def test_a_network_that_is_sure_of_everything_is_no_error(inputs):
  strategy = expected_error_reduction(ridge=RIDGE)
  picks = choose(strategy, 1e6 * inputs, pool_with(ASKED))
  assert len(set(picks)) == K and not set(picks) & set(ASKED)


@pytest.mark.parametrize('ridge', [0, -1, float('inf')])
def test_a_ridge_that_is_not_above_zero_is_refused(ridge):
  with pytest.raises(
    ValueError, match=f'ridge is {ridge}; it must be a number above 0'
  ):
    expected_error_reduction(ridge=ridge)
