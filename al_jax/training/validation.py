"""Early stopping on a validation split."""

from typing import Any

import jax
import jax.numpy as jnp

from al_jax.interfaces import Survey
from al_jax.tasks import Task
from al_jax.training import course


def surveys(rules: course.Rules, task: Task) -> dict[str, Survey]:
  """Makes a survey of the validation loss that keeps the best weights.

  Args:
    rules: rules of a learner whose state has `network` and `course`.
    task: task whose losses are measured.

  Returns:
    The Survey by its name; empty if the stop rule has no patience.
  """
  if rules.stop.patience is None:
    return {}

  def measure(key, apply, batch):
    del key
    return apply(batch.inputs).predictions

  def absorb(key, state, predictions, held_out):
    del key
    losses = task.losses(predictions, held_out.targets)
    return _validated(rules.stop.patience, state, jnp.mean(losses))

  survey = Survey(measure=measure, absorb=absorb, source='validation')
  return {course.VALIDATION: survey}


def _validated(patience: int, state: Any, loss: jax.Array) -> Any:
  network, at = state.network, state.course
  improves = loss < at.best.loss
  best = jax.tree.map(
    lambda new, old: jnp.where(improves, new, old),
    course.Best(loss, network.variables, jnp.zeros((), jnp.int32)),
    at.best.replace(epochs_since=at.best.epochs_since + 1),
  )
  finished = at.finished | (best.epochs_since >= patience)
  variables = jax.tree.map(
    lambda old, new: jnp.where(finished, new, old),
    network.variables,
    best.variables,
  )
  at = course.taken(at.replace(best=best, finished=finished), course.VALIDATION)
  return state.replace(network=network.replace(variables=variables), course=at)
