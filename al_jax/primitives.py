"""Which operations a function is made of, seen without running it."""

from collections.abc import Callable

import jax


def used_by(fn: Callable, *args) -> set[str]:
  """Names of the primitives in a function's jaxpr, inner ones included.

  Args:
    fn: any function of pytrees.
    *args: arrays, or their shapes as `jax.ShapeDtypeStruct`.

  Returns:
    Names such as `'conv_general_dilated'` or `'random_bits'`.
  """
  names = set()
  _collect(jax.make_jaxpr(fn)(*args).jaxpr, names)
  return names


def _collect(jaxpr, names):
  for equation in jaxpr.eqns:
    names.add(equation.primitive.name)
    for inner in jax.tree.leaves(
      list(equation.params.values()), is_leaf=_as_jaxpr
    ):
      if _as_jaxpr(inner):
        _collect(_as_jaxpr(inner), names)


def _as_jaxpr(value):
  """The jaxpr in a value, closed or open; None if it is something else."""
  value = getattr(value, 'jaxpr', value)
  return value if hasattr(value, 'eqns') else None
