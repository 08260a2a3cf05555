"""The joint distribution of several points' labels, for BatchBALD.

The labels of the chosen points have one joint distribution per sample of the
network. It is kept as a table with a row per configuration of labels: all of
them while they are few, a random draw of them after. A row needs its weight
and how likely each sample is once those labels have been seen, which is kept
as normalised logarithms: batches of any size do not underflow.

Axis letters: M rows, S samples, C classes, P points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Rows that are met at a time; a table has fewer, or a multiple of it.
TILE = 1000


class JointTable(NamedTuple):
  """The joint distribution of the labels of the points chosen so far.

  Attributes:
    weights: [M], what the rows count for; they sum to 1, padding rows are 0.
    log_beliefs: [M, S], log p(sample | labels of the row).
  """

  weights: jax.Array
  log_beliefs: jax.Array


def nothing_chosen(num_rows, num_networks, dtype):
  """A table of one row, with room for more."""
  num_rows = _whole_tiles(num_rows)
  weights = jnp.zeros(num_rows, dtype).at[0].set(1.0)
  shape = (num_rows, num_networks)
  return JointTable(weights, jnp.full(shape, -jnp.log(num_networks), dtype))


def listed(table, log_probs):
  """The table with a row for every row and label of one more point, [C, S]."""
  num_classes = len(log_probs)
  row = jnp.arange(len(table.weights))
  parent, label = row // num_classes, row % num_classes
  log_beliefs, evidence = _believe(table.log_beliefs[parent], log_probs[label])
  return JointTable(table.weights[parent] * jnp.exp(evidence), log_beliefs)


def drawn(key, table, log_probs, num_drawn):
  """The table with a label of one more point, [C, S], drawn in every row."""
  labels = _draw_labels(key, log_probs, num_drawn)
  labels = jnp.pad(labels, (0, len(table.weights) - num_drawn))
  log_beliefs, _ = _believe(table.log_beliefs, log_probs[labels])
  return table._replace(log_beliefs=log_beliefs)


def drawn_from_list(key, table, log_probs, num_drawn):
  """Rows of equal weight, drawn from those of the points [P, C, S] listed."""
  num_points, num_classes, _ = log_probs.shape
  row = jnp.zeros(num_drawn, jnp.int32)
  for point in range(num_points):
    draw_key = jax.random.fold_in(key, point)
    labels = _draw_labels(draw_key, log_probs[point], num_drawn)
    row = row * num_classes + labels
  missing = _whole_tiles(num_drawn) - num_drawn
  weights = jnp.full(num_drawn, 1 / num_drawn, table.weights.dtype)
  log_beliefs = table.log_beliefs[jnp.pad(row, (0, missing))]
  return JointTable(jnp.pad(weights, (0, missing)), log_beliefs)


def _draw_labels(key, log_probs, num_drawn):
  """int32[M]: labels by log-probabilities [C, S], M // S in a row for each."""
  num_networks = log_probs.shape[1]
  shape = (num_drawn // num_networks, num_networks)
  labels = jax.random.categorical(key, log_probs.T, shape=shape)
  return labels.T.reshape(-1)


def _believe(log_beliefs, log_likelihoods):
  """Bayes' rule: new log-beliefs [M, S] and the labels' log-evidence [M]."""
  log_joint = log_beliefs + log_likelihoods
  possible = jnp.any(log_joint > -jnp.inf, axis=1)
  # Where no sample deems the label possible any belief does, at no weight.
  log_joint = jnp.where(possible[:, None], log_joint, 0.0)
  evidence = jax.nn.logsumexp(log_joint, axis=1)
  log_beliefs = log_joint - evidence[:, None]
  return log_beliefs, jnp.where(possible, evidence, -jnp.inf)


def _whole_tiles(num_rows):
  """With padding rows."""
  return num_rows if num_rows < TILE else -(-num_rows // TILE) * TILE
