"""Rewrites convolutions inside a given function as matrix products.

Gradients of single examples need one convolution per example. That is slow on
CPU, and slower inside a loop. As a product of patches with the kernel it is one
batched matrix product, inside a loop or not.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

# Calls that only wrap their equations; the name depends on jax's version.
_WRAPPERS = frozenset({'jit', 'pjit', 'closed_call'})


def as_products(function: Callable) -> Callable:
  """Returns the same function with convolutions as matrix products.

  Grouped and transposed convolutions stay as they are, and so do those inside
  loops, branches, rematerialisation and custom derivatives.

  Args:
    function: Function from pytrees of arrays to a pytree of arrays.
  """

  def rewritten(*args):
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    leaves = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args))
    return jax.tree.unflatten(jax.tree.structure(shape), leaves)

  return rewritten


def _evaluate(jaxpr, consts, args):
  """Evaluates the equations in order and returns the outputs."""
  values = dict(
    zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True)
  )

  def read(atom):
    return atom.val if isinstance(atom, core.Literal) else values[atom]

  for equation in jaxpr.eqns:
    name = equation.primitive.name
    if name in _WRAPPERS:
      inner = equation.params.get('jaxpr') or equation.params['call_jaxpr']
      inputs = [read(atom) for atom in equation.invars]
      results = _evaluate(inner.jaxpr, inner.consts, inputs)
    elif name == 'conv_general_dilated' and _is_plain(equation.params):
      inputs = [read(atom) for atom in equation.invars]
      results = [_product(*inputs, equation.params)]
    else:
      # Let jax run this equation, as a program of its own.
      needed = dict.fromkeys(
        atom for atom in equation.invars if not isinstance(atom, core.Literal)
      )
      alone = jaxpr.replace(
        constvars=[],
        invars=[*needed],
        outvars=equation.outvars,
        eqns=[equation],
      )
      run = core.jaxpr_as_fun(core.ClosedJaxpr(alone, []))
      results = run(*map(read, needed))
    values.update(zip(equation.outvars, results, strict=True))
  return [read(atom) for atom in jaxpr.outvars]


def _is_plain(params):
  """Returns whether a convolution is neither grouped nor transposed."""
  groups = params['feature_group_count'], params['batch_group_count']
  return groups == (1, 1) and set(params['lhs_dilation']) <= {1}


def _product(inputs, kernel, params):
  """Computes a plain convolution as patches of the inputs times the kernel."""
  numbers = params['dimension_numbers']
  batch, channels, *places = numbers.lhs_spec
  inputs = jnp.transpose(inputs, (batch, *places, channels))
  out_channels, in_channels, *taps = numbers.rhs_spec
  kernel = jnp.transpose(kernel, (*taps, in_channels, out_channels))
  inputs = lax.pad(
    inputs,
    jnp.zeros((), inputs.dtype),
    [(0, 0, 0), *[(*pad, 0) for pad in params['padding']], (0, 0, 0)],
  )
  strides, dilations = params['window_strides'], params['rhs_dilation']
  sizes = kernel.shape[:-2]
  spans = [(size - 1) * d for size, d in zip(sizes, dilations, strict=True)]
  patches = []
  for tap in itertools.product(*map(range, sizes)):
    starts = [t * d for t, d in zip(tap, dilations, strict=True)]
    stops = [
      start + length - span
      for start, length, span in zip(
        starts, inputs.shape[1:-1], spans, strict=True
      )
    ]
    patches.append(
      lax.slice(
        inputs,
        (0, *starts, 0),
        (inputs.shape[0], *stops, inputs.shape[-1]),
        (1, *strides, 1),
      )
    )
  outputs = jnp.matmul(
    jnp.concatenate(patches, axis=-1),
    kernel.reshape(-1, kernel.shape[-1]),
    precision=params['precision'],
    preferred_element_type=params['preferred_element_type'],
  )
  batch, channels, *places = numbers.out_spec
  return jnp.moveaxis(outputs, range(outputs.ndim), (batch, *places, channels))
