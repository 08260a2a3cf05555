"""Indices padded with -1, for scatters and gathers."""

import jax
import jax.numpy as jnp


def past_end(indices: jax.Array, num_rows: int) -> jax.Array:
  """Replaces padding by an index past the end, for `mode='drop'` and `'fill'`.

  A negative index would count from the end: `.at[-1]` writes the last row.

  Args:
    indices: Integers of any shape; -1 is padding.
    num_rows: Number of rows of the indexed array.

  Returns:
    The indices, with `num_rows` in place of -1.
  """
  return jnp.where(indices < 0, num_rows, indices)


def size_for(count: int) -> int:
  """Returns the smallest power of two that holds `count` rows.

  Arrays of few distinct sizes compile few programs.

  Args:
    count: Number of rows, at least 0.
  """
  return 1 << max(count - 1, 0).bit_length()
