"""Sheets of images, for people to look at."""

import jax
import jax.numpy as jnp

from al_jax.interfaces import Facts
from al_jax.models import common


def kept(shown: jax.Array, rows: jax.Array, real: jax.Array) -> jax.Array:
  """Replaces the shown rows by the first n rows of a batch.

  Args:
    shown: [n, ...], rows of earlier batches. If the batch has fewer than n real
      rows, the remaining ones stay.
    rows: [B, ...], rows of the batch.
    real: bool[B], False in padding rows, which come last.

  Returns:
    [n, ...].
  """
  number = min(len(shown), len(rows))
  column = real[:number].reshape(-1, *(1,) * (rows.ndim - 1))
  first = jnp.where(column, rows[:number], shown[:number])
  return jnp.concatenate([first, shown[number:]])


def of_images(facts: Facts, images: jax.Array) -> jax.Array:
  """Scales normalised images to values from 0 to 1.

  Args:
    facts: facts of the task. If raw inputs are uint8, 255 becomes 1; otherwise
      the largest value becomes 1, and the least 0.
    images: float32 [n, height, width, channels], normalised.

  Returns:
    float32 of the same shape.
  """
  images = common.unnormalised(facts, images)
  low, high = 0.0, 255.0
  if facts.example.dtype != jnp.uint8:
    low, high = jnp.min(images), jnp.max(images)
  return jnp.clip((images - low) / jnp.maximum(high - low, 1e-6), 0.0, 1.0)
