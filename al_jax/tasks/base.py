"""What every task can say of itself."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

# A pytree with the structure of the task: an array, or a dict of arrays.
Targets = Any
Predictions = Any
# What the metrics need of an example: a pytree of [B, ...].
Measured = Any


class Metric(NamedTuple):
  """A number that says how good predictions on a split are.

  Attributes:
    name: as records have it: `'accuracy'`, `'box.iou'`.
    unit: `'%'` if it is a share, to be shown in percent; `''` if it has none.
    larger_is_better: whether it is; False of errors and losses.
    meaning: words that explain it on the page of a report, if it needs any.
    chance: what guessing gets, which pictures draw; None if that is unknown.
  """

  name: str
  unit: str
  larger_is_better: bool
  meaning: str = ''
  chance: float | None = None


class Task(Protocol):
  """What is predicted.

  Targets and predictions have the structure of the task everywhere: one array
  [N, ...], or a dict of arrays if the task has several parts. Tasks are frozen
  and can be hashed: two that are equal are the same task.

  Attributes:
    outputs: numbers per example that a model predicts: an int; by name if the
      task has several parts.
    metrics: all that a split is measured by.
    headline: the one of them that curves, tables and stop rules go by.
    watched: quantities that training reports beside its loss.
    class_names: of the classes that `strata` tells apart, by number; `()` if
      there are none.
  """

  outputs: int | Mapping[str, int]
  metrics: tuple[Metric, ...]
  headline: Metric
  watched: tuple[str, ...]
  class_names: tuple[str, ...]

  def describe(self) -> str:
    """Returns it in a few words: `'10 classes'`."""

  def spell(self, target: Targets) -> str:
    """Returns the target of one example as a caption says it."""

  def marks(self, target: Targets) -> list[np.ndarray]:
    """Returns what shows the target of one example in its picture.

    Args:
      target: of one example, on the host.

    Returns:
      Lines, float[n, 2] each: x and y of its n corners in widths of the
      picture, from the upper left; one corner is a point. Empty for a target
      without a place.
    """

  def empty(self, num_examples: int) -> Targets:
    """Returns targets of so many examples that nobody reads: zeros."""

  def check(self, targets: Targets, where: str, ids: np.ndarray | None) -> None:
    """Raises ValueError for targets that are none, with the first place.

    Args:
      targets: of NumPy, on the host.
      where: what holds them, for the message: `'digits, train split'`.
      ids: names of the examples, for the message. If None, there are none.
    """

  def losses(self, predictions: Predictions, targets: Targets) -> jax.Array:
    """Returns what training minimises, of each example: float32[B]."""

  def decide(self, predictions: Predictions) -> Targets:
    """Returns the target that is predicted of each example."""

  def watch(
    self, predictions: Predictions, targets: Targets
  ) -> Mapping[str, jax.Array]:
    """Returns of each example what is `watched`: bool[B] or float32[B]."""

  def mean(self, samples: Predictions) -> Predictions:
    """Returns the mean prediction of dropout samples [S, B, ...]: [B, ...]."""

  def measure(self, predictions: Predictions, targets: Targets) -> Measured:
    """Returns what the metrics need of each example."""

  def summarise(
    self, measured: Measured, targets: Targets
  ) -> tuple[Mapping[str, jax.Array], jax.Array]:
    """Returns the metrics of a split.

    Args:
      measured: of all N examples.
      targets: of all N examples.

    Returns:
      Scalars by the names of `metrics`; and float32[C], the accuracy of each
      class, NaN for a class without examples. C is 0 if there are no classes.
    """

  def perturb(
    self, keys: tuple[jax.Array, jax.Array], target: Targets, noise: float
  ) -> Targets:
    """Returns the answer of a noisy oracle for one example.

    Args:
      keys: of the example, two.
      target: the truth, without the axis of examples.
      noise: the share of classes that are wrong; the standard deviation of
        coordinates in units of their scale.
    """

  def strata(self, targets: Targets) -> np.ndarray | None:
    """Returns a class number of each example; None if there are no classes."""


def first_bad(bad: np.ndarray, ids: np.ndarray | None) -> tuple[int, str]:
  """Returns the first example that is bad, and how a message calls it.

  Args:
    bad: bool[N], at least one is True.
    ids: names of the examples, or None.
  """
  index = int(np.argmax(bad))
  called = (
    f'index {index}' if ids is None else f'index {index} (id {ids[index]})'
  )
  return index, called
