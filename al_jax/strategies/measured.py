"""Chooses among what was measured, as if the rest of the pool were not there.

Behind a `subset` or in a `chain` a strategy measures a part of the pool, and a
select that goes over all N examples would do most of its work for NaN.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from al_jax import pool as pool_lib
from al_jax.kernels import _padding


def among_measured(select: Callable) -> Callable:
  """Gives a select only the examples that were measured.

  Args:
    select: of a Strategy whose state does not grow with the pool.

  Returns:
    A select that chooses as from a pool of what was measured, for the time and
    memory of that. On the host: it looks how large the part is. Where all of
    the pool was measured it is `select` itself.
  """

  @functools.wraps(select)
  def select_among(key, state, measured, pool, k, **options):
    count = int(_num_measured(measured))
    # Few sizes: each is a program of its own.
    size = 1 << max(count - 1, k - 1, 0).bit_length()
    if size >= pool.num_examples:
      return select(key, state, measured, pool, k, **options)
    rows, part, part_of_pool = _gather(measured, pool, size=size)
    state, chosen = select(key, state, part, part_of_pool, k, **options)
    return state, chosen._replace(indices=_in_pool(rows, chosen.indices))

  return select_among


def _is_measured(measured):
  """bool[N]; one number tells, for elsewhere all are NaN."""
  floats = [
    leaf
    for leaf in jax.tree.leaves(measured)
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  ]
  first = floats[0]
  return ~jnp.isnan(first.reshape(len(first), -1)[:, 0])


@jax.jit
def _num_measured(measured):
  return jnp.sum(_is_measured(measured))


@functools.partial(jax.jit, static_argnames='size')
def _gather(measured, pool, *, size):
  rows, _ = pool_lib.positions(_is_measured(measured), size)
  taken = _padding.past_end(rows, pool.num_examples)
  # Padding is as what was not measured: NaN, and never asked about.
  part = jax.tree.map(
    lambda leaf: jnp.take(leaf, taken, axis=0, mode='fill'), measured
  )
  return rows, part, pool_lib.take(pool, rows)


@jax.jit
def _in_pool(rows, indices):
  return jnp.where(indices < 0, -1, rows[indices])
