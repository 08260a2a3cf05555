"""Restricts a select to the measured examples.

With `subset` or in a `chain` a strategy measures only a part of the pool, and a
select over all N examples would waste most of its work.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.kernels import _padding


def among_measured(select: Callable) -> Callable:
  """Gives a select only the measured examples.

  Args:
    select: `select` of a Strategy whose state does not grow with the pool.

  Returns:
    A select that chooses as if the pool were the measured examples, and takes
    time and memory only for those. It runs on the host, where it counts them.
    It calls `select` directly if the whole pool was measured, under `jit`, and
    for tiles.
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
    *static: names of static arguments.

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
  """Returns the measured rows, and their part of a select's arguments."""
  rows, _ = pool_lib.positions(seen, size)
  taken = _padding.past_end(rows, pool.num_examples)
  # Padding is zeros, as unmeasured rows are.
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
