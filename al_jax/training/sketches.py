"""Sketches of per-example gradients with respect to all weights."""

import jax
import jax.numpy as jnp
from jax import lax

from al_jax import kernels, tasks
from al_jax.interfaces import ModelFns, PyTree
from al_jax.tasks import Task

# Seed of buckets and signs: one sketch for all batches, rounds and seeds.
_SEED = 0


def of_gradients(
  model: ModelFns, variables: PyTree, task: Task, inputs: PyTree, size: int
) -> jax.Array:
  """Sketches each example's gradient with respect to all weights of a network.

  For classes it is the gradient of the cross-entropy at the label that the
  network itself predicts. For numbers the gradient of the loss vanishes at the
  network's own prediction, so the predictions themselves are differentiated:
  coordinate d has a gradient g_d and its own CountSketch S_d, and the sketches
  are added up. Over the draws of buckets and signs

    mean of (sum_d S_d g_d(x)) . (sum_d S_d g_d(z)) = sum_d g_d(x) . g_d(z),

  with a relative error of about 1 / sqrt(size). One projection of all
  coordinates would cost a single gradient, but its error would not shrink with
  the size. The parts of a mixed task are added up in the same way, each times
  the weight of its loss.

  There is no dropout, and BatchNorm uses its running statistics.

  Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain Gradient
  Lower Bounds", section 3: the label; Charikar et al. 2002, "Finding Frequent
  Items in Data Streams", section 3: the sketch.

  Args:
    model: the network.
    variables: variables of the network.
    task: the task.
    inputs: pytree of [B, ...], raw.
    size: m, number of values per example.

  Returns:
    float32[B, m]. Each example takes one gradient for classes, and one per
    coordinate for numbers.
  """

  def functions_of(params, example):
    """Computes the functions to differentiate, one per sketch: float32[F]."""
    row = jax.tree.map(lambda leaf: leaf[None], example)
    output = model.apply({**variables, 'params': params}, row)
    return _functions(task, output.predictions)

  params = variables['params']
  example = jax.tree.map(lambda leaf: leaf[0], inputs)
  (number,) = jax.eval_shape(functions_of, params, example).shape
  key = jax.random.key(_SEED)

  def add(nth, total):
    return total + kernels.per_example_gradients(
      lambda params, example: functions_of(params, example)[nth],
      params,
      inputs,
      sketch_dim=size,
      key=jax.random.fold_in(key, nth),
    )

  rows = len(jax.tree.leaves(inputs)[0])
  return lax.fori_loop(0, number, add, jnp.zeros((rows, size)))


def _functions(task, predictions):
  """Reduces the predictions of one example, [1, ...], to float32[F]."""
  values = jax.tree.map(
    _of_part, tasks.are_classes(task), tasks.weights_of(task), predictions
  )
  return jnp.concatenate(jax.tree.leaves(values))


def _of_part(is_classes, weight, predictions):
  if not is_classes:
    return weight * predictions[0]
  # Slope of the cross-entropy: softmax minus one-hot, without cancellation.
  slope = kernels.gradient_factors(predictions, jnp.ones((1, 1))).left
  return weight * jnp.sum(lax.stop_gradient(slope) * predictions, axis=1)
