"""Tasks with several parts, such as a class and a box."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.tasks.base import Metric, Task


@dataclasses.dataclass(frozen=True)
class Mixed:
  """A task with named parts; targets and predictions are dicts by these names.

  The name of a metric begins with the name of its part: `digit.accuracy`.

  Attributes:
    parts: tasks by name; a mapping, stored as pairs.
    weights: weights of the parts' losses, by name; 1 if left out.
    headline_name: name of the headline metric. If None, the first part's.
    own_metrics: further metrics by name, `(predictions, targets) -> [B]` over
      the whole structure; their mean over the split is reported, and larger is
      better. If a function's attribute `unit` is `'%'`, it is shown in percent.
  """

  parts: Mapping[str, Task] | tuple[tuple[str, Task], ...]
  weights: Mapping[str, float] | tuple[tuple[str, float], ...] = ()
  headline_name: str | None = None
  own_metrics: (
    Mapping[str, Callable[..., jax.Array]] | tuple[tuple[str, Callable], ...]
  ) = ()

  def __post_init__(self):
    for field in ('parts', 'weights', 'own_metrics'):
      try:
        pairs = tuple(dict(getattr(self, field)).items())
      except (TypeError, ValueError) as error:
        raise ValueError(
          f'{field} is {getattr(self, field)!r}; it must be a mapping by name.'
        ) from error
      object.__setattr__(self, field, pairs)
    self._check_parts()
    self._check_metrics()

  def _check_parts(self):
    if not self.parts:
      raise ValueError('parts are {}; a mixed task needs one or more.')
    for name, part in self.parts:
      if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
          f'parts has the name {name!r}; a name must consist of letters, '
          'digits and underscores, and not begin with a digit.'
        )
      if isinstance(part, Mixed):
        raise ValueError(
          f'parts.{name} is mixed itself; name all parts at once.'
        )
      if not isinstance(getattr(part, 'headline', None), Metric):
        raise ValueError(
          f'parts.{name} is {part!r}; it must be a task, such as '
          'tasks.Classes(names).'
        )
    for name, weight in self.weights:
      errors.check_name('weights', name, dict(self.parts))
      errors.check_number(f'weights.{name}', weight, least=0)
    weights = dict(self.weights)
    if not any(weights.get(name, 1.0) for name, _ in self.parts):
      raise ValueError(f'weights are {weights}; one must be above 0.')

  def _check_metrics(self):
    for name, function in self.own_metrics:
      if not isinstance(name, str) or not callable(function):
        raise ValueError(
          f'own_metrics has {name!r}: {function!r}; it must be a function '
          'by its name.'
        )
    names = [metric.name for metric in self.metrics]
    for name in names:
      if names.count(name) > 1:
        raise ValueError(
          f'own_metrics has {name!r}, which is already a metric of a part.'
        )
    if self.headline_name is not None:
      errors.check_name('headline_name', self.headline_name, names)

  @property
  def outputs(self) -> dict[str, int]:
    """See `Task`."""
    return {name: part.outputs for name, part in self.parts}

  @property
  def metrics(self) -> tuple[Metric, ...]:
    """The metrics of the parts, and the task's own."""
    of_parts = [
      metric._replace(name=f'{name}.{metric.name}')
      for name, part in self.parts
      for metric in part.metrics
    ]
    own = [
      Metric(name, getattr(function, 'unit', ''), True)
      for name, function in self.own_metrics
    ]
    return (*of_parts, *own)

  @property
  def headline(self) -> Metric:
    """See `Task`."""
    if self.headline_name is None:
      name, part = self.parts[0]
      return part.headline._replace(name=f'{name}.{part.headline.name}')
    by_name = {metric.name: metric for metric in self.metrics}
    return by_name[self.headline_name]

  @property
  def watched(self) -> tuple[str, ...]:
    """See `Task`."""
    return tuple(
      f'{name}.{each}' for name, part in self.parts for each in part.watched
    )

  def describe(self) -> str:
    """See `Task`."""
    return ', '.join(f'{name}: {part.describe()}' for name, part in self.parts)

  @property
  def class_names(self) -> tuple[str, ...]:
    """See `Task`."""
    of_parts = (part.class_names for _, part in self.parts)
    return next((names for names in of_parts if names), ())

  def spell(self, target):
    """See `Task`."""
    return ', '.join(
      f'{name} {part.spell(target[name])}' for name, part in self.parts
    )

  def marks(self, target):
    """See `Task`."""
    return [
      line for name, part in self.parts for line in part.marks(target[name])
    ]

  def empty(self, num_examples):
    """See `Task`."""
    return {name: part.empty(num_examples) for name, part in self.parts}

  def check(self, targets, where, ids=None):
    """See `Task`."""
    names = sorted(name for name, _ in self.parts)
    found = sorted(targets) if isinstance(targets, Mapping) else 'one array'
    if found != names:
      raise ValueError(f'{where}: targets are {found}; the task has {names}.')
    for name, part in self.parts:
      part.check(targets[name], f'{where}, {name}', ids)

  def losses(self, predictions, targets):
    """Returns the weighted sum of the losses of the parts."""
    weights = dict(self.weights)
    return sum(
      weights.get(name, 1.0) * part.losses(predictions[name], targets[name])
      for name, part in self.parts
    )

  def decide(self, predictions):
    """See `Task`."""
    return {name: part.decide(predictions[name]) for name, part in self.parts}

  def watch(self, predictions, targets):
    """See `Task`."""
    return {
      f'{name}.{each}': values
      for name, part in self.parts
      for each, values in part.watch(predictions[name], targets[name]).items()
    }

  def mean(self, samples):
    """See `Task`."""
    return {name: part.mean(samples[name]) for name, part in self.parts}

  def measure(self, predictions, targets):
    """See `Task`."""
    of_parts = {
      name: part.measure(predictions[name], targets[name])
      for name, part in self.parts
    }
    own = {name: of(predictions, targets) for name, of in self.own_metrics}
    return of_parts, own

  def summarise(self, measured, targets):
    """See `Task`; accuracy by class is that of the first part with classes."""
    of_parts, own = measured
    metrics, by_class = {}, jnp.zeros(0)
    for name, part in self.parts:
      found, classes = part.summarise(of_parts[name], targets[name])
      metrics |= {f'{name}.{each}': value for each, value in found.items()}
      by_class = by_class if by_class.size else classes
    return metrics | {name: jnp.mean(of) for name, of in own.items()}, by_class

  def perturb(self, keys, target, noise):
    """See `Task`; every part draws independently."""
    found = {}
    for at, (name, part) in enumerate(self.parts):
      own = tuple(jax.random.fold_in(key, at) for key in keys)
      found[name] = part.perturb(own, target[name], noise)
    return found

  def strata(self, targets):
    """See `Task`; returns the classes of the first part that has any."""
    for name, part in self.parts:
      found = part.strata(targets[name])
      if found is not None:
        return found
    return None
