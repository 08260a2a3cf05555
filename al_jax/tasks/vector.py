"""Tasks of numbers: a vector, points in a picture, a box around an object.

Networks predict in units of `scale`; targets have their own units. Losses and
errors are those of value / scale. The scale is a known unit (the width of the
picture, metres) and never a statistic of the targets, which would leak hidden
answers.
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors
from al_jax.tasks.base import Metric, first_bad

_RMSE = Metric('rmse', '', False)
_ERRORS = (_RMSE, Metric('mae', '', False), Metric('r2', '', True))
# Overlap above which a box counts as found.
_FOUND = 0.5


class Measured(NamedTuple):
  """Values per example from which the metrics of a vector are made.

  Attributes:
    errors: float32[N, D], prediction minus target, in units of scale.
    found: float32[N], share of points found, or overlap of a box; zeros for a
      plain vector.
  """

  errors: jax.Array
  found: jax.Array


@dataclasses.dataclass(frozen=True)
class Vector:
  """D numbers.

  Targets are float32[N, D]; predictions are float32[B, D], in units of scale.

  Attributes:
    size: Number of values, D.
    scale: a known unit of the targets. Losses and errors are those of value /
      scale.
  """

  size: int
  scale: float = 1.0

  metrics: ClassVar[tuple[Metric, ...]] = _ERRORS
  headline: ClassVar[Metric] = _RMSE
  watched: ClassVar[tuple[str, ...]] = ('mae',)
  class_names: ClassVar[tuple[str, ...]] = ()

  def __post_init__(self):
    errors.check_number('size', self.size, int, least=1)
    errors.check_number('scale', self.scale, above=0)
    # Python's own types, which JSON has and which compare equal.
    object.__setattr__(self, 'size', int(self.size))
    object.__setattr__(self, 'scale', float(self.scale))

  @property
  def outputs(self) -> int:
    """D."""
    return self.size

  def describe(self) -> str:
    """See `Task`."""
    called = 'a number' if self.size == 1 else f'{self.size} numbers'
    return called + self._with_scale()

  def spell(self, target):
    """Spells the numbers, to three digits."""
    return ', '.join(f'{value:.3g}' for value in np.asarray(target).tolist())

  def marks(self, target):
    """See `Task`."""
    del target
    return []

  def empty(self, num_examples: int) -> jax.Array:
    """See `Task`."""
    return jnp.zeros((num_examples, self.outputs), jnp.float32)

  def check(self, targets, where, ids=None):
    """See `Task`."""
    targets = np.asarray(targets)
    if targets.ndim != 2 or targets.dtype != np.float32:
      raise ValueError(
        f'{where}: targets must be numbers, float32 of shape [N, '
        f'{self.outputs}], not {targets.dtype} of shape '
        f'{list(targets.shape)}.'
      )
    if targets.shape[1] != self.outputs:
      raise ValueError(
        f'{where}: targets have {targets.shape[1]} numbers per example; the '
        f'task has {self.outputs}.'
      )
    wrong = ~np.isfinite(targets).all(axis=1)
    if wrong.any():
      index, called = first_bad(wrong, ids)
      raise ValueError(
        f'{where}: the target {targets[index].tolist()} at {called} is not '
        'finite.'
      )

  def losses(self, predictions, targets):
    """Computes the mean squared error of value / scale over coordinates."""
    return jnp.mean(jnp.square(self._errors(predictions, targets)), axis=-1)

  def decide(self, predictions):
    """Converts predictions to the units of the targets."""
    return predictions * self.scale

  def watch(self, predictions, targets):
    """Computes the mean absolute error of value / scale over coordinates."""
    return {'mae': jnp.mean(jnp.abs(self._errors(predictions, targets)), -1)}

  def mean(self, samples):
    """See `Task`."""
    return jnp.mean(samples, axis=0)

  def measure(self, predictions, targets):
    """See `Task`."""
    return Measured(
      self._errors(predictions, targets),
      self._found(predictions, targets / self.scale),
    )

  def summarise(self, measured, targets):
    """Computes RMSE, MAE and R^2 over all coordinates, and the kind's metrics.

    R^2 is 1 minus the squared error over the squared error of the mean of each
    coordinate on this split, both summed over coordinates. It is NaN if all
    targets are the same.
    """
    scaled = targets / self.scale
    spread = jnp.sum(jnp.square(scaled - jnp.mean(scaled, 0, keepdims=True)))
    # If all targets are the same, the spread is not 0 but of rounding errors.
    rounding = jnp.sum(jnp.square(scaled)) * jnp.finfo(scaled.dtype).eps ** 2
    spread = jnp.where(spread > 16 * rounding, spread, jnp.nan)
    squares = jnp.square(measured.errors)
    metrics = {
      'rmse': jnp.sqrt(jnp.mean(squares)),
      'mae': jnp.mean(jnp.abs(measured.errors)),
      'r2': 1 - jnp.sum(squares) / spread,
      **self._added(measured.found),
    }
    return metrics, jnp.zeros(0)

  def perturb(self, keys, target, noise):
    """Adds Gaussian noise, in units of scale."""
    draws = jax.random.normal(keys[0], target.shape, target.dtype)
    return target + noise * self.scale * draws

  def strata(self, targets):
    """See `Task`."""
    del targets

  def _with_scale(self):
    return '' if self.scale == 1 else f' (scale {self.scale:g})'

  def _errors(self, predictions, targets):
    return predictions - targets / self.scale

  def _found(self, predicted, targets):
    """Computes `Measured.found`; both arguments are in units of scale."""
    del targets
    return jnp.zeros(len(predicted))

  def _added(self, found):
    """Makes metrics of `Measured.found`, by name."""
    del found
    return {}


@dataclasses.dataclass(frozen=True)
class Keypoints(Vector):
  """Points in a picture.

  Targets are float32[N, 2 P]: x and y of the first point, and so on.

  Attributes:
    size: P, number of points.
    scale: width of the picture, in the units of the targets.
    tolerance: largest distance at which a point is found, in units of scale.
  """

  tolerance: float = 0.1

  def __post_init__(self):
    super().__post_init__()
    errors.check_number('tolerance', self.tolerance, above=0)

  @property
  def headline(self) -> Metric:
    """Share of the points that lie within the tolerance."""
    return Metric(f'pck_{self.tolerance:g}', '%', True)

  @property
  def metrics(self) -> tuple[Metric, ...]:
    """See `Task`."""
    return (self.headline, *_ERRORS)

  @property
  def outputs(self) -> int:
    """Number of coordinates: two per point."""
    return 2 * self.size

  def describe(self) -> str:
    """See `Task`."""
    return f'{self.size} points' + self._with_scale()

  def marks(self, target):
    """See `Task`."""
    return list(np.reshape(target, (self.size, 1, 2)) / self.scale)

  def _found(self, predicted, targets):
    offsets = (predicted - targets).reshape(len(predicted), self.size, 2)
    distances = jnp.sqrt(jnp.sum(jnp.square(offsets), axis=-1))
    return jnp.mean(distances <= self.tolerance, axis=-1)

  def _added(self, found):
    return {self.headline.name: jnp.mean(found)}


@dataclasses.dataclass(frozen=True)
class Box(Vector):
  """A box around an object in a picture.

  Targets are float32[N, 4]: left, top, right, bottom.

  Attributes:
    size: 4.
    scale: width of the picture, in the units of the targets.
  """

  size: int = 4

  headline: ClassVar[Metric] = Metric('iou', '%', True)
  metrics: ClassVar[tuple[Metric, ...]] = (
    headline,
    Metric(f'iou_above_{_FOUND:g}', '%', True),
    *_ERRORS,
  )

  def __post_init__(self):
    super().__post_init__()
    if self.size != 4:
      raise ValueError(f'size is {self.size}; a box has 4 numbers.')

  def describe(self) -> str:
    """See `Task`."""
    return 'a box' + self._with_scale()

  def marks(self, target):
    """See `Task`; returns the closed outline of the box."""
    # Left, top; right, top; right, bottom; left, bottom; left, top.
    corners = np.asarray(target)[[0, 1, 2, 1, 2, 3, 0, 3, 0, 1]]
    return [corners.reshape(5, 2) / self.scale]

  def check(self, targets, where, ids=None):
    """See `Task`; also checks left <= right and top <= bottom."""
    super().check(targets, where, ids)
    wrong = (targets[:, 2:] < targets[:, :2]).any(axis=1)
    if wrong.any():
      index, called = first_bad(wrong, ids)
      raise ValueError(
        f'{where}: the box {targets[index].tolist()} at {called} must be left, '
        'top, right, bottom, with left <= right and top <= bottom.'
      )

  def perturb(self, keys, target, noise):
    """Adds Gaussian noise to the corners, and reorders them."""
    noisy = super().perturb(keys, target, noise)
    corners = noisy[:2], noisy[2:]
    return jnp.concatenate([jnp.minimum(*corners), jnp.maximum(*corners)])

  def _found(self, predicted, targets):
    return overlap(predicted, targets)

  def _added(self, found):
    return {
      'iou': jnp.mean(found),
      f'iou_above_{_FOUND:g}': jnp.mean(found > _FOUND),
    }


def overlap(a: jax.Array, b: jax.Array) -> jax.Array:
  """Computes the intersection over union of two boxes.

  Args:
    a: float32[B, 4], left, top, right, bottom; empty if these are out of order.
    b: float32[B, 4], in the same form.

  Returns:
    float32[B], from 0 to 1; 0 for two empty boxes.
  """
  sides = jnp.minimum(a[:, 2:], b[:, 2:]) - jnp.maximum(a[:, :2], b[:, :2])
  shared = jnp.prod(jnp.maximum(sides, 0), axis=-1)
  either = _area(a) + _area(b) - shared
  return jnp.where(either > 0, shared / jnp.where(either > 0, either, 1), 0.0)


def _area(box):
  return jnp.prod(jnp.maximum(box[:, 2:] - box[:, :2], 0), axis=-1)
