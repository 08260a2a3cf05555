"""The convolution and pooling of CPUs against XLA's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core

from al_jax import xla
from al_jax.models import conv

LAYOUT = ('NHWC', 'HWIO', 'NHWC')
# Inputs, kernel, strides, padding: of every model, and around them.
LAYERS = {
  'mnist_cnn 1': ((2, 12, 12, 1), (4, 4, 1, 8), (1, 1), 'VALID'),
  'mnist_cnn 2': ((2, 9, 9, 8), (4, 4, 8, 8), (1, 1), 'VALID'),
  'stem': ((2, 8, 8, 3), (3, 3, 3, 8), (1, 1), ((1, 1), (1, 1))),
  'same': ((2, 8, 8, 20), (3, 3, 20, 24), (1, 1), ((1, 1), (1, 1))),
  'stride': ((2, 8, 8, 20), (3, 3, 20, 24), (2, 2), ((1, 1), (1, 1))),
  'odd stride': ((2, 7, 7, 20), (3, 3, 20, 24), (2, 2), 'SAME'),
  'shortcut': ((2, 8, 8, 20), (1, 1, 20, 24), (2, 2), ((0, 0), (0, 0))),
  'two pixels': ((2, 2, 2, 20), (3, 3, 20, 24), (1, 1), ((1, 1), (1, 1))),
  'last stride': ((2, 2, 2, 20), (3, 3, 20, 24), (2, 2), ((1, 1), (1, 1))),
  'one pixel': ((2, 1, 1, 20), (3, 3, 20, 24), (1, 1), ((1, 1), (1, 1))),
  'oblong': ((2, 9, 6, 20), (2, 3, 20, 5), (3, 2), ((2, 0), (0, 3))),
  'wide padding': ((2, 5, 5, 6), (2, 2, 6, 5), (1, 1), ((3, 2), (2, 4))),
  'left over': ((2, 10, 10, 6), (3, 3, 6, 5), (4, 4), 'VALID'),
}
every_layer = pytest.mark.parametrize('layer', LAYERS.values(), ids=LAYERS)


def with_gradients(convolution, inputs, kernel, *, loop=False):
  """Outputs, and what both arguments get for a cotangent that varies."""

  def value_and_pullback():
    outputs, pullback = jax.vjp(convolution, inputs, kernel)
    return outputs, *pullback(
      jnp.cos(jnp.arange(outputs.size, dtype=float)).reshape(outputs.shape)
    )

  if not loop:
    return value_and_pullback()
  return lax.map(lambda _: value_and_pullback(), jnp.arange(2))


def primitives_of(jaxpr):
  """All equations, also those of nested programs."""
  for equation in jaxpr.eqns:
    yield equation
    for inner in core.jaxprs_in_params(equation.params):
      yield from primitives_of(inner)


def draw(rng, *shapes):
  return [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]


def assert_close(result, wanted):
  for got, want in zip(result, wanted, strict=True):
    scale = np.abs(want).max()
    np.testing.assert_allclose(got, want, atol=1e-5 * scale, rtol=0)


@every_layer
def test_outputs_and_gradients_are_those_of_xla(rng, layer):
  *shapes, strides, padding = layer
  inputs, kernel = draw(rng, *shapes)

  def cpu(inputs, kernel):
    return conv.cpu_convolution(inputs, kernel, strides, padding)

  def native(inputs, kernel):
    return lax.conv_general_dilated(
      inputs, kernel, strides, padding, dimension_numbers=LAYOUT
    )

  wanted = jax.jit(lambda *args: with_gradients(native, *args))(inputs, kernel)
  result = jax.jit(lambda *args: with_gradients(cpu, *args))(inputs, kernel)
  assert_close(result, wanted)


@every_layer
def test_every_convolution_is_in_the_form_that_is_fast_in_loops(layer):
  *shapes, strides, padding = layer
  inputs, kernel = (jnp.zeros(shape) for shape in shapes)

  def cpu(inputs, kernel):
    return conv.cpu_convolution(inputs, kernel, strides, padding)

  jaxpr = jax.make_jaxpr(lambda *args: with_gradients(cpu, *args))(
    inputs, kernel
  )
  forms = [
    equation.params['dimension_numbers']
    for equation in primitives_of(jaxpr.jaxpr)
    if equation.primitive.name == 'conv_general_dilated'
  ]
  fast = lax.conv_dimension_numbers(inputs.shape, kernel.shape, LAYOUT)
  assert forms == [fast] * 3


def test_a_loop_gives_the_same(rng):
  inputs, kernel = draw(rng, (2, 6, 6, 20), (3, 3, 20, 8))

  def cpu(inputs, kernel):
    return conv.cpu_convolution(inputs, kernel, (1, 1), 'SAME')

  wanted = with_gradients(cpu, inputs, kernel)
  result = with_gradients(cpu, inputs, kernel, loop=True)
  assert_close([leaf[1] for leaf in result], wanted)


def test_a_batch_of_kernels_gives_each_its_own(rng):
  inputs, kernels = draw(rng, (2, 5, 5, 6), (3, 2, 2, 6, 4))

  def total(inputs, kernel):
    outputs = conv.cpu_convolution(inputs, kernel, (1, 1), 'VALID')
    return jnp.sum(jnp.square(outputs))

  gradient = jax.grad(total, argnums=1)
  together = jax.vmap(gradient, (None, 0))(inputs, kernels)
  one_by_one = jnp.stack([gradient(inputs, kernel) for kernel in kernels])
  assert_close([together], [one_by_one])


def test_second_derivatives_exist(rng):
  inputs, kernel = draw(rng, (1, 4, 4, 5), (2, 2, 5, 3))

  def slope(convolution):
    def total(inputs):
      return jnp.sum(convolution(inputs, kernel) ** 3)

    return jax.grad(lambda inputs: jnp.sum(jax.grad(total)(inputs) ** 2))

  native = slope(
    lambda *args: lax.conv_general_dilated(
      *args, (1, 1), 'VALID', dimension_numbers=LAYOUT
    )
  )
  cpu = slope(lambda *args: conv.cpu_convolution(*args, (1, 1), 'VALID'))
  assert_close([cpu(inputs)], [native(inputs)])


def test_the_backend_chooses_the_convolution(monkeypatch):
  assert conv.for_backend() is conv.cpu_convolution
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert conv.for_backend() is lax.conv_general_dilated


def test_flax_takes_the_chosen_convolution():
  layer = conv.Conv(4, (3, 3), strides=2, padding=1)
  inputs = jnp.ones((1, 6, 6, 5))
  variables = layer.init(jax.random.key(0), inputs)
  native = nn.Conv(4, (3, 3), strides=2, padding=1)
  assert_close(
    [layer.apply(variables, inputs)], [native.apply(variables, inputs)]
  )
  used = xla.used_by(layer.apply, variables, inputs)
  assert 'custom_vjp_call' in used


@pytest.mark.parametrize(
  'option',
  [
    {'lhs_dilation': (2, 2)},
    {'rhs_dilation': (2, 1)},
    {'feature_group_count': 2},
  ],
  ids=str,
)
def test_what_it_does_not_do_is_refused(option):
  inputs, kernel = jnp.ones((1, 6, 6, 4)), jnp.ones((3, 3, 4, 4))
  with pytest.raises(ValueError, match=next(iter(option))):
    conv.cpu_convolution(inputs, kernel, (1, 1), 'SAME', **option)


@pytest.mark.parametrize('size', [(6, 6), (7, 5)], ids=str)
def test_pooling_is_that_of_flax(rng, size):
  (images,) = draw(rng, (2, *size, 3))

  def theirs(images):
    return nn.max_pool(images, (2, 2), (2, 2))

  assert_close([conv.max_pool_2x2(images)], [theirs(images)])
  gradients = [
    jax.grad(lambda images, pool=pool: jnp.sum(jnp.sin(pool(images))))(images)
    for pool in (conv.max_pool_2x2, theirs)
  ]
  assert_close(gradients[:1], gradients[1:])


def test_pixels_that_tie_share_the_gradient():
  gradient = jax.grad(lambda images: jnp.sum(conv.max_pool_2x2(images)))
  np.testing.assert_array_equal(
    gradient(jnp.zeros((1, 2, 2, 1))), jnp.full((1, 2, 2, 1), 0.25)
  )
