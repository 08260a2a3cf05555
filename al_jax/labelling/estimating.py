"""Estimates the accuracy by cross-validation on the labels."""

from typing import NamedTuple

import numpy as np

from al_jax import pool as pool_lib
from al_jax.labelling.account import Account
from al_jax.labelling.model import Model
from al_jax.pool import PoolState

FOLDS = 5
# With fewer labels no accuracy is estimated.
_LEAST_LABELS = 10


class Accuracy(NamedTuple):
  """Accuracy on labels that a model was not trained on.

  Attributes:
    mean: Share of labels predicted correctly by a model trained without them.
    standard_error: Binomial standard error of the mean.
    labels: Number of labels.
    folds: Number of folds.
    is_drawn: Whether all labels are of examples drawn at random. Then the mean
      estimates the accuracy on the pool; otherwise the labelled examples are
      harder than most.
  """

  mean: float
  standard_error: float
  labels: int
  folds: int
  is_drawn: bool


def estimate(
  account: Account, model: Model, pool: PoolState, round: int, folds: int
) -> Accuracy | None:
  """Predicts each label with a model trained without it.

  Args:
    account: State of the project.
    model: The compiled system.
    pool: The pool with all labels.
    round: Number of the current round.
    folds: Number of folds; 0 for no estimate.

  Returns:
    The accuracy. None if `folds` is 0 or there are too few labels.
  """
  labelled = np.flatnonzero(np.asarray(pool_lib.trainable(pool)))
  if not folds or len(labelled) < max(_LEAST_LABELS, folds):
    return None
  drawn = np.random.default_rng([model.seed, len(labelled)])
  right = 0
  for part in np.array_split(drawn.permutation(labelled), folds):
    annotator = np.array(pool.annotator)
    annotator[part] = pool_lib.ABSTAINED
    learner = model.trained(pool.replace(annotator=annotator), round)
    predicted, _ = model.program.predict(learner, part.astype(np.int32))
    right += int(np.count_nonzero(predicted == pool.targets[part]))
  mean = right / len(labelled)
  spread = (mean * (1 - mean) / len(labelled)) ** 0.5
  return Accuracy(mean, spread, len(labelled), folds, _are_drawn(account))


def _are_drawn(account):
  """Tells whether all labels are of batches that were drawn at random."""
  drawn = [batch for batch in account.batches if batch.said['is_drawn']]
  return set(account.labels) <= {name for batch in drawn for name in batch.ids}
