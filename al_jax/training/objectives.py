"""What a step minimises; the mask is applied before the sum."""

import jax
import jax.numpy as jnp


def masked_mean(values: jax.Array, real: jax.Array) -> jax.Array:
  """The mean over the real rows; 0 if there is none.

  The padding is replaced before the sum, not multiplied by 0 after: a filler
  may be NaN, and NaN * 0 is NaN.

  Args:
    values: float32[B].
    real: bool[B].

  Returns:
    float32, a scalar.
  """
  total = jnp.sum(jnp.where(real, values, 0.0))
  return total / jnp.maximum(jnp.sum(real), 1)
