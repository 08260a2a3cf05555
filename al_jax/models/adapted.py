"""Adapts a user's own Flax module, without changes to it.

A module must

- be a Linen module, or an nnx module in `flax.nnx.bridge.ToLinen(Net,
  args=...)`;
- be called as `module(inputs)`, with any of the arguments in `_FLAGS`;
- return logits, `(logits, embedding)`, or a `ModelOutput`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import Facts, ModelFns, ModelOutput, PyTree
from al_jax.models import checks, common
from al_jax.models.common import Pass

# Argument that a module may take -> its value in a pass.
_FLAGS: Mapping[str, Callable[[Pass], Any]] = {
  'how': lambda how: how,
  'train': lambda how: how.training,
  'training': lambda how: how.training,
  'deterministic': lambda how: not how.dropout,
}
_COLLECTIONS = ('params', 'batch_stats')


def is_module(part: object) -> bool:
  """Tells whether a part is a Flax module or the class of one."""
  return isinstance(part, nn.Module) or _is_class(part) or _is_nnx(part)


def model_fns(name: str, module: Any, facts: Facts) -> ModelFns:
  """Makes ModelFns of a user's module.

  Args:
    name: name of the module, for messages.
    module: module as the docstring of this file describes it.
    facts: facts of the task.

  Returns:
    The ModelFns. In a dropout sample the whole batch shares one mask, whatever
    the layers do. BatchNorm ignores padding rows.

  Raises:
    ValueError: If the module cannot be called, or returns another form or
      probabilities.
  """
  fns = common.model_fns(_Adapted(name, module), facts)
  rows = common.few_rows(facts)
  key, real = jax.random.key(0), jnp.ones(2, jnp.bool_)
  try:
    variables = jax.eval_shape(fns.init, key)
    jax.eval_shape(
      functools.partial(fns.train, real=real), variables, rows, key
    )
    checks.check_predictions(name, facts, fns.apply, variables, rows)
  except Exception as error:  # A user's module may raise anything.
    if str(error).startswith(f'model {name!r} '):
      raise
    raise ValueError(
      f'model {name!r} fails for inputs of shape '
      f'{jax.tree.map(lambda leaf: leaf.shape, rows)} with '
      f'{type(error).__name__}: {errors.clause(error)}.'
    ) from error
  return fns


class _Adapted:
  """Wrapper that takes a `Pass`, as the library's modules do.

  It has the two Linen methods that `common.model_fns` calls.
  """

  def __init__(self, name: str, module: Any):
    _check_module(name, module)
    self._name, self._module = name, module
    called = getattr(module, 'nnx_class', module)
    self._is_nnx = called is not module
    self._flags = _flags_of(name, called)
    self._takes_how = 'how' in self._flags

  def lazy_init(self, key: jax.Array, inputs: PyTree, how: Pass) -> PyTree:
    """Makes the variables from shapes alone."""
    rngs = key
    if self._is_nnx:
      rngs = {'params': key, 'default': jax.random.fold_in(key, 1)}
    made = self._module.lazy_init(rngs, inputs, **self._told(how))
    others = sorted(set(made) - set(_COLLECTIONS))
    if others:
      raise ValueError(
        f'model {self._name!r} has the variable collection {others[0]!r}; a '
        f'model may only have {" and ".join(_COLLECTIONS)}.'
      )
    return made

  def apply(
    self,
    variables: PyTree,
    inputs: PyTree,
    how: Pass,
    *,
    rngs: Mapping[str, jax.Array] | None = None,
    mutable: Any = False,
  ) -> Any:
    """Applies the module; see `flax.linen.Module.apply`."""
    if rngs is not None and self._is_nnx:
      # For random streams that have no key of their own.
      rngs = {**rngs, 'default': jax.random.fold_in(rngs['dropout'], 1)}

    def applied(inputs):
      with nn.intercept_methods(functools.partial(_leave_out, how.real)):
        return self._module.apply(
          variables, inputs, **self._told(how), rngs=rngs, mutable=mutable
        )

    num_rows = len(jax.tree.leaves(inputs)[0])
    if mutable:
      returned, changed = applied(inputs)
      return self._output(returned, num_rows), changed
    if how.dropout and not self._takes_how:
      self._check_samples(variables)
      return self._output(_one_by_one(applied, inputs), num_rows)
    return self._output(applied(inputs), num_rows)

  def _told(self, how):
    """Returns the keyword arguments of a call."""
    told = {name: _FLAGS[name](how) for name in self._flags}
    if len(self._flags) == 1 and not self._takes_how:
      # A single flag switches both dropout and BatchNorm.
      told = {
        name: _FLAGS[name](how._replace(training=how.dropout)) for name in told
      }
    if self._is_nnx:
      told = {'nnx_method': functools.partial(_nnx_call, how, told)}
    return told

  def _check_samples(self, variables):
    """Rejects dropout samples if their flag would also switch BatchNorm."""
    if self._is_nnx or len(self._flags) != 1 or 'batch_stats' not in variables:
      return
    (flag,) = self._flags
    raise ValueError(
      f'model {self._name!r} has {flag!r} for both BatchNorm and dropout, but '
      'dropout samples must not switch BatchNorm: let it take `train` for '
      'BatchNorm and `deterministic` for dropout.'
    )

  def _output(self, returned, num_rows):
    """Converts a module's result to a ModelOutput, checking its form."""
    output = returned
    if not isinstance(returned, ModelOutput):
      pair = returned if type(returned) is tuple else (returned, None)
      if len(pair) != 2:
        raise ValueError(
          f'model {self._name!r} returns a tuple of {len(pair)}; it must '
          'return logits, (logits, embedding), or a ModelOutput.'
        )
      output = ModelOutput(*pair, {})
    for what in ('predictions', 'embedding'):
      for leaf in jax.tree.leaves(getattr(output, what)):
        shape, dtype = jnp.shape(leaf), getattr(leaf, 'dtype', type(leaf))
        if dtype != jnp.float32 or len(shape) != 2 or shape[0] != num_rows:
          raise ValueError(
            f'model {self._name!r} returns {what} {dtype}{list(shape)} for '
            f'{num_rows} examples; it must be float32[{num_rows}, ...], with '
            'two axes.'
          )
    return output


def _check_module(name, module):
  """Rejects classes, and nnx modules whose weights already exist."""
  if _is_class(module):
    raise ValueError(
      f'model {name!r} is a class; pass a module, {module.__name__}(...), in '
      f'nnx flax.nnx.bridge.ToLinen({module.__name__}, args=(...)), or a '
      'function of the facts that returns one.'
    )
  if _is_nnx(module):
    kind = type(module).__name__
    raise ValueError(
      f'model {name!r} is an nnx module with weights, but every seed draws its '
      f'own: pass flax.nnx.bridge.ToLinen({kind}, args=(...)).'
    )


def _flags_of(name, called):
  """Returns the arguments in `_FLAGS` that a module takes."""
  if inspect.isfunction(called):
    return ()  # A function that makes an nnx module, of unknown arguments.
  owner = called if isinstance(called, type) else type(called)
  if not any('__call__' in vars(base) for base in owner.__mro__):
    raise ValueError(
      f'model {name!r} has no __call__: define __call__(self, inputs).'
    )
  parameters = inspect.signature(called.__call__).parameters
  flags = tuple(flag for flag in _FLAGS if flag in parameters)
  for other in [each for each in parameters if each != 'self'][1:]:
    parameter = parameters[other]
    may_be_absent = parameter.default is not parameter.empty or (
      parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    )
    if other not in flags and not may_be_absent:
      raise ValueError(
        f'model {name!r} needs the argument {other!r}; it is called with '
        f'inputs, and may take {", ".join(_FLAGS)}.'
      )
  return flags


def _one_by_one(applied, inputs):
  """Applies a module to each example alone, so all share one dropout mask."""

  def of_one(example):
    outputs = applied(jax.tree.map(lambda leaf: leaf[None], example))
    return jax.tree.map(lambda leaf: leaf[0], outputs)

  return jax.vmap(of_one)(inputs)


def _leave_out(real, call, positional, named, context):
  """Intercepts Linen's BatchNorm: statistics come from real rows only."""
  is_norm = isinstance(context.module, nn.BatchNorm)
  if is_norm and context.method_name == '__call__' and 'mask' not in named:
    named = {**named, 'mask': _mask(real, positional[0])}
  return call(*positional, **named)


def _mask(real, inputs):
  """Makes a mask of the real rows; None if inputs are not rows of the batch."""
  if real is None or len(inputs) != len(real):
    return None
  return real.reshape((-1,) + (1,) * (inputs.ndim - 1))


def _nnx_call(how, flags, module, inputs):
  """Calls an nnx module after setting the kind of pass on its layers."""
  from flax import nnx

  for _, layer in nnx.iter_modules(module):
    if isinstance(layer, nnx.BatchNorm):
      # Safe: the bridge makes a new module for each call.
      layer.__class__ = _leaving_out(how.real, type(layer))
  module.set_attributes(
    deterministic=not how.dropout,
    use_running_average=not how.training,
    raise_if_not_found=False,
  )
  return module(inputs, **flags)


def _leaving_out(real, kind):
  """Makes a subclass of an nnx.BatchNorm whose statistics skip padding."""

  class LeavingOut(kind):
    def __call__(self, inputs, *positional, mask=None, **named):
      mask = _mask(real, inputs) if mask is None else mask
      return super().__call__(inputs, *positional, mask=mask, **named)

  return LeavingOut


def _is_class(part):
  from flax import nnx

  return isinstance(part, type) and issubclass(part, nn.Module | nnx.Module)


def _is_nnx(part):
  from flax import nnx

  return isinstance(part, nnx.Module)
