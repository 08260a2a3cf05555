"""What a frozen, pre-trained network already knows of the queries.

A linear classifier on fixed features learns the labels that people gave, and
predicts those of the next queries. Where it is right nobody had to be asked. Of
what a machine said it neither learns nor is asked: it would agree with the
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
    """Takes the features in.

    Args:
      features: float32[N, D], of the pool.
      num_classes: C.
    """
    spread = np.maximum(features.std(axis=0), 1e-6)
    scaled = (features - features.mean(axis=0)) / spread
    ones = np.ones((len(scaled), 1), np.float32)
    self._rows = np.concatenate([scaled.astype(np.float32), ones], axis=1)
    self._num_classes = num_classes

  def share_right(
    self, pool: PoolState, round: int, queries: np.ndarray
  ) -> float:
    """Tells how many answers it would have given as well.

    Args:
      pool: the labelled set, with the answers.
      round: at whose end the queries were made; later answers are not learnt.
      queries: int[K], pool indices with a label; those that a machine answered
        do not count.

    Returns:
      From 0 to 1; NaN without queries, or without earlier labels, by people.
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
    # What nobody has told it about it cannot know.
    scores[:, ~wanted.any(axis=0)] = -np.inf
    predicted = np.argmax(scores, axis=1)
    return float(np.mean(predicted == targets[queries]))
