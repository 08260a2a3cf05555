"""Trains a model on the answers so far, and selects the next queries.

Every batch trains a new model on all labels, so only the answers have to be
kept: a process that restarts after a crash comes to the same batch.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import data
from al_jax import pool as pool_lib
from al_jax.kernels import _padding
from al_jax.labelling import estimating
from al_jax.labelling.account import Account, known
from al_jax.labelling.model import Model
from al_jax.loop import acquisition
from al_jax.pool import PoolState
from al_jax.runner.options import Config

# Minimal room for labels in the buffers of a learner. Its programs are
# recompiled each time the buffers grow.
_LEAST_CAPACITY = 256
# Number of examples whose predictions are compared from batch to batch.
_WATCHED = 2000


class Proposed(NamedTuple):
  """A batch of queries.

  The predictions and values are empty for a first batch.

  Attributes:
    picks: int32[k], pool indices in the order of selection.
    values: Acquisition values of the picks.
    score: Name of the acquisition values; '' if they are not shown.
    predicted: Predicted classes of the picks.
    probabilities: Probabilities of the predicted classes.
    estimate: Estimate of the accuracy. None if there are too few labels or it
      is not requested.
    watched: Predicted classes of a fixed sample of the pool, which depends only
      on the size of the pool.
    labels: Number of labels the model was trained on.
    pool: Number of examples in the pool.
    is_drawn: Whether the picks were drawn at random.
    content: Digests of the inputs of the picks.
  """

  picks: np.ndarray
  values: np.ndarray
  score: str
  predicted: np.ndarray
  probabilities: np.ndarray
  estimate: estimating.Accuracy | None
  watched: np.ndarray
  labels: int
  pool: int
  is_drawn: bool
  content: list[str]

  def said(self) -> dict[str, Any]:
    """Returns all fields but the picks, as JSON values."""
    estimate = None if self.estimate is None else self.estimate._asdict()
    return {
      'score': self.score,
      'values': np.asarray(self.values, float).tolist(),
      'predicted': self.predicted.tolist(),
      'probabilities': np.asarray(self.probabilities, float).tolist(),
      'estimate': estimate,
      'watched': self.watched.tolist(),
      'labels': self.labels,
      'pool': self.pool,
      'is_drawn': self.is_drawn,
      'content': self.content,
    }


def propose(
  account: Account,
  dataset: data.Dataset,
  config: Config,
  k: int,
  *,
  folds: int = estimating.FOLDS,
) -> Proposed:
  """Trains on the answers so far, and selects queries.

  While there is no label, nothing is trained, and the config's
  `protocol.first_set` sets how the batch is selected.

  Args:
    account: State of the project.
    dataset: The pool.
    config: Config of the project.
    k: Maximal number of queries.
    folds: Number of folds to estimate the accuracy with; 0 for no estimate.

  Returns:
    The batch. It has fewer than k picks if the pool runs out.

  Raises:
    ValueError: If no example is left to query, or the system cannot work with
      people as the oracle.
  """
  pool = pool_of(account, dataset)
  labels = int(pool_lib.num_trainable(pool))
  capacity = capacity_of(dataset, labels + k)
  k = min(k, int(np.sum(pool_lib.eligible(pool))))
  if not k:
    raise ValueError(
      'all examples of the pool are labelled, skipped or pending: there is '
      'nothing left to ask.'
    )
  model = Model(dataset, config, k, capacity)
  if not labels:
    return _first(model, pool, dataset)
  round = len(account.batches) - 1
  learner = model.trained(pool, round)
  state = model.begun(pool).replace(learner=learner)
  _, proposal = acquisition.propose(
    model.program, state, k, seed=model.seed, round=round
  )
  predicted, probabilities = model.program.predict(learner, proposal.picks)
  watched, _ = model.program.predict(learner, _watched(len(dataset.train)))
  return Proposed(
    proposal.picks,
    proposal.values,
    model.program.system.strategy.score,
    np.asarray(predicted),
    np.asarray(probabilities),
    estimating.estimate(account, model, pool, round, folds),
    np.asarray(watched),
    labels,
    len(dataset.train),
    model.program.system.strategy.uniform,
    contents(dataset, proposal.picks),
  )


def capacity_of(dataset: data.Dataset, labels: int) -> int:
  """Returns the number of labels to compile a model for.

  The number grows in coarse steps, so that recompilation is rare.

  Args:
    dataset: The pool.
    labels: Number of labels to make room for.
  """
  capacity = max(_LEAST_CAPACITY, _padding.size_for(labels))
  return min(capacity, len(dataset.train))


def pool_of(account: Account, dataset: data.Dataset) -> PoolState:
  """Builds the pool state from the answers.

  Pending, skipped, unsure and disputed examples are neither trained on nor
  queried again.

  Args:
    account: State of the project.
    dataset: The pool.

  Returns:
    A PoolState.
  """
  position = known(dataset.train.ids.tolist())
  rounds = np.full(len(position), pool_lib.NEVER, np.int32)
  order, targets = rounds.copy(), np.zeros(len(position), np.int32)
  annotator = np.full(len(position), pool_lib.NOBODY, np.int8)
  labels, asked = account.labels, account.asked
  names = [*account.order, *account.pending]
  for serial, name in enumerate(names):
    at = position[name]
    rounds[at], order[at] = asked[name] - 1, serial
    annotator[at] = pool_lib.ABSTAINED
    if name in labels:
      annotator[at] = pool_lib.ORACLE
      targets[at] = account.classes.index(labels[name])
  return PoolState(rounds, order, targets, annotator)


def _first(model, pool, dataset):
  """Proposes a first batch, without training."""
  pending = model.begun(pool).pending
  nothing, numbers = np.zeros(0), np.zeros(0, np.int32)
  picks = pending[pending >= 0]
  return Proposed(
    picks,
    nothing,
    '',
    numbers,
    nothing,
    None,
    numbers,
    0,
    len(dataset.train),
    model.protocol.first_set == 'uniform',
    contents(dataset, picks),
  )


def contents(dataset: data.Dataset, positions: Sequence[int]) -> list[str]:
  """Computes digests of the inputs of examples, to detect changes.

  Args:
    dataset: The pool.
    positions: Pool indices of the examples.
  """
  rows = dataset.train.take(np.asarray(positions, int)).inputs
  return [
    hashlib.blake2b(
      np.ascontiguousarray(row).tobytes(), digest_size=8
    ).hexdigest()
    for row in rows
  ]


def _watched(num_examples):
  """Draws the examples whose predictions are compared between batches."""
  drawn = np.random.default_rng(0).permutation(num_examples)
  return np.sort(drawn[:_WATCHED]).astype(np.int32)
