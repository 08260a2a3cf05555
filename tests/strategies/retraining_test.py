"""Ranks by expected error reduction, against training under every label.

The table of docs/bayesian.md:

    python -m pytest -m study -s tests/strategies/retraining_test.py
"""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from sklearn.neural_network import MLPClassifier

from al_jax import data
from al_jax.strategies import expected_error
from tests.strategies.linear_network import softmax

pytestmark = pytest.mark.study

C, CANDIDATES, DRAWS = 10, 40, 3
# Of the examples whose entropy counts; the candidates are the first of them.
POOLS = (CANDIDATES, 1000)
# Set, labels that the network was trained on, labels of the round, ridge.
ROWS = [
  ('mnist', 500, 60, 1.0),
  ('mnist', 500, 200, 1.0),
  ('mnist', 500, 60, 0.1),
  ('letter', 1000, 200, 1.0),
]


def entropies(logits):
  probs = softmax(logits)
  return -np.sum(probs * np.log(np.maximum(probs, 1e-300)), axis=-1)


def features(source, num_trained):
  """10 principal components of the embeddings of an MLP 128, and a 1."""
  train = data.load(source).train
  chosen = np.flatnonzero(train.targets < C)
  chosen = np.random.default_rng(0).permutation(chosen)[: num_trained + 6000]
  inputs = np.asarray(train.inputs[chosen], float).reshape(len(chosen), -1)
  inputs, targets = inputs / inputs.max(), train.targets[chosen]
  network = MLPClassifier((128,), random_state=0, max_iter=500)
  network.fit(inputs[:num_trained], targets[:num_trained])
  hidden = inputs[num_trained:] @ network.coefs_[0] + network.intercepts_[0]
  hidden = np.maximum(hidden, 0)
  hidden -= hidden.mean(axis=0)
  axes = np.linalg.svd(hidden, full_matrices=False)[2][:10]
  return np.c_[hidden @ axes.T, np.ones(len(hidden))], targets[num_trained:]


def fitted(points, labels, ridge, start):
  """Weights [D, C] of a logistic regression with a ridge, to the end."""
  truth = np.eye(C)[labels]

  def loss(flat):
    weights = flat.reshape(start.shape)
    logits = points @ weights
    fit = scipy.special.logsumexp(logits, axis=1).sum() - np.sum(truth * logits)
    gradient = points.T @ (softmax(logits) - truth) + ridge * weights
    return fit + ridge / 2 * np.sum(weights**2), gradient.ravel()

  def curvature(flat, direction):
    weights, change = flat.reshape(start.shape), direction.reshape(start.shape)
    probs, moved = softmax(points @ weights), points @ change
    moved = probs * (moved - np.sum(probs * moved, axis=1, keepdims=True))
    return (points.T @ moved + ridge * change).ravel()

  found = scipy.optimize.minimize(
    loss,
    start.ravel(),
    jac=True,
    hessp=curvature,
    method='trust-krylov',
    options={'gtol': 1e-6},
  )
  assert np.abs(found.jac).max() < 1e-5
  return found.x.reshape(start.shape)


def retrained(points, labels, num_labels, ridge, weights):
  """Weights [40, C, D, C] after every label of every candidate."""
  known = np.arange(num_labels)
  return np.array(
    [
      [
        fitted(
          points[[*known, candidate]],
          [*labels[known], label],
          ridge,
          weights,
        )
        for label in range(C)
      ]
      for candidate in range(num_labels, num_labels + CANDIDATES)
    ]
  )


def scores(points, weights, num_labels, pool, ridge):
  """The expected entropy after a label of each candidate, as the strategy."""
  rows = np.arange(num_labels + pool)
  found = expected_error.expected_entropy(
    points[rows, :-1].astype(np.float32),
    (points[rows] @ weights).astype(np.float32),
    ridge=ridge,
    eligible=rows >= num_labels,
    labeled=rows < num_labels,
  )
  return np.asarray(found)[num_labels : num_labels + CANDIDATES]


def compared(found, truth):
  """Rank correlation, the ten best in common, the ratio of the spreads."""
  best = [set(np.argsort(values)[:10]) for values in (found, truth)]
  correlation = scipy.stats.spearmanr(found, truth).statistic
  return correlation, len(best[0] & best[1]), np.std(found) / np.std(truth)


@pytest.mark.parametrize(('name', 'num_trained', 'num_labels', 'ridge'), ROWS)
def test_it_ranks_as_training_anew_does_and_no_worse_than_entropy(
  name, num_trained, num_labels, ridge, tfds_dir, files_dir, monkeypatch
):
  source = (
    'tfds:mnist' if name == 'mnist' else f'file:{files_dir}/letter/letter.npz'
  )
  all_points, all_labels = features(source, num_trained)
  found = {}
  for draw in range(DRAWS):
    order = np.random.default_rng(draw).permutation(len(all_points))
    order = order[: num_labels + max(POOLS)]
    points, labels = all_points[order], all_labels[order]
    weights = np.zeros((points.shape[1], C))
    weights = fitted(points[:num_labels], labels[:num_labels], ridge, weights)
    after = retrained(points, labels, num_labels, ridge, weights)
    logits = points[num_labels : num_labels + CANDIDATES] @ weights
    for pool in POOLS:
      rows = points[num_labels : num_labels + pool]
      remaining = entropies(rows @ after).mean(axis=-1)
      truth = np.sum(softmax(logits) * remaining, axis=1)
      ranked = {'entropy': -entropies(logits)}
      for kind, most in (('fisher', 4096), ('blocks', 0)):
        monkeypatch.setattr(expected_error, '_MOST_WEIGHTS', most)
        ranked[kind] = scores(points, weights, num_labels, pool, ridge)
      for kind, values in ranked.items():
        found.setdefault((pool, kind), []).append(compared(values, truth))
  means = {which: np.mean(each, axis=0) for which, each in found.items()}
  for (pool, kind), (correlation, common, spread) in means.items():
    print(
      f'\n{name} {num_labels} labels, ridge {ridge}, pool {pool}, {kind}: '
      f'{correlation:.2f}, {common:.1f} of 10, spread {spread:.2f}',
      end='',
    )
  for pool in POOLS:
    assert means[pool, 'fisher'][0] >= means[pool, 'entropy'][0] - 0.05
    assert 0.7 < means[pool, 'fisher'][2] < 1.4
