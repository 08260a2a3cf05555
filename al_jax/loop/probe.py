"""Measures how many queries a frozen, pretrained network could have answered.

A linear classifier on fixed features learns the labels that people gave, and
predicts those of the next queries. Where it is right the query was not needed.
Answers of a machine are excluded from both: the classifier would agree with the
machine, right or wrong.
"""

import numpy as np

from al_jax import pool as pool_lib
from al_jax.pool import PoolState


class Probe:
  """A linear classifier: ridge regression on classes as 0 and 1.

  Features have a spread of 1, and the penalty is the number of features.
  """

  def __init__(self, features: np.ndarray, num_classes: int):
    """Standardises the features.

    Args:
      features: float32[N, D], features of the pool.
      num_classes: number of classes, C.
    """
    spread = np.maximum(features.std(axis=0), 1e-6)
    scaled = (features - features.mean(axis=0)) / spread
    ones = np.ones((len(scaled), 1), np.float32)
    self._rows = np.concatenate([scaled.astype(np.float32), ones], axis=1)
    self._num_classes = num_classes

  def share_right(
    self, pool: PoolState, round: int, queries: np.ndarray
  ) -> float:
    """Returns the share of answers that the classifier predicts right.

    Args:
      pool: the labelled set, with the answers.
      round: the round at whose end the queries were made; later answers are not
        used.
      queries: int[K], pool indices with a label; answers of a machine do not
        count.

    Returns:
      A share from 0 to 1; NaN without queries or earlier labels by people.
    """
    targets, asked = np.asarray(pool.targets), np.asarray(pool.acquired_round)
    by_people = np.asarray(pool.annotator) == pool_lib.ORACLE
    known = by_people & (asked <= round)
    queries = queries[by_people[queries]]
    if not len(queries) or not known.any():
      return float('nan')
    rows, classes = self._rows[known], targets[known]
    wanted = np.eye(self._num_classes, dtype=np.float32)[classes]
    gram = rows.T @ rows
    gram[np.diag_indices(len(gram))] += len(gram)
    weights = np.linalg.solve(gram, rows.T @ wanted)
    scores = self._rows[queries] @ weights
    # A class without labels cannot be predicted.
    scores[:, ~wanted.any(axis=0)] = -np.inf
    predicted = np.argmax(scores, axis=1)
    return float(np.mean(predicted == targets[queries]))
