"""Where XLA has to be told how to compile a kernel, and when."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

# What `compiled` treats as static: its values become part of the program.
_STATIC = (bool, int, float, str, type(None))


def is_static(value: Any) -> bool:
  """Whether `compiled` treats a value as static."""
  # Scalars of NumPy count as arrays, though its float64 is a float of Python.
  return isinstance(value, _STATIC) and not isinstance(value, np.generic)


def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
  """Jits a kernel, so that a plain second call compiles nothing.

  Numbers of Python, strings and None are static: a kernel whose caller is
  jitted rounds as it does without this jit, and each value of such an option
  is a program. Arrays, of any size, are traced.

  Args:
    kernel: takes keyword arguments only.

  Returns:
    The same function, jitted where it is defined.
  """

  def of_static(options, **arrays):
    return kernel(**dict(options), **arrays)

  of_static.__name__ = kernel.__name__.lstrip('_')
  run = jax.jit(of_static, static_argnums=0)

  @functools.wraps(kernel)
  def call(**arguments):
    options = {
      name: value for name, value in arguments.items() if is_static(value)
    }
    arrays = {
      name: value for name, value in arguments.items() if name not in options
    }
    return run(tuple(options.items()), **arrays)

  return call


def top_k(values: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
  """`lax.top_k`, kept apart from the code that uses its result.

  On CPU XLA folds an index into the result (`best[i]`) into the search itself,
  which then sorts all of `values`. The barrier forbids that. In a program of
  several devices one around both results is folded into the search, and XLA
  ends the process: `optimization_barrier ... cannot be downcasted`.

  Args:
    values: [..., N].
    k: at most N; static.

  Returns:
    The k largest values and their indices, both [..., k].
  """
  found = lax.top_k(values, k)
  if jax.sharding.get_abstract_mesh().manual_axes:
    best, indices = found
    return lax.optimization_barrier(best), lax.optimization_barrier(indices)
  return lax.optimization_barrier(found)
