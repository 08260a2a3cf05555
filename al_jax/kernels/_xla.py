"""Control over how and when XLA compiles a kernel."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import lax

# Types that `compiled` treats as static: their values are part of the program.
_STATIC = (bool, int, float, str, type(None))


def _is_static(value):
  # NumPy scalars count as arrays, though np.float64 is a Python float.
  return isinstance(value, _STATIC) and not isinstance(value, np.generic)


def static_and_arrays(
  arguments: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Separates the arguments that `compiled` treats as static from arrays."""
  static = {
    name: value for name, value in arguments.items() if _is_static(value)
  }
  arrays = {
    name: value for name, value in arguments.items() if name not in static
  }
  return static, arrays


def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
  """Jits a kernel, so that a plain second call compiles nothing.

  Python numbers, strings and None are static. A kernel inside a jitted caller
  therefore rounds as it does without this jit, and each value of such an option
  compiles a program. Arrays, of any size, are traced.

  Args:
    kernel: Function that takes keyword arguments only.

  Returns:
    The same function, jitted where it is defined.
  """

  def of_static(options, **arrays):
    return kernel(**dict(options), **arrays)

  of_static.__name__ = kernel.__name__.lstrip('_')
  run = jax.jit(of_static, static_argnums=0)

  @functools.wraps(kernel)
  def call(**arguments):
    options, arrays = static_and_arrays(arguments)
    return run(tuple(options.items()), **arrays)

  return call


def top_k(values: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
  """Runs `lax.top_k`, kept apart from the code that uses its result.

  On CPU, XLA folds an index into the result (`best[i]`) into the search itself,
  which then sorts all of `values`. The barriers prevent that. In a program of
  several devices, one barrier around both results would make XLA abort:
  `optimization_barrier ... cannot be downcasted`.

  Args:
    values: [..., N].
    k: Number of values, at most N; static.

  Returns:
    The k largest values and their indices, both [..., k].
  """
  best, indices = lax.top_k(values, k)
  return lax.optimization_barrier(best), lax.optimization_barrier(indices)
