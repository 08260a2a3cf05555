"""The accuracy and speed of JAX's default float32 product."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall


def of_products(size: int, repeats: int = 5) -> Row:
  """Compares a product at the default precision with one at the highest.

  Args:
    size: rows and columns of the matrices.
    repeats: number of measurements of each product.

  Returns:
    A Row; its note has the largest difference.
  """
  keys = jax.random.split(jax.random.key(0))
  factors = [jax.random.normal(key, (size, size)) for key in keys]
  calls = [
    CompiledCall(functools.partial(jnp.matmul, precision=precision), *factors)
    for precision in (None, lax.Precision.HIGHEST)
  ]
  found, exact = (call() for call in calls)
  error = jnp.max(jnp.abs(found - exact)) / jnp.max(jnp.abs(exact))
  seconds, against = (
    min(call.seconds() for _ in range(repeats)) for call in calls
  )
  return Row(
    f'a product of {size:,} x {size:,}, default precision',
    seconds,
    against,
    'highest precision',
    seconds / against,
    compiling=calls[0].compiling,
    note=f'{2e-9 * size**3 / seconds:,.0f} GF/s; differs by up to '
    f'{float(error):.0e} of the largest',
  )
