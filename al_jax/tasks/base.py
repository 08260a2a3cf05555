"""The interface of a task."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

# A pytree with the structure of the task: an array, or a dict of arrays.
Targets = Any
Predictions = Any
# Results of `Task.measure`: a pytree of [B, ...].
Measured = Any


class Metric(NamedTuple):
  """A measure of the predictions on a split.

  Attributes:
    name: name in records: `'accuracy'`, `'box.iou'`.
    unit: `'%'` for a share, which is shown in percent; `''` for no unit.
    larger_is_better: whether larger is better; False for errors and losses.
    meaning: explanation on the page of a report; may be empty.
    chance: value of guessing, which plots show. If None, it is unknown.
  """

  name: str
  unit: str
  larger_is_better: bool
  meaning: str = ''
  chance: float | None = None


class Task(Protocol):
  """Form, losses, decisions and metrics of a model's predictions.

  Targets and predictions have the structure of the task everywhere: one array
  [N, ...], or a dict of arrays if the task has several parts. Tasks are frozen
  and hashable: equal tasks are the same task.

  Attributes:
    outputs: number of values that a model predicts per example; by name if the
      task has several parts.
    metrics: all metrics of a split.
    headline: the metric that curves, tables and stop rules use.
    watched: names of the quantities that training reports besides its loss.
    class_names: names of the classes in `strata`, by number; `()` without
      classes.
  """

  outputs: int | Mapping[str, int]
  metrics: tuple[Metric, ...]
  headline: Metric
  watched: tuple[str, ...]
  class_names: tuple[str, ...]

  def describe(self) -> str:
    """Describes the task in a few words: `'10 classes'`."""

  def spell(self, target: Targets) -> str:
    """Spells the target of one example, for a caption."""

  def marks(self, target: Targets) -> list[np.ndarray]:
    """Returns lines that mark the target of one example in its picture.

    Args:
      target: target of one example, on the host.

    Returns:
      Lines, each float[n, 2]: x and y of its n corners from the upper left, in
      units of the picture's width; one corner is a point. Empty for a target
      without a position.
    """

  def empty(self, num_examples: int) -> Targets:
    """Returns placeholder targets of zeros for `num_examples` examples."""

  def check(self, targets: Targets, where: str, ids: np.ndarray | None) -> None:
    """Raises ValueError for invalid targets, and names the first.

    Args:
      targets: NumPy arrays, on the host.
      where: origin of the targets, for the message: `'digits, train split'`.
      ids: names of the examples, for the message. If None, they have no names.
    """

  def losses(self, predictions: Predictions, targets: Targets) -> jax.Array:
    """Computes the loss of each example: float32[B]."""

  def decide(self, predictions: Predictions) -> Targets:
    """Turns predictions into targets: the decision for each example."""

  def watch(
    self, predictions: Predictions, targets: Targets
  ) -> Mapping[str, jax.Array]:
    """Computes the `watched` quantities of each example: bool or float32[B]."""

  def mean(self, samples: Predictions) -> Predictions:
    """Averages dropout samples [S, B, ...] into a prediction [B, ...]."""

  def measure(self, predictions: Predictions, targets: Targets) -> Measured:
    """Computes the values of each example from which metrics are made."""

  def summarise(
    self, measured: Measured, targets: Targets
  ) -> tuple[Mapping[str, jax.Array], jax.Array]:
    """Computes the metrics of a split.

    Args:
      measured: results of `measure` for all N examples.
      targets: targets of all N examples.

    Returns:
      Scalars by the names of `metrics`; and float32[C], the accuracy of each
      class, NaN for a class without examples. C is 0 if there are no classes.
    """

  def perturb(
    self, keys: tuple[jax.Array, jax.Array], target: Targets, noise: float
  ) -> Targets:
    """Returns the answer of a noisy oracle for one example.

    Args:
      keys: two keys of the example.
      target: true target, without the axis of examples.
      noise: share of wrong classes; for coordinates, the standard deviation in
        units of their scale.
    """

  def strata(self, targets: Targets) -> np.ndarray | None:
    """Returns the class number of each example; None without classes."""


def first_bad(bad: np.ndarray, ids: np.ndarray | None) -> tuple[int, str]:
  """Returns the index of the first bad example, and its name for a message.

  Args:
    bad: bool[N], at least one is True.
    ids: names of the examples. If None, they have no names.
  """
  index = int(np.argmax(bad))
  called = (
    f'index {index}' if ids is None else f'index {index} (id {ids[index]})'
  )
  return index, called
