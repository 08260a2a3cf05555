"""Code that depends on XLA: barriers, jaxprs, and compiled programs.

A new version of jaxlib should require changes only here, in `models/conv.py`
and in `kernels/_xla.py`.
"""

import functools
import math
import os
import warnings
from collections.abc import Callable, Iterator

import jax
import jax.extend
import jax.numpy as jnp
from absl import logging
from jax.interpreters import partial_eval

from al_jax import files

# JAX reports this event for each program that it passes to the compiler, even
# if the persistent cache has it.
_COMPILED = '/jax/core/compile/backend_compile_duration'
# Beginning of JAX's warning about a damaged program in its persistent cache.
_UNREADABLE = 'Error reading persistent compilation cache entry'


def used_by(fn: Callable, *args) -> set[str]:
  """Names the primitives that the results of a function depend on.

  Args:
    fn: any function of pytrees.
    *args: arrays, or their shapes as `jax.ShapeDtypeStruct`.

  Returns:
    Names such as `'conv_general_dilated'` or `'random_bits'`.
  """
  jaxpr = jax.make_jaxpr(fn)(*args).jaxpr
  # Dead code is not compiled either. For example, Flax's bridge draws unused
  # weights whenever it calls an nnx module.
  jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
  return {equation.primitive.name for equation, _ in _equations(jaxpr)}


def convolutions(fn: Callable, *args) -> list[jax.lax.ConvDimensionNumbers]:
  """Lists the array layouts of a function's convolutions.

  Args:
    fn: any function of pytrees.
    *args: arrays, or their shapes as `jax.ShapeDtypeStruct`.

  Returns:
    The dimension numbers of every convolution, inner ones included.
  """
  jaxpr = jax.make_jaxpr(fn)(*args).jaxpr
  return [
    equation.params['dimension_numbers']
    for equation, _ in _equations(jaxpr)
    if equation.primitive.name == 'conv_general_dilated'
  ]


def matrix_operations(fn: Callable, *args) -> int:
  """Counts additions and multiplications in matrix products and convolutions.

  All steps of a scan count, one step of a while loop, and all branches of a
  conditional.

  Args:
    fn: any function of pytrees.
    *args: arrays, or their shapes as `jax.ShapeDtypeStruct`.

  Returns:
    The number of operations, such as 2 m n k for [m, k] times [k, n].
  """
  jaxpr = jax.make_jaxpr(fn)(*args).jaxpr
  return sum(
    times * _operations(equation) for equation, times in _equations(jaxpr)
  )


def _operations(equation):
  shapes = [variable.aval.shape for variable in equation.invars]
  if equation.primitive.name == 'dot_general':
    (contracting, _), _ = equation.params['dimension_numbers']
    inner = math.prod(shapes[0][axis] for axis in contracting)
  elif equation.primitive.name == 'conv_general_dilated':
    # A kernel has the axes window, features in and features out in some order.
    out_axis = equation.params['dimension_numbers'].rhs_spec[0]
    inner = math.prod(shapes[1]) // shapes[1][out_axis]
  else:
    return 0
  return 2 * inner * math.prod(equation.outvars[0].aval.shape)


def _equations(jaxpr, times=1) -> Iterator[tuple]:
  """Yields every equation, inner ones included, and how often it runs."""
  for equation in jaxpr.eqns:
    yield equation, times
    length = equation.params.get('length', 1)
    repeats = length if equation.primitive.name == 'scan' else 1
    for inner in jaxprs_in(equation):
      yield from _equations(inner, times * repeats)


def jaxprs_in(equation: jax.extend.core.JaxprEqn) -> list:
  """Returns the jaxprs among the parameters of an equation."""
  leaves = jax.tree.leaves(
    list(equation.params.values()),
    is_leaf=lambda value: _as_jaxpr(value) is not None,
  )
  found = map(_as_jaxpr, leaves)
  return [jaxpr for jaxpr in found if jaxpr is not None]


def _as_jaxpr(value):
  """Returns the jaxpr in a value, closed or open; None if it has none."""
  value = getattr(value, 'jaxpr', value)
  return value if hasattr(value, 'eqns') else None


def set_apart(predictions):
  """Keeps XLA from fusing predictions with their consumers.

  On CPU, a maximum over classes would make XLA compute the dense layers twice:
  7.7 against 4.3 ms for the margins of 1,000 MNIST digits by an MLP. Rounding
  to the precision that the numbers already have is a barrier that the compiler
  keeps, and changes no number.
  """

  def apart(leaf):
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      return leaf
    info = jnp.finfo(leaf.dtype)
    return jax.lax.reduce_precision(leaf, info.nexp, info.nmant)

  return jax.tree.map(apart, predictions)


# LLVM takes seconds to optimise a program, which pays off if it has an array of
# more than this many numbers. In a while loop an array counts `_STEPS` times.
_MANY_NUMBERS, _STEPS = 1 << 23, 16
# Options that compile other programs in a fifth of the time.
_BRIEF = {
  'xla_backend_optimization_level': 0,
  'xla_cpu_use_fusion_emitters': False,
}
# Number of programs kept per function; each holds megabytes of code.
_KEPT = 32


def compiled_briefly(fn: Callable) -> Callable:
  """Jits a function that is called few times.

  On CPU, programs on small arrays are not optimised: BADGE on 20,000 x 256
  compiles in 2.2 CPU seconds instead of 10, and runs in 0.05 seconds instead of
  0.03. Results may differ in the last bits from those of `jax.jit`. All other
  programs are compiled as by `jax.jit`.

  Args:
    fn: function of positional arrays and hashable keyword options.

  Returns:
    The function, compiled once for each form of its arguments. The 32 most
    recently called programs are kept. Shapes that always change, such as those
    of a shrinking pool, compile at every call.
  """
  # Ordered by last call.
  programs = {}

  def call(*args, **options):
    leaves, structure = jax.tree.flatten(args)
    form = structure, tuple(map(_form, leaves)), tuple(options.items())
    program = programs.pop(form, None)
    if program is None:
      # JAX keeps a program as long as its function. A new function per program
      # lets it go when it is dropped here.
      alone = functools.partial(fn)
      static = jax.jit(alone, static_argnames=tuple(options))
      traced = static.trace(*args, **options)
      is_small = _most_numbers(traced.jaxpr.jaxpr) <= _MANY_NUMBERS
      program = traced.lower().compile(_known_options() if is_small else None)
    programs[form] = program
    if len(programs) > _KEPT:
      del programs[next(iter(programs))]
    return program(*args)

  return call


def _form(leaf):
  sharding = leaf.sharding if isinstance(leaf, jax.Array) else None
  return leaf.shape, leaf.dtype, sharding


def _most_numbers(jaxpr, weight=1):
  """Returns the largest array size, weighted by how often it is computed."""
  most = 0
  for equation in jaxpr.eqns:
    inner = jaxprs_in(equation)
    inside = {
      'scan': weight * equation.params.get('length', 1),
      'while': max(weight, _STEPS),
      # Assumes that a loop rarely enters a branch.
      'cond': 1,
    }.get(equation.primitive.name, weight)
    if inner:
      found = [_most_numbers(each, inside) for each in inner]
    else:
      shapes = [variable.aval.shape for variable in equation.outvars]
      found = [weight * math.prod(shape) for shape in shapes]
    most = max([most, *found])
  return most


@functools.cache
def _known_options():
  """Returns the options of `_BRIEF` that this compiler has."""
  if jax.default_backend() != 'cpu':
    return {}
  known = {}
  for name, value in _BRIEF.items():
    try:
      jax.jit(lambda: 0).lower().compile({name: value})
    except jax.errors.JaxRuntimeError:
      continue
    known[name] = value
  return known


class _Counter:
  value = 0


def _listen(event: str, duration: float, **details) -> None:
  del duration, details
  if event == _COMPILED:
    _Counter.value += 1


jax.monitoring.register_event_duration_secs_listener(_listen)


def programs_compiled() -> int:
  """Returns the number of programs compiled since this module's import."""
  return _Counter.value


def program_cache() -> str:
  """Returns the folder that keeps compiled programs between processes.

  The folder must be trusted: programs from it are executed.

  Returns:
    The folder in JAX_COMPILATION_CACHE_DIR, or else a folder below that in
    AL_JAX_CACHE_DIR or below `~/.cache/al_jax`.
  """
  given = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  return given or str(files.cache_root() / 'compiled')


def keep_programs(folder: str) -> None:
  """Keeps programs that take more than 0.1 seconds to compile in a folder.

  Args:
    folder: folder of JAX's persistent compilation cache.
  """
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  if not isinstance(warnings.showwarning, _DamageOnce):
    warnings.showwarning = _DamageOnce(warnings.showwarning)


class _DamageOnce:
  """Handler of warnings that reports damaged programs once, with the remedy.

  JAX itself warns about each one, compiles it again, and leaves the damaged
  file in place.
  """

  def __init__(self, show: Callable):
    self._show = show
    self._said = False

  def __call__(self, message: Warning | str, *where, **more) -> None:
    if not str(message).startswith(_UNREADABLE):
      self._show(message, *where, **more)
    elif not self._said:
      self._said = True
      folder = jax.config.jax_compilation_cache_dir
      logging.warning(
        'Compiled programs in %s are damaged and are compiled again in every '
        'run until they are deleted: rm -r %s',
        folder,
        folder,
      )
