"""Checks and casts of the arguments that kernels share."""

import operator
from typing import SupportsIndex

import chex
import jax
import jax.numpy as jnp


def count(name: str, number: SupportsIndex, *, at_least: int = 1) -> int:
  """Returns a static number as an int.

  Args:
    name: the argument's, for the message.
    number: an integer of any type.
    at_least: the smallest that is allowed.

  Returns:
    The number.

  Raises:
    ValueError: a number below `at_least`.
  """
  number = operator.index(number)
  if number < at_least:
    raise ValueError(f'{name} is {number}; it must be at least {at_least}.')
  return number


def scores(values: jax.Array) -> jax.Array:
  """Returns scores as an array, after checking that they are float [N]."""
  values = jnp.asarray(values)
  chex.assert_rank(values, 1)
  chex.assert_type(values, float)
  return values


def at_least_float32(values: jax.Array) -> jax.Array:
  """Casts floats that are narrower than float32."""
  return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def mask(
  values: jax.Array | None, shape: tuple[int, ...], *, default: bool
) -> jax.Array:
  """Returns a mask as an array, after checking that it is bool[N].

  Args:
    values: bool[N], or None.
    shape: (N,).
    default: what None stands for, everywhere.

  Returns:
    bool[N].
  """
  if values is None:
    return jnp.full(shape, default)
  values = jnp.asarray(values)
  chex.assert_type(values, bool)
  chex.assert_shape(values, shape)
  return values


def among(pickable: jax.Array, eligible: jax.Array | None) -> jax.Array:
  """Restricts `pickable`, bool[N], to a checked `eligible`; None: to all."""
  if eligible is None:
    return pickable
  return pickable & mask(eligible, pickable.shape, default=True)
