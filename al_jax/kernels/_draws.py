"""Random draws in proportion to given masses."""

import jax
import jax.numpy as jnp

# Children per node in the tree of sums. Changing it changes the draws.
_FAN_OUT = 128


def draw(key: jax.Array, mass: jax.Array, num_draws: int) -> jax.Array:
  """Draws indices independently in proportion to `mass`, int32[num_draws].

  Descends a tree of sums with a fresh random number at every level, so that
  float32 resolves the smallest mass in the largest pool.
  """
  levels = [mass]
  while levels[-1].size > _FAN_OUT:
    levels.append(jnp.sum(_grouped(levels[-1]), axis=1))
  index = jnp.zeros(num_draws, jnp.int32)
  shape = (len(levels), num_draws, 1)
  for level, uniform in zip(
    reversed(levels), jax.random.uniform(key, shape, mass.dtype), strict=True
  ):
    running = jnp.cumsum(_grouped(level)[index], axis=1)
    child = jnp.sum(running <= uniform * running[:, -1:], axis=1)
    index = index * _FAN_OUT + child.astype(jnp.int32)
  return jnp.minimum(index, mass.size - 1)


def scaled(mass: jax.Array) -> jax.Array:
  """Divides `mass` by its maximum, so that sums stay finite; 0 if all are 0."""
  largest = jnp.maximum(jnp.max(mass), jnp.finfo(mass.dtype).tiny)
  # XLA multiplies by 1 / largest, which must not be subnormal.
  shrunk = jnp.where(largest > 2.0**96, 2.0**-32, 1.0).astype(mass.dtype)
  return (mass * shrunk) / (largest * shrunk)


def _grouped(level):
  """Pads with 0 and reshapes to [groups, _FAN_OUT]."""
  padding = -level.size % _FAN_OUT
  return jnp.pad(level, (0, padding)).reshape(-1, _FAN_OUT)
