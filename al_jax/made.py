"""Examples that are not in the pool: synthesised, and asked about.

They are in `PoolState.made`, a buffer of fixed size. A query is written there
first and then asked like any other, at position N + j.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import sources
from al_jax.interfaces import PyTree
from al_jax.pool import PoolState


def add(pool: PoolState, inputs: PyTree) -> tuple[PoolState, np.ndarray]:
  """Writes examples into the buffer; nobody has been asked about them yet.

  Call it on the host, between two rounds.

  Args:
    pool: with room for made examples.
    inputs: pytree of [K, ...], raw, as those of the pool.

  Returns:
    The state after, and int32[K], the positions: N + j.

  Raises:
    ValueError: there is no room for so many, or they are not like those of the
      pool.
  """
  inputs = jax.tree.map(np.asarray, inputs)
  number = sources.length(inputs)
  made = pool.made
  capacity = 0 if made is None else made.answers.num_examples
  first = 0 if made is None else int(made.count)
  if first + number > capacity or made is None:
    raise ValueError(
      f'{number} examples are to be made; made_capacity is {capacity}, and '
      f'{first} are there.'
    )
  _check_like(made.inputs, inputs)
  for leaf in jax.tree.leaves(inputs):
    if not np.all(np.isfinite(leaf)):
      raise ValueError('inputs of made examples must be finite.')
  inputs = jax.tree.map(
    lambda old, new: jax.lax.dynamic_update_slice_in_dim(
      old, jnp.asarray(new, old.dtype), first, axis=0
    ),
    made.inputs,
    inputs,
  )
  made = dataclasses.replace(
    made, inputs=inputs, count=jnp.int32(first + number)
  )
  positions = pool.num_examples + first + np.arange(number, dtype=np.int32)
  return pool.replace(made=made), positions


def joined(pool: PoolState) -> PoolState:
  """Returns a pool of N + M examples: those that were made stand at the end.

  Args:
    pool: with made examples.

  Returns:
    A PoolState without a buffer.
  """
  own = pool.replace(made=None)
  return jax.tree.map(
    lambda a, b: jnp.concatenate([a, b]), own, pool.made.answers
  )


def inputs_of(pool: PoolState, index: jax.Array) -> PyTree:
  """Returns the inputs of made examples by position; others are arbitrary.

  Args:
    pool: with made examples.
    index: int32[B].

  Returns:
    Pytree of [B, ...].
  """
  rows = jnp.clip(
    index - pool.num_examples, 0, pool.made.answers.num_examples - 1
  )
  return jax.tree.map(lambda leaf: leaf[rows], pool.made.inputs)


def _check_like(wanted, given):
  """Raises for inputs of another structure, type or shape."""
  shapes = [
    jax.tree.map(lambda leaf: f'{leaf.dtype}{list(leaf.shape[1:])}', of)
    for of in (wanted, jax.tree.map(np.asarray, given))
  ]
  if shapes[0] != shapes[1]:
    raise ValueError(
      f'inputs of made examples are {shapes[1]} each; those of the pool are '
      f'{shapes[0]}.'
    )
