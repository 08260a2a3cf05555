"""Converts tasks to and from JSON, and checks what a task predicts."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from al_jax import errors
from al_jax.tasks.base import Task
from al_jax.tasks.classes import Classes
from al_jax.tasks.detection import Found
from al_jax.tasks.mixed import Mixed
from al_jax.tasks.vector import Box, Keypoints, Vector

_KINDS = {
  'classes': Classes,
  'vector': Vector,
  'keypoints': Keypoints,
  'box': Box,
  'mixed': Mixed,
}
# Metrics of mixed tasks that JSON can name: frozen dataclasses of numbers.
_METRICS = {'found': Found}


@dataclasses.dataclass(frozen=True)
class _Lost:
  """Stands for a user's metric in a task that was read from a file.

  Attributes:
    name: name of the metric.
    unit: see `Metric`.
  """

  name: str
  unit: str = ''

  def __call__(self, predictions, targets):
    """Raises ValueError."""
    raise ValueError(
      f'the metric {self.name!r} is a function of yours, which a file cannot '
      'store: make the task anew.'
    )


def need_classes(task: Task, who: str) -> Classes:
  """Returns the task if it is Classes, for code that needs classes.

  Args:
    task: a task.
    who: name of the part that needs classes, for the message: `"learner
      'joint'"`.

  Raises:
    ValueError: the task is not Classes.
  """
  if not isinstance(task, Classes):
    alone = ' alone' if task.class_names else ''
    raise ValueError(
      f'{who} needs classes{alone}; the task is {task.describe()}.'
    )
  return task


def are_classes(task: Task) -> Any:
  """Tells which predictions of a task are logits of classes.

  Args:
    task: a task.

  Returns:
    A bool; by name if the task has several parts.
  """
  if isinstance(task, Mixed):
    return {name: are_classes(part) for name, part in task.parts}
  return isinstance(task, Classes)


def weights_of(task: Task) -> Any:
  """Returns the weights of the losses of a task.

  Args:
    task: a task.

  Returns:
    A float; by name if the task has several parts.
  """
  if isinstance(task, Mixed):
    weights = dict(task.weights)
    return {name: weights.get(name, 1.0) for name, _ in task.parts}
  return 1.0


def parts_of(task: Task) -> dict[str, Task]:
  """Returns the parts of a task by name; a task without parts is named `''`.

  Args:
    task: a task.
  """
  return dict(task.parts) if isinstance(task, Mixed) else {'': task}


def to_json(task: Task) -> dict[str, Any]:
  """Converts a task to JSON: its `kind` and options.

  A metric in `own_metrics` becomes its name, with its options if it is one of
  the library's, or with its unit if it has one.
  """
  kinds = [name for name, of in _KINDS.items() if type(task) is of]
  if not kinds:
    raise ValueError(
      f'{task!r} is not a task of al_jax; it must be one of '
      f'{", ".join(_KINDS)}.'
    )
  (kind,) = kinds
  values = {
    field.name: getattr(task, field.name) for field in dataclasses.fields(task)
  }
  if kind == 'mixed':
    values['own_metrics'] = [_written(*each) for each in task.own_metrics]
    values['parts'] = {name: to_json(part) for name, part in task.parts}
    values['weights'] = dict(task.weights)
  if kind == 'classes':
    values['names'] = list(task.names)
  return {'kind': kind, **values}


def from_json(values: Mapping[str, Any]) -> Task:
  """Returns the task that `to_json` wrote.

  Args:
    values: JSON of a task.

  Returns:
    The task. A user's function in its `own_metrics` keeps its name but cannot
    be computed, since JSON does not store functions.
  """
  values = dict(values)
  kind = values.pop('kind')
  errors.check_name('the kind of a task', kind, _KINDS)
  if kind == 'mixed':
    values['own_metrics'] = dict(map(_read, values['own_metrics']))
    values['parts'] = {
      name: from_json(part) for name, part in values['parts'].items()
    }
  return _KINDS[kind](**values)


def _written(name, metric):
  """Converts a metric of a mixed task to JSON."""
  for kind, of in _METRICS.items():
    if type(metric) is of:
      return {'name': name, 'kind': kind, **dataclasses.asdict(metric)}
  unit = getattr(metric, 'unit', '')
  return {'name': name, 'unit': unit} if unit else name


def _read(written):
  """Returns the name and the metric that `_written` wrote."""
  if isinstance(written, str):
    return written, _Lost(written)
  options = dict(written)
  kind = options.pop('kind', None)
  if kind is None:
    return options['name'], _Lost(**options)
  errors.check_name('the kind of a metric', kind, _METRICS)
  return options.pop('name'), _METRICS[kind](**options)
