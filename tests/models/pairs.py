"""Compares layers with others that should give the same."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def with_gradients(function, *arguments, loop=False):
  """Outputs, and what the arguments get for a cotangent that varies."""

  def value_and_pullback():
    outputs, pullback = jax.vjp(function, *arguments)
    return outputs, *pullback(
      jnp.cos(jnp.arange(outputs.size, dtype=float)).reshape(outputs.shape)
    )

  if not loop:
    return value_and_pullback()
  return lax.map(lambda _: value_and_pullback(), jnp.arange(2))


def convolutions(function, *arguments):
  """Parameters of every native convolution, forward and backward."""
  jaxpr = jax.make_jaxpr(lambda *args: with_gradients(function, *args))(
    *arguments
  )
  return [
    equation.params
    for equation in _equations(jaxpr.jaxpr)
    if equation.primitive.name == 'conv_general_dilated'
  ]


def _equations(jaxpr):
  """All of them, also those of nested programs."""
  for equation in jaxpr.eqns:
    yield equation
    for inner in core.jaxprs_in_params(equation.params):
      yield from _equations(inner)


def draw(rng, *shapes):
  return [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]


def assert_close(result, wanted):
  for got, want in zip(result, wanted, strict=True):
    scale = np.abs(want).max()
    np.testing.assert_allclose(got, want, atol=1e-5 * scale, rtol=0)


def assert_same(ours, theirs, *arguments):
  """Outputs and gradients of two functions are equal; compiled together."""
  assert_close(
    *jax.jit(lambda *args: [with_gradients(f, *args) for f in (ours, theirs)])(
      *arguments
    )
  )


def assert_same_layers(rng, shape, *, ours, flax):
  """Parameters, outputs and gradients of two Flax modules are equal."""
  (inputs,) = draw(rng, shape)
  layers = (ours, flax)
  variables, wanted = jax.jit(
    lambda inputs: [layer.init(jax.random.key(0), inputs) for layer in layers]
  )(inputs)
  assert jax.tree.structure(variables) == jax.tree.structure(wanted)
  jax.tree.map(np.testing.assert_array_equal, variables, wanted)
  leaves, structure = jax.tree.flatten(variables)

  def applied(layer):
    return lambda inputs, *leaves: layer.apply(
      jax.tree.unflatten(structure, leaves), inputs
    )

  assert_same(applied(ours), applied(flax), inputs, *leaves)
