"""An estimate of the accuracy, by cross-validation on the labels."""

from typing import NamedTuple

import numpy as np

from al_jax import pool as pool_lib
from al_jax.labelling.account import Account
from al_jax.labelling.model import Model
from al_jax.pool import PoolState

# Parts that labels are divided into, to estimate the accuracy.
FOLDS = 5
# With fewer labels no accuracy is estimated.
_LEAST_LABELS = 10


class Accuracy(NamedTuple):
  """The accuracy on labels that a model was not trained on.

  Attributes:
    mean: over all labels, each predicted by a model without it.
    standard_error: of a share of that many.
    labels: how many there are.
    folds: parts that the labels were divided into.
    is_drawn: all labels are of examples that were drawn at random, so that it
      is the accuracy on the pool. Others are harder than most.
  """

  mean: float
  standard_error: float
  labels: int
  folds: int
  is_drawn: bool


def estimate(
  account: Account, model: Model, pool: PoolState, round: int, folds: int
) -> Accuracy | None:
  """Predicts each label by a model that was trained without it.

  Args:
    account: of the project.
    model: the compiled system.
    pool: with all labels.
    round: the round under way.
    folds: parts to divide the labels into; 0: no estimate.

  Returns:
    Accuracy; None with too few labels.
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
  """Whether all labels are of batches that were drawn at random."""
  drawn = [batch for batch in account.batches if batch.said['is_drawn']]
  return set(account.labels) <= {name for batch in drawn for name in batch.ids}
