"""A network on a batch: in training, and as it is used afterwards."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from al_jax import xla
from al_jax.interfaces import Batch, ModelFns, ModelOutput, PyTree
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
    variables: of the network, before the step.
    at: the course, before the step.
    augment: see `training.augment.build`.
    batch: padded with an index of -1.
    draws: int32[B], rows of one number are augmented alike. If None, the index,
      for batches without repetitions.

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


def targets_of(targets: jax.Array, index: jax.Array) -> jax.Array:
  """The targets of a batch; 0 in padding rows.

  Args:
    targets: int32[N].
    index: int32[B]; -1 pads.

  Returns:
    int32[B].
  """
  index = jnp.where(index >= 0, index, len(targets))
  return jnp.take(targets, index, axis=0, mode='fill', fill_value=0)


def watch(
  logits: jax.Array, losses: jax.Array, targets: jax.Array, real: jax.Array
) -> dict[str, course.Mean]:
  """Loss and accuracy on a batch.

  Args:
    logits: float32[B, C].
    losses: float32[B].
    targets: int32[B].
    real: bool[B], which rows count.

  Returns:
    `'loss'` and `'accuracy'`.
  """
  correct = real & (jnp.argmax(logits, -1) == targets)
  count = jnp.sum(real, dtype=jnp.int32)
  return {
    'loss': course.Mean(jnp.sum(jnp.where(real, losses, 0.0)), count),
    'accuracy': course.Mean(jnp.sum(correct, dtype=jnp.float32), count),
  }


def apply(
  model: ModelFns,
  variables: PyTree,
  inputs: PyTree,
  *,
  keys: jax.Array | None = None,
) -> ModelOutput:
  """What a network says: the `apply` of a learner, see `interfaces`."""
  if keys is None:
    output = model.apply(variables, inputs)
    return output._replace(predictions=xla.set_apart(output.predictions))
  return jax.lax.map(lambda key: model.apply(variables, inputs, key=key), keys)
