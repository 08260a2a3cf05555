"""What to ask next: a model of the answers so far, and what it is worth.

Every batch trains anew on all labels, so that nothing but the answers has to be
kept: whoever dies on the way begins again, and comes to the same batch.
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

# Labels that the buffers of a learner have room for at least, so that they
# seldom grow: then its programs are compiled anew.
_LEAST_CAPACITY = 256
# Examples whose predictions are compared from batch to batch.
_WATCHED = 2000


class Proposed(NamedTuple):
  """A batch of queries.

  Attributes:
    picks: int32[k], pool indices in order of choice.
    values: what each was chosen by; empty for a first batch.
    score: what the values are; '' if they are not shown.
    predicted: class numbers; empty for a first batch.
    probabilities: of the predicted classes.
    estimate: of the accuracy; None with too few labels, or if nobody asked.
    watched: class numbers that the model predicts for some examples, the same
      ones in a pool of the same size; empty for a first batch.
    labels: how many it was trained on.
    pool: how many examples there are.
    is_drawn: the examples were drawn at random.
    content: digests of the inputs of the picks.
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
    """Returns all but the picks, in terms of JSON."""
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
  """Trains on the answers so far, and chooses queries.

  The first batch comes before any label: the config's `protocol.first_set`
  says how it is chosen, and nothing is trained.

  Args:
    account: of the project.
    dataset: the pool.
    config: of the system that asks.
    k: the most queries.
    folds: parts to divide the labels into, to estimate the accuracy; 0: no
      estimate.

  Returns:
    Proposed; fewer than k where the pool runs out.

  Raises:
    ValueError: a system that people cannot be asked by.
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
  """Returns the room for labels that a model is compiled for.

  Args:
    dataset: the pool.
    labels: how many there may be. More of them seldom need another program.
  """
  capacity = max(_LEAST_CAPACITY, _padding.size_for(labels))
  return min(capacity, len(dataset.train))


def pool_of(account: Account, dataset: data.Dataset) -> PoolState:
  """The labelled set that the answers make.

  What is pending, skipped or disputed is neither trained on nor asked again.

  Args:
    account: of the project.
    dataset: the pool.

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
  """The first batch, of what is not pending: nothing is trained."""
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
  """Digests of examples, which tell whether they are still the same.

  Args:
    dataset: the pool.
    positions: of the examples.
  """
  rows = dataset.train.take(np.asarray(positions, int)).inputs
  return [
    hashlib.blake2b(
      np.ascontiguousarray(row).tobytes(), digest_size=8
    ).hexdigest()
    for row in rows
  ]


def _watched(num_examples):
  """The examples whose predictions are compared from batch to batch."""
  drawn = np.random.default_rng(0).permutation(num_examples)
  return np.sort(drawn[:_WATCHED]).astype(np.int32)
