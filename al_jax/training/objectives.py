"""Terms of training losses."""

import jax
import jax.numpy as jnp


def masked_mean(values: jax.Array, real: jax.Array) -> jax.Array:
  """Computes the mean over the real rows; 0 if there are none.

  Padding is replaced before the sum, not multiplied by 0: it may be NaN, and
  NaN * 0 is NaN.

  Args:
    values: float32[B].
    real: bool[B], False in padding rows.

  Returns:
    float32, a scalar.
  """
  total = jnp.sum(jnp.where(real, values, 0.0))
  return total / jnp.maximum(jnp.sum(real), 1)


def binary_cross_entropy(
  logits: jax.Array, probabilities: jax.Array | float
) -> jax.Array:
  """Computes binary cross-entropies of logits.

  Args:
    logits: float32[B].
    probabilities: targets from 0 to 1, float32[B] or a scalar for all.

  Returns:
    float32[B].
  """
  return jax.nn.softplus(logits) - probabilities * logits


def gaussian_kl(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """Computes KL divergences of Gaussians from the standard normal.

  Args:
    mean: float32[B, Z].
    log_variance: float32[B, Z].

  Returns:
    float32[B] in nats, sums over Z.
  """
  terms = jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance
  return jnp.sum(terms, axis=-1) / 2
