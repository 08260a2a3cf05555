"""Evaluates a model on a split, from a few numbers per example."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, inference, sources, tasks
from al_jax.interfaces import Learner, LearnerState, PyTree, Report
from al_jax.kernels import _padding
from al_jax.sources import Source
from al_jax.tasks import Metric, Task
from al_jax.tasks.base import Targets


def make_evaluate(
  learner: Learner,
  source: Source,
  task: Task,
  *,
  chunk_size: int = 1000,
  num_samples: int = 0,
) -> Callable[..., tuple[Mapping[str, jax.Array], jax.Array]]:
  """Compiles the evaluation of a learner on a split.

  Args:
    learner: the learner to evaluate.
    source: the split, with all of its answers.
    task: the task.
    chunk_size: rows per forward pass.
    num_samples: number of dropout samples whose mean prediction is evaluated
      too, as `mc_accuracy` and so on; 0 for none.

  Returns:
    `evaluate(key, state) -> (metrics, class_accuracy)`, see `Task.summarise`,
    with the metrics of the learner's own report. The key draws the dropout
    samples. The function raises FloatingPointError if a prediction is not
    finite.

  Raises:
    ContractError: a metric of the report is not a Metric, or its name is taken.
  """
  targets, report = source.pool.targets, learner.report
  if report is not None:
    _check_declared(report, task)

  def measure(args, batch):
    key, state, targets = args
    # Padding rows take the last target; their results are dropped.
    of_rows = jax.tree.map(lambda leaf: leaf[batch.index], targets)
    predictions = learner.apply(state, batch.inputs).predictions
    is_finite = _are_finite(predictions)
    once = task.measure(predictions, of_rows)
    own = ()
    if report is not None:
      apply = functools.partial(learner.apply, state)
      own = report.measure(key, apply, batch, of_rows)
    if num_samples == 0:
      return is_finite, (once,), own
    keys = jax.random.split(key, num_samples)
    samples = learner.apply(state, batch.inputs, keys=keys).predictions
    return is_finite, (once, task.measure(task.mean(samples), of_rows)), own

  map_split = inference.make_pool_map(measure, chunk_size=chunk_size)

  @jax.jit
  def reduce(measured, targets):
    is_finite, (once, *sampled), own = measured
    metrics, class_accuracy = task.summarise(once, targets)
    for each in sampled:
      of_samples, _ = task.summarise(each, targets)
      metrics |= {f'mc_{name}': value for name, value in of_samples.items()}
    if report is not None:
      metrics |= _checked_report(report.reduce(own), report)
    return jnp.sum(~is_finite), metrics, class_accuracy

  def evaluate(key, state):
    measured = map_split((key, state, targets), source.inputs)
    bad, *found = reduce(measured, targets)
    if int(bad):
      raise FloatingPointError(
        f'the predictions of {int(bad)} examples of {sources.length(targets)} '
        'are not finite; a lower learning rate or clip_norm may help.'
      )
    return tuple(found)

  return evaluate


def _are_finite(predictions):
  """Returns bool[B]: whether all predictions of an example are finite."""
  found = [
    jnp.all(jnp.isfinite(leaf).reshape(len(leaf), -1), axis=1)
    for leaf in jax.tree.leaves(predictions)
  ]
  return functools.reduce(jnp.logical_and, found)


def _check_declared(report: Report, task: Task) -> None:
  """Rejects a report whose metrics are not Metrics or whose names are taken."""
  taken = {metric.name for metric in task.metrics}
  taken |= {f'mc_{name}' for name in taken}
  for metric in report.metrics:
    if not isinstance(metric, Metric):
      raise errors.ContractError(
        f'the metrics of a report have {metric!r}; each must be a tasks.Metric.'
      )
    if metric.name in taken:
      raise errors.ContractError(
        f'the metric name {metric.name!r} of a report is already taken, by the '
        'report or by the task; give it another name.'
      )
    taken.add(metric.name)


def _checked_report(found, report):
  """Returns a report's metrics if they are scalars with the declared names."""
  if not isinstance(found, Mapping):
    raise errors.ContractError(
      f'the reduce of a report returned {type(found).__name__}; it must return '
      'scalars by name.'
    )
  declared = sorted(metric.name for metric in report.metrics)
  if sorted(found) != declared:
    raise errors.ContractError(
      f'the reduce of a report returned {sorted(found)}; its metrics are '
      f'{declared}.'
    )
  for name, value in found.items():
    if jnp.shape(value) != ():
      raise errors.ContractError(
        f'the metric {name!r} of a report has shape {list(jnp.shape(value))}; '
        'it must be a scalar.'
      )
  return found


def make_predict(
  learner: Learner, task: Task, inputs: PyTree
) -> Callable[[LearnerState, np.ndarray], tuple[Targets, np.ndarray | None]]:
  """Makes the function that predicts a few examples of the pool.

  Args:
    learner: the learner that predicts.
    task: the task.
    inputs: inputs of the pool.

  Returns:
    See `Program.predict`. It compiles on the first call, and again for twice as
    many examples.
  """
  has_classes = tasks.are_classes(task) is True

  @functools.cache
  def reader():
    # Deferred because on several devices it copies the pool.

    return sources.reader(inputs)

  @jax.jit
  def of_batch(state, batch):
    predictions = learner.apply(state, batch).predictions
    decided = task.decide(predictions)
    if not has_classes:
      return decided, None
    return decided, jnp.exp(-task.losses(predictions, decided))

  def predict(state, picks):
    index = np.full(_padding.size_for(len(picks)), -1, np.int32)
    index[: len(picks)] = picks
    found = jax.device_get(of_batch(state, reader()(index)))
    return jax.tree.map(lambda leaf: leaf[: len(picks)], found)

  return predict
