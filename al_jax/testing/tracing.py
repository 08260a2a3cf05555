"""Inspects functions by tracing: shapes, needs they use, whether jitted."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax.interfaces import Batch, ModelOutput, PyTree
from al_jax.strategies import needs


def shapes(tree: PyTree) -> PyTree:
  """Returns the shape, dtype and weak type of every leaf."""
  return jax.eval_shape(lambda: tree)


def difference(before: PyTree, after: PyTree) -> str:
  """Describes the first leaf whose shape or type differs; '' if none does.

  Args:
    before: Pytree of shapes, see `shapes`.
    after: Pytree of shapes to compare with.
  """
  old, old_tree = jax.tree_util.tree_flatten_with_path(before)
  new, new_tree = jax.tree_util.tree_flatten_with_path(after)
  if old_tree != new_tree:
    return f'its structure was {old_tree} and is {new_tree}'
  for (path, was), (_, now) in zip(old, new, strict=True):
    if was != now:
      at = jax.tree_util.keystr(path) or 'it'
      return f'{at} was {_described(was)} and is {_described(now)}'
  return ''


def _described(leaf):
  weak = ', weakly typed' if leaf.weak_type else ''
  return f'{leaf.dtype}{list(leaf.shape)}{weak}'


def is_jitted(function: Callable) -> bool:
  """Tells whether a function, or the one that a partial calls, is jitted."""
  while isinstance(function, functools.partial):
    function = function.func
  return hasattr(function, 'lower')


def why_not_traced(function: Callable, arguments: tuple) -> str:
  """Returns the type of the error that tracing raises; '' if there is none."""
  try:
    jax.eval_shape(function, *arguments)
  except Exception as error:
    return type(error).__name__
  return ''


def needs_used(
  measure: Callable, apply: Callable, inputs: Any, declared: Collection[str]
) -> set[str]:
  """Returns the needs that a measurement uses.

  Args:
    measure: Measurement of a strategy.
    apply: Network.
    inputs: Inputs of a batch to trace the measurement on.
    declared: Declared needs. An undeclared embedding or extra is withheld. If
      classes are not declared, predictions are a dict, as of another task.

  Returns:
    Names as in `Strategy.needs`.
  """
  key, used = jax.random.key(0), set()
  extras = jax.eval_shape(lambda: apply(inputs)).extras
  names = [needs.CLASSES, needs.EMBEDDING, *(needs.EXTRAS + n for n in extras)]
  names = sorted(set(names) & set(declared))
  index = jnp.arange(len(inputs), dtype=jnp.int32)

  def traced(ones):
    def scaled(inputs, *, keys=None):
      if keys is not None:
        used.add(needs.DROPOUT)
      return _only(
        apply(inputs, keys=keys), dict(zip(names, ones, strict=True))
      )

    return measure(key, scaled, Batch(index, inputs))

  jaxpr = jax.make_jaxpr(traced)([np.float32(1)] * len(names)).jaxpr
  return used | {
    name
    for name, variable in zip(names, jaxpr.invars, strict=True)
    if _reaches(jaxpr, variable)
  }


def _only(output, ones):
  """Keeps the declared parts of an output, each multiplied by a traced one."""
  predictions = {'one': output.predictions, 'other': output.embedding}
  if needs.CLASSES in ones:
    predictions = jax.tree.map(
      lambda leaf: leaf * ones[needs.CLASSES], output.predictions
    )
  embedding = None
  if needs.EMBEDDING in ones:
    embedding = output.embedding * ones[needs.EMBEDDING]
  extras = {
    name: value * ones[needs.EXTRAS + name]
    for name, value in output.extras.items()
    if needs.EXTRAS + name in ones
  }
  return ModelOutput(predictions, embedding, extras)


def _reaches(jaxpr, variable):
  """Tells whether any output may depend on an input."""
  reached = {variable}
  for equation in jaxpr.eqns:
    if any(
      each in reached for each in equation.invars if not _is_literal(each)
    ):
      reached.update(equation.outvars)
  return any(each in reached for each in jaxpr.outvars if not _is_literal(each))


def _is_literal(variable):
  return hasattr(variable, 'val')
