"""What is particular to XLA: barriers, jaxprs, and compiled programs.

A new version of jaxlib should only make one look here, into `models/conv.py`
and into `kernels/_xla.py`.
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

# What JAX reports each time it hands a program to the compiler, whether or not
# the persistent cache then has it.
_COMPILED = '/jax/core/compile/backend_compile_duration'
# How JAX begins to say that a program in its persistent cache is damaged.
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
  # What nobody reads is not compiled either, such as the weights that Flax's
  # bridge draws whenever it calls an nnx module.
  jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
  return {equation.primitive.name for equation, _ in _equations(jaxpr)}


def convolutions(fn: Callable, *args) -> list[jax.lax.ConvDimensionNumbers]:
  """How the arrays of each convolution of a function are laid out.

  Args:
    fn: any function of pytrees.
    *args: arrays, or their shapes as `jax.ShapeDtypeStruct`.

  Returns:
    The dimension numbers of every one, inner ones included.
  """
  jaxpr = jax.make_jaxpr(fn)(*args).jaxpr
  return [
    equation.params['dimension_numbers']
    for equation, _ in _equations(jaxpr)
    if equation.primitive.name == 'conv_general_dilated'
  ]


def matrix_operations(fn: Callable, *args) -> int:
  """Additions and multiplications in matrix products and convolutions.

  A scan counts for every one of its steps, a while loop for one, and of a
  conditional all of its branches.

  Args:
    fn: any function of pytrees.
    *args: arrays, or their shapes as `jax.ShapeDtypeStruct`.

  Returns:
    How many: 2 m n k for a product of [m, k] and [k, n].
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
    # A kernel has [window..., features in, features out] in some order.
    out_axis = equation.params['dimension_numbers'].rhs_spec[0]
    inner = math.prod(shapes[1]) // shapes[1][out_axis]
  else:
    return 0
  return 2 * inner * math.prod(equation.outvars[0].aval.shape)


def _equations(jaxpr, times=1) -> Iterator[tuple]:
  """Every equation, inner ones included, and how often it runs."""
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
  """The jaxpr in a value, closed or open; None if it is something else."""
  value = getattr(value, 'jaxpr', value)
  return value if hasattr(value, 'eqns') else None


def set_apart(predictions):
  """The same numbers, which XLA does not fuse with what is made of them.

  On CPU a maximum over classes would have it compute the dense layers twice:
  7.7 against 4.3 ms for the margins of 1,000 MNIST digits by an MLP. Rounding
  to the precision that they have is a barrier which the compiler keeps.
  """

  def apart(leaf):
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      return leaf
    info = jnp.finfo(leaf.dtype)
    return jax.lax.reduce_precision(leaf, info.nexp, info.nmant)

  return jax.tree.map(apart, predictions)


# LLVM takes seconds to optimize a program, which pays where an array of it has
# more numbers than these. One in a while loop counts as several.
_MANY_NUMBERS, _STEPS = 1 << 23, 16
# Compiles other programs in a fifth of the time.
_BRIEF = {
  'xla_backend_optimization_level': 0,
  'xla_cpu_use_fusion_emitters': False,
}
# How many programs of a function are kept: each holds megabytes of code.
_KEPT = 32


def compiled_briefly(fn: Callable) -> Callable:
  """Jits a function that is called few times.

  On CPU a program on few numbers is not optimized: BADGE on 20,000 x 256
  compiles in 2.2 CPU seconds instead of 10, and runs in 0.05 seconds instead of
  0.03. Its results may differ in their last bits from those of `jax.jit`. All
  other programs are compiled as by `jax.jit`.

  Args:
    fn: takes arrays by position, and hashable options by keyword.

  Returns:
    The same function, compiled once for each form of its arguments. The 32
    programs that were called last are kept: shapes that always change, such as
    those of a pool that shrinks, compile at every call.
  """
  # In the order of their last calls.
  programs = {}

  def call(*args, **options):
    leaves, structure = jax.tree.flatten(args)
    form = structure, tuple(map(_form, leaves)), tuple(options.items())
    program = programs.pop(form, None)
    if program is None:
      # JAX keeps programs as long as the function that it was given.
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
  """Numbers of the largest array, times how often it is computed at least."""
  most = 0
  for equation in jaxpr.eqns:
    inner = jaxprs_in(equation)
    inside = {
      'scan': weight * equation.params.get('length', 1),
      'while': max(weight, _STEPS),
      # A loop is taken to enter a branch seldom.
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
  """The options of `_BRIEF`, as far as this compiler has them."""
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
  """Programs that this process has compiled since it imported this module."""
  return _Counter.value


def program_cache() -> str:
  """The folder that keeps compiled programs between processes.

  Whoever can write there decides what runs here: programs are code.

  Returns:
    That of JAX_COMPILATION_CACHE_DIR; without it a folder below that of
    AL_JAX_CACHE_DIR, or else `~/.cache/al_jax`.
  """
  given = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  return given or str(files.cache_root() / 'compiled')


def keep_programs(folder: str) -> None:
  """Keeps every program that took longer than a tenth of a second to compile.

  Args:
    folder: JAX's persistent compilation cache.
  """
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  if not isinstance(warnings.showwarning, _DamageOnce):
    warnings.showwarning = _DamageOnce(warnings.showwarning)


class _DamageOnce:
  """Shows warnings; of many damaged programs one, with the cure.

  JAX warns of each, compiles it, and leaves what is damaged where it is.
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
        'Compiled programs in %s are damaged, and are compiled anew in every '
        'run until they are deleted: rm -r %s',
        folder,
        folder,
      )
