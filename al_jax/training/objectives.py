"""What a step minimises, per example; the mask is applied before the sum."""

import jax
import jax.numpy as jnp
import optax


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """-log softmax(logits)[target], of each example.

  Args:
    logits: float32[B, C].
    targets: int32[B], class numbers.

  Returns:
    float32[B], in nats.
  """
  return optax.softmax_cross_entropy_with_integer_labels(logits, targets)


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
