"""Tasks in terms of JSON, and the one question that others may ask of them."""

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
# Metrics of mixed tasks that a file can name: frozen dataclasses of numbers.
_METRICS = {'found': Found}


@dataclasses.dataclass(frozen=True)
class _Lost:
  """A metric of the user's own in a task that was read from a file.

  Attributes:
    name: of the metric.
    unit: see `Metric`.
  """

  name: str
  unit: str = ''

  def __call__(self, predictions, targets):
    """Raises ValueError."""
    raise ValueError(
      f'the metric {self.name!r} is a function of yours, which no file has: '
      'make the task anew.'
    )


def need_classes(task: Task, who: str) -> Classes:
  """Returns a task of classes, for what makes no sense without.

  Args:
    task: any.
    who: needs them, for the message: `"learner 'joint'"`.

  Raises:
    ValueError: the task is another.
  """
  if not isinstance(task, Classes):
    alone = ' alone' if task.class_names else ''
    raise ValueError(
      f'{who} needs classes{alone}; the task is {task.describe()}.'
    )
  return task


def are_classes(task: Task) -> Any:
  """Tells of each prediction of a task whether it is logits of classes.

  Args:
    task: any.

  Returns:
    A bool; by name if the task has several parts.
  """
  if isinstance(task, Mixed):
    return {name: are_classes(part) for name, part in task.parts}
  return isinstance(task, Classes)


def weights_of(task: Task) -> Any:
  """Tells how much the loss of each prediction of a task weighs.

  Args:
    task: any.

  Returns:
    A float; by name if the task has several parts.
  """
  if isinstance(task, Mixed):
    weights = dict(task.weights)
    return {name: weights.get(name, 1.0) for name, _ in task.parts}
  return 1.0


def parts_of(task: Task) -> dict[str, Task]:
  """Returns the tasks of the parts by name; `''` is the name of a single one.

  Args:
    task: any.
  """
  return dict(task.parts) if isinstance(task, Mixed) else {'': task}


def to_json(task: Task) -> dict[str, Any]:
  """Returns a task in terms of JSON, with `kind` and its options.

  Of `own_metrics` there are the names; with options where a metric is one of
  the library's, and with the unit where it has one.
  """
  kinds = [name for name, of in _KINDS.items() if type(task) is of]
  if not kinds:
    raise ValueError(
      f'{task!r} is none of the tasks of al_jax: {", ".join(_KINDS)}.'
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
    values: in terms of JSON.

  Returns:
    The task. Those of its `own_metrics` that are functions of the user have
    their names and cannot be computed: no file has functions.
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
  """Returns a metric of a mixed task in terms of JSON."""
  for kind, of in _METRICS.items():
    if type(metric) is of:
      return {'name': name, 'kind': kind, **dataclasses.asdict(metric)}
  unit = getattr(metric, 'unit', '')
  return {'name': name, 'unit': unit} if unit else name


def _read(written):
  """Returns name and metric of what `_written` wrote."""
  if isinstance(written, str):
    return written, _Lost(written)
  options = dict(written)
  kind = options.pop('kind', None)
  if kind is None:
    return options['name'], _Lost(**options)
  errors.check_name('the kind of a metric', kind, _METRICS)
  return options.pop('name'), _METRICS[kind](**options)
