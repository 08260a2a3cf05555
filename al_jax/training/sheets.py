"""Images of a learner's state, for people to look at."""

import jax
import jax.numpy as jnp

from al_jax.interfaces import Facts
from al_jax.models import common


def kept(shown: jax.Array, rows: jax.Array, real: jax.Array) -> jax.Array:
  """Returns the first rows of a batch, as many as are shown.

  Args:
    shown: [n, ...], rows of batches before; where a batch has fewer than n real
      rows, the last of these stay.
    rows: [B, ...].
    real: bool[B], False in padding rows, which stand at the end.

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
    facts: of the task. Where raw inputs are uint8, 255 becomes 1; else the
      largest value does, and the least becomes 0.
    images: float32 [n, height, width, channels], normalised.

  Returns:
    float32 of that shape.
  """
  images = common.unnormalised(facts, images)
  low, high = 0.0, 255.0
  if facts.example.dtype != jnp.uint8:
    low, high = jnp.min(images), jnp.max(images)
  return jnp.clip((images - low) / jnp.maximum(high - low, 1e-6), 0.0, 1.0)
