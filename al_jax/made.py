"""Made examples: synthesised queries that are not in the pool.

They are in `PoolState.made`, a buffer of fixed size. A made example is written
there first and then queried like any other, at position N + j.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import sources
from al_jax.interfaces import PyTree
from al_jax.pool import PoolState


def add(pool: PoolState, inputs: PyTree) -> tuple[PoolState, np.ndarray]:
  """Writes examples into the buffer, without querying them.

  Call it on the host, between two rounds.

  Args:
    pool: labelled set with room for made examples.
    inputs: pytree of [K, ...], raw inputs like those of the pool.

  Returns:
    The new state, and the positions N + j, int32[K].

  Raises:
    ValueError: the buffer has too little room, the inputs have another form
      than those of the pool, or a value is not finite.
  """
  inputs = jax.tree.map(np.asarray, inputs)
  number = sources.length(inputs)
  made = pool.made
  capacity = 0 if made is None else made.answers.num_examples
  first = 0 if made is None else int(made.count)
  if first + number > capacity or made is None:
    raise ValueError(
      f'{number} examples do not fit: made_capacity is {capacity}, and {first} '
      'are made already.'
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
  """Appends the buffer to the pool, which then has N + M examples.

  Args:
    pool: labelled set with a buffer of made examples.

  Returns:
    A PoolState without a buffer.
  """
  own = pool.replace(made=None)
  return jax.tree.map(
    lambda a, b: jnp.concatenate([a, b]), own, pool.made.answers
  )


def inputs_of(pool: PoolState, index: jax.Array) -> PyTree:
  """Returns the inputs of made examples by position.

  Args:
    pool: labelled set with a buffer of made examples.
    index: positions, int32[B].

  Returns:
    Pytree of [B, ...]; rows for other positions are arbitrary.
  """
  rows = jnp.clip(
    index - pool.num_examples, 0, pool.made.answers.num_examples - 1
  )
  return jax.tree.map(lambda leaf: leaf[rows], pool.made.inputs)


def _check_like(wanted, given):
  """Raises ValueError unless inputs have the same structure and shapes."""
  shapes = [
    jax.tree.map(lambda leaf: f'{leaf.dtype}{list(leaf.shape[1:])}', of)
    for of in (wanted, jax.tree.map(np.asarray, given))
  ]
  if shapes[0] != shapes[1]:
    raise ValueError(
      f'inputs of made examples are {shapes[1]}; those of the pool are '
      f'{shapes[0]}.'
    )
