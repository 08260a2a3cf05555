"""Interface of oracles: a question, its answers, and who answers at once."""

from typing import NamedTuple, Protocol

import jax
import numpy as np

from al_jax.interfaces.base import Facts, PyTree


class Question(NamedTuple):
  """Examples to be labelled by an oracle.

  Attributes:
    indices: Pool indices, int32[K]; -1 is padding.
    inputs: Pytree of [K, ...], raw, of examples that are not in the pool; None
      if all are.
    predicted: Predictions of the model as targets, pytree of [K, ...]. None
      unless the oracle has `reads_predictions`, and for the first set.
  """

  indices: np.ndarray
  inputs: PyTree = None
  predicted: PyTree = None


class Answers(NamedTuple):
  """Answers of an oracle for K examples, padded as the question was.

  Attributes:
    targets: Pytree of [K, ...] with the structure of the task; a filler where
      there is no answer.
    annotator: int8[K], `pool.ORACLE`, `pool.ABSTAINED`, or `pool.MACHINE` for
      an answer that is not paid for; 0 in padding.
  """

  targets: PyTree
  annotator: np.ndarray


class Oracle(Protocol):
  """Answers questions at once, at a price of one each.

  An oracle may also have `balanced_first_set(key, k)` and
  `share_right(labels)`, see `oracle.SimulatedOracle`. Without the first it
  cannot draw a balanced first set; without the second it cannot say how right
  pseudo-labels are. An oracle with `reads_predictions = True` receives the
  predictions of the model, see `oracle.MachineOracle`.
  """

  def check(self, facts: Facts) -> None:
    """Raises ValueError unless it can answer for such a pool."""

  def ask(
    self, key: jax.Array, paid: int, question: Question
  ) -> tuple[int, Answers]:
    """Answers, and charges for every query.

    Args:
      key: Random key of the run, the same in every round.
      paid: Number of queries paid for before.
      question: Examples to answer for.

    Returns:
      The number of queries paid for now, and the Answers.
    """
