"""Who answers: a question, its answers, and what gives them at once."""

from typing import NamedTuple, Protocol

import jax
import numpy as np

from al_jax.interfaces.base import Facts, PyTree


class Question(NamedTuple):
  """What an oracle is asked.

  Attributes:
    indices: int32[K], positions in the pool; -1 pads.
    inputs: pytree of [K, ...], raw, of examples that are not in the pool; None
      if all are.
    predicted: pytree of [K, ...], what the model predicts, as targets. None
      unless the oracle has `reads_predictions`, and for the first set.
  """

  indices: np.ndarray
  inputs: PyTree = None
  predicted: PyTree = None


class Answers(NamedTuple):
  """What an oracle says of K examples, padded as the question was.

  Attributes:
    targets: pytree of [K, ...] with the structure of the task; a filler where
      there is no answer.
    annotator: int8[K], `pool.ORACLE`, `pool.ABSTAINED`, or `pool.MACHINE` for
      an answer that nobody is paid for; `pool.NOBODY` in padding.
  """

  targets: PyTree
  annotator: np.ndarray


class Oracle(Protocol):
  """Answers questions at once, at a price of one each.

  It may also have `balanced_first_set(key, k)` and `share_right(labels)`, see
  `oracle.SimulatedOracle`: who lacks them cannot draw a balanced first set, and
  does not know how right pseudo-labels are. One with `reads_predictions = True`
  is told what the model predicts, see `oracle.MachineOracle`.
  """

  def check(self, facts: Facts) -> None:
    """Raises ValueError unless it can answer for such a pool."""

  def ask(
    self, key: jax.Array, paid: int, question: Question
  ) -> tuple[int, Answers]:
    """Answers, and charges for every question.

    Args:
      key: of the run, the same in every round.
      paid: how many questions were paid for before.
      question: which examples.

    Returns:
      How many have been paid for now, and the Answers.
    """
