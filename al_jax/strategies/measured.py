"""Chooses among what was measured, as if the rest of the pool were not there.

Behind a `subset` or in a `chain` a strategy measures a part of the pool, and a
select that goes over all N examples would do most of its work for nothing.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.kernels import _padding


def among_measured(select: Callable) -> Callable:
  """Gives a select only the examples that were measured.

  Args:
    select: of a Strategy whose state does not grow with the pool.

  Returns:
    A select that chooses as from a pool of what was measured, for the time and
    memory of that. On the host: it looks how large the part is. Where all of
    the pool was measured, under `jit`, or of tiles, it is `select` itself.
  """

  @functools.wraps(select)
  def select_among(key, state, measured, seen, pool, k, **options):
    is_tiled = isinstance(measured, kernels.Tiled)
    if is_tiled or isinstance(seen, jax.core.Tracer):
      return select(key, state, measured, seen, pool, k, **options)
    count = int(_count(seen))
    size = _padding.size_for(max(count, k))
    if size >= pool.num_examples:
      return select(key, state, measured, seen, pool, k, **options)
    rows, *part = _gather(measured, seen, pool, size=size)
    state, chosen = select(key, state, *part, k, **options)
    return state, chosen._replace(indices=_in_pool(rows, chosen.indices))

  return select_among


def jitted(*static: str) -> Callable[[Callable], Callable]:
  """Jits a select, except for tiles, which a kernel reads on the host.

  Args:
    *static: names of arguments.

  Returns:
    A decorator.
  """

  def decorate(select):
    run = jax.jit(select, static_argnames=static)

    @functools.wraps(select)
    def call(key, state, measured, seen, pool, k, **options):
      is_tiled = isinstance(measured, kernels.Tiled)
      chosen = select if is_tiled else run
      return chosen(key, state, measured, seen, pool, k, **options)

    return call

  return decorate


_count = jax.jit(jnp.sum)


@functools.partial(jax.jit, static_argnames='size')
def _gather(measured, seen, pool, *, size):
  """The rows that were measured, and all that a select is given of them."""
  rows, _ = pool_lib.positions(seen, size)
  taken = _padding.past_end(rows, pool.num_examples)
  # Padding is as what was not measured: zeros.
  if isinstance(measured, kernels.Sharded):
    part = measured.take(rows)
  else:
    part = jax.tree.map(
      lambda leaf: jnp.take(leaf, taken, axis=0, mode='fill', fill_value=0),
      measured,
    )
  return rows, part, rows >= 0, pool_lib.take(pool, rows)


@jax.jit
def _in_pool(rows, indices):
  return jnp.where(indices < 0, -1, rows[indices])
