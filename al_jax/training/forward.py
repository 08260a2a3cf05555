"""Evaluates a network on a batch, in training and in inference."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from al_jax import xla
from al_jax.interfaces import Batch, ModelFns, ModelOutput, PyTree
from al_jax.tasks import Task
from al_jax.training import course


def train(
  model: ModelFns,
  variables: PyTree,
  at: course.Course,
  augment: Callable[..., PyTree],
  batch: Batch,
  draws: jax.Array | None = None,
) -> Callable[[PyTree], tuple[ModelOutput, PyTree]]:
  """Returns a network in training on a batch, as a function of its weights.

  Args:
    model: the network.
    variables: variables of the network before the step.
    at: the course before the step.
    augment: augmentation, see `training.augment.build`.
    batch: batch of examples, padded with an index of -1.
    draws: int32[B]; rows with the same number are augmented in the same way. If
      None, the pool index, for batches in which no example repeats.

  Returns:
    `(params) -> (output, statistics)`.
  """
  augment_key, dropout_key = course.step_keys(at)
  draws = batch.index if draws is None else draws
  inputs = augment(augment_key, draws, batch.inputs)

  def of_params(params):
    return model.train(
      {**variables, 'params': params},
      inputs,
      dropout_key,
      real=batch.index >= 0,
    )

  return of_params


def targets_of(targets: PyTree, index: jax.Array) -> PyTree:
  """Gathers the targets of a batch; 0 in padding rows.

  Args:
    targets: pytree of [N, ...].
    index: int32[B]; -1 pads.

  Returns:
    Pytree of [B, ...].
  """

  def of_leaf(leaf):
    rows = jnp.where(index >= 0, index, len(leaf))
    return jnp.take(leaf, rows, axis=0, mode='fill', fill_value=0)

  return jax.tree.map(of_leaf, targets)


def watched(task: Task) -> dict[str, tuple[int, ...]]:
  """Maps each quantity that `watch` returns to its shape."""
  return {'loss': (), **dict.fromkeys(task.watched, ())}


def watch(
  task: Task,
  predictions: PyTree,
  losses: jax.Array,
  targets: PyTree,
  real: jax.Array,
) -> dict[str, course.Mean]:
  """Computes means of the loss and of the task's watched quantities.

  Args:
    task: the task.
    predictions: pytree of [B, ...].
    losses: float32[B].
    targets: pytree of [B, ...].
    real: bool[B], False in padding rows.

  Returns:
    Means by name.
  """
  seen = task.watch(predictions, targets)
  count = jnp.sum(real, dtype=jnp.int32)
  totals = {'loss': jnp.sum(jnp.where(real, losses, 0.0))}
  for name, values in seen.items():
    if values.dtype == jnp.bool_:
      totals[name] = jnp.sum(real & values, dtype=jnp.float32)
    else:
      totals[name] = jnp.sum(jnp.where(real, values, 0.0))
  return {name: course.Mean(total, count) for name, total in totals.items()}


def apply(
  model: ModelFns,
  variables: PyTree,
  inputs: PyTree,
  *,
  keys: jax.Array | None = None,
) -> ModelOutput:
  """Evaluates a network: the `apply` of a learner, see `interfaces`."""
  if keys is None:
    output = model.apply(variables, inputs)
    return output._replace(predictions=_set_apart(output.predictions))
  return jax.lax.map(lambda key: model.apply(variables, inputs, key=key), keys)


def _set_apart(predictions):
  return jax.tree.map(xla.set_apart, predictions)
