"""Indices whose padding is -1, as scatters and gathers need them."""

import jax
import jax.numpy as jnp


def past_end(indices: jax.Array, num_rows: int) -> jax.Array:
  """Moves padding past the end, where `mode='drop'` and `'fill'` apply.

  A negative index would count from the end: `.at[-1]` writes the last row.

  Args:
    indices: int, of any shape; -1 pads.
    num_rows: rows of the array that is indexed.

  Returns:
    The indices, with `num_rows` in place of -1.
  """
  return jnp.where(indices < 0, num_rows, indices)


def size_for(count: int) -> int:
  """Returns the least power of two that holds `count` rows.

  Arrays of few sizes compile few programs.

  Args:
    count: number of rows, at least 0.
  """
  return 1 << max(count - 1, 0).bit_length()
