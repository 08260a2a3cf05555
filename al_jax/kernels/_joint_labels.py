"""Joint distribution of the labels of several points, for BatchBALD.

The labels of the chosen points have one joint distribution per sample of the
network. A table with one row per configuration of labels holds it: all
configurations while they are few, then a random draw of them. A row needs its
weight and the posterior of the samples given its labels. The posterior is kept
as normalised logarithms, so that batches of any size do not underflow.

Axis letters: M rows, S samples, C classes, P points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Rows processed at a time. A table has fewer rows, or a multiple of it.
TILE = 1000


class JointTable(NamedTuple):
  """Joint distribution of the labels of the points chosen so far.

  Attributes:
    weights: Weights of the rows, [M]; they sum to 1, padding rows have 0.
    log_beliefs: [M, S], log p(sample | labels of the row).
  """

  weights: jax.Array
  log_beliefs: jax.Array


def nothing_chosen(num_rows, num_networks, dtype):
  """Returns a table of one row, with room for more."""
  num_rows = _whole_tiles(num_rows)
  weights = jnp.zeros(num_rows, dtype).at[0].set(1.0)
  shape = (num_rows, num_networks)
  return JointTable(weights, jnp.full(shape, -jnp.log(num_networks), dtype))


def listed(table, log_probs):
  """Extends the table by every label of one more point, [C, S]."""
  num_classes = len(log_probs)
  row = jnp.arange(len(table.weights))
  parent, label = row // num_classes, row % num_classes
  log_beliefs, evidence = _believe(table.log_beliefs[parent], log_probs[label])
  return JointTable(table.weights[parent] * jnp.exp(evidence), log_beliefs)


def drawn(key, table, log_probs, num_drawn):
  """Draws a label of one more point, [C, S], in every row of the table."""
  labels = _draw_labels(key, log_probs, num_drawn)
  labels = jnp.pad(labels, (0, len(table.weights) - num_drawn))
  log_beliefs, _ = _believe(table.log_beliefs, log_probs[labels])
  return table._replace(log_beliefs=log_beliefs)


def drawn_from_list(key, table, log_probs, num_drawn):
  """Draws rows of equal weight from the table that lists points [P, C, S]."""
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
  """Draws labels by log-probabilities [C, S], int32[M].

  Each sample gets M // S consecutive rows.
  """
  num_networks = log_probs.shape[1]
  shape = (num_drawn // num_networks, num_networks)
  labels = jax.random.categorical(key, log_probs.T, shape=shape)
  return labels.T.reshape(-1)


def _believe(log_beliefs, log_likelihoods):
  """Updates log-beliefs [M, S] by Bayes' rule.

  Returns:
    The new log-beliefs, and the log-evidence of the labels [M].
  """
  log_joint = log_beliefs + log_likelihoods
  possible = jnp.any(log_joint > -jnp.inf, axis=1)
  # If no sample deems the label possible, the row has no weight, so that any
  # finite belief will do.
  log_joint = jnp.where(possible[:, None], log_joint, 0.0)
  evidence = jax.nn.logsumexp(log_joint, axis=1)
  log_beliefs = log_joint - evidence[:, None]
  return log_beliefs, jnp.where(possible, evidence, -jnp.inf)


def _whole_tiles(num_rows):
  """Rounds a number of rows up to whole tiles, unless it is below one."""
  return num_rows if num_rows < TILE else -(-num_rows // TILE) * TILE
