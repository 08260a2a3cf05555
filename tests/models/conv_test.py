"""The convolutions of CPUs against XLA's and Flax's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import lax

from al_jax import xla
from al_jax.models import conv
from tests.models import pairs

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


@every_layer
def test_outputs_and_gradients_are_those_of_xla(rng, layer):
  *shapes, strides, padding = layer
  inputs, kernel = pairs.draw(rng, *shapes)

  def cpu(inputs, kernel):
    return conv.cpu_convolution(inputs, kernel, strides, padding)

  def native(inputs, kernel):
    return lax.conv_general_dilated(
      inputs, kernel, strides, padding, dimension_numbers=pairs.LAYOUT
    )

  pairs.assert_same(cpu, native, inputs, kernel)


@every_layer
def test_every_convolution_is_in_the_form_that_is_fast_in_loops(layer):
  *shapes, strides, padding = layer
  inputs, kernel = (jnp.zeros(shape) for shape in shapes)

  def cpu(inputs, kernel):
    return conv.cpu_convolution(inputs, kernel, strides, padding)

  forms = [
    params['dimension_numbers']
    for params in pairs.convolutions(cpu, inputs, kernel)
  ]
  fast = lax.conv_dimension_numbers(inputs.shape, kernel.shape, pairs.LAYOUT)
  assert forms == [fast] * 3


def test_a_loop_gives_the_same(rng):
  inputs, kernel = pairs.draw(rng, (2, 6, 6, 20), (3, 3, 20, 8))

  def cpu(inputs, kernel):
    return conv.cpu_convolution(inputs, kernel, (1, 1), 'SAME')

  wanted = pairs.with_gradients(cpu, inputs, kernel)
  result = pairs.with_gradients(cpu, inputs, kernel, loop=True)
  pairs.assert_close([leaf[1] for leaf in result], wanted)


def test_a_batch_of_kernels_gives_each_its_own(rng):
  inputs, kernels = pairs.draw(rng, (2, 5, 5, 6), (3, 2, 2, 6, 4))

  def total(inputs, kernel):
    outputs = conv.cpu_convolution(inputs, kernel, (1, 1), 'VALID')
    return jnp.sum(jnp.square(outputs))

  gradient = jax.grad(total, argnums=1)
  together = jax.vmap(gradient, (None, 0))(inputs, kernels)
  one_by_one = jnp.stack([gradient(inputs, kernel) for kernel in kernels])
  pairs.assert_close([together], [one_by_one])


def test_second_derivatives_exist(rng):
  inputs, kernel = pairs.draw(rng, (1, 4, 4, 5), (2, 2, 5, 3))

  def slope(convolution):
    def total(inputs):
      return jnp.sum(convolution(inputs, kernel) ** 3)

    return jax.grad(lambda inputs: jnp.sum(jax.grad(total)(inputs) ** 2))

  native = slope(
    lambda *args: lax.conv_general_dilated(
      *args, (1, 1), 'VALID', dimension_numbers=pairs.LAYOUT
    )
  )
  cpu = slope(lambda *args: conv.cpu_convolution(*args, (1, 1), 'VALID'))
  pairs.assert_close([cpu(inputs)], [native(inputs)])


def test_the_backend_chooses_the_convolution(monkeypatch):
  assert conv.for_backend() is conv.cpu_convolution
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert conv.for_backend() is lax.conv_general_dilated


def test_flax_takes_the_chosen_convolution():
  layer = conv.Conv(4, (3, 3), strides=2, padding=1)
  inputs = jnp.ones((1, 6, 6, 5))
  variables = layer.init(jax.random.key(0), inputs)
  native = nn.Conv(4, (3, 3), strides=2, padding=1)
  pairs.assert_close(
    [layer.apply(variables, inputs)], [native.apply(variables, inputs)]
  )
  used = xla.used_by(layer.apply, variables, inputs)
  assert 'custom_vjp_call' in used


# Size, kernel, stride, padding, dilation and groups of 6 channels.
OPTIONS = {
  f'{size}, kernel {window}, stride {stride}, {padding}, {name}': (
    size,
    window,
    stride,
    padding,
    options,
  )
  for name, options in {
    'dilation 2': {'kernel_dilation': 2},
    '2 groups': {'feature_group_count': 2},
    'depthwise': {'feature_group_count': 6},
  }.items()
  for size, window, stride, padding in (
    (8, 3, 1, 'SAME'),
    (9, 3, 2, 'SAME'),
    (8, 3, 2, 'VALID'),
    (9, 4, 1, 'VALID'),
    (8, 4, 2, 'SAME'),
    (11, 5, 2, 'VALID'),
    (10, 5, 1, 'SAME'),
    (9, 1, 2, 'SAME'),
    (8, 1, 1, 'VALID'),
  )
}


@pytest.mark.parametrize('case', OPTIONS.values(), ids=OPTIONS)
def test_dilation_and_groups_are_those_of_flax(rng, case):
  size, window, stride, padding, options = case
  given = (12, (window, window))
  options = {'strides': stride, 'padding': padding, **options}
  pairs.assert_same_layers(
    rng,
    (2, size, size + 1, 6),
    ours=conv.Conv(*given, **options),
    flax=nn.Conv(*given, **options),
  )


@pytest.mark.parametrize(
  'options',
  [
    {'kernel_dilation': (1, 2), 'feature_group_count': 3},
    {'kernel_dilation': (2, 3), 'strides': (2, 1), 'feature_group_count': 6},
    {'kernel_dilation': 2, 'strides': 2, 'padding': ((3, 0), (1, 2))},
    {'strides': 3, 'padding': 2, 'feature_group_count': 6},
  ],
  ids=str,
)
def test_options_together_are_those_of_flax(rng, options):
  pairs.assert_same_layers(
    rng,
    (2, 9, 8, 6),
    ours=conv.Conv(6, (3, 2), **options),
    flax=nn.Conv(6, (3, 2), **options),
  )


@pytest.mark.parametrize('groups', [2, 6])
def test_a_loop_gives_the_same_with_groups(rng, groups):
  inputs, kernel = pairs.draw(rng, (2, 6, 6, 6), (3, 3, 6 // groups, 6))

  def cpu(inputs, kernel):
    return conv.cpu_convolution(
      inputs, kernel, (1, 1), 'SAME', feature_group_count=groups
    )

  wanted = pairs.with_gradients(cpu, inputs, kernel)
  result = pairs.with_gradients(cpu, inputs, kernel, loop=True)
  pairs.assert_close([leaf[1] for leaf in result], wanted)


def test_no_convolution_is_left_with_groups_of_channels():
  inputs = jnp.ones((1, 6, 6, 6))
  for groups, count in ((2, 3), (6, 0)):
    forms = pairs.convolutions(
      lambda inputs, kernel, groups=groups: conv.cpu_convolution(
        inputs, kernel, (1, 1), 'SAME', feature_group_count=groups
      ),
      inputs,
      jnp.ones((3, 3, 6 // groups, 6)),
    )
    assert len(forms) == count
    assert all(form['feature_group_count'] == 1 for form in forms)
    assert all(form['batch_group_count'] == 1 for form in forms)


def test_zeros_between_pixels_are_refused():
  inputs, kernel = jnp.ones((1, 6, 6, 4)), jnp.ones((3, 3, 4, 4))
  with pytest.raises(ValueError, match='lhs_dilation'):
    conv.cpu_convolution(inputs, kernel, (1, 1), 'SAME', lhs_dilation=(2, 2))


def test_groups_that_do_not_divide_the_channels_are_refused():
  inputs, kernel = jnp.ones((1, 6, 6, 4)), jnp.ones((3, 3, 4, 4))
  with pytest.raises(ValueError, match='cannot be split into 2 groups'):
    conv.cpu_convolution(inputs, kernel, (1, 1), 'SAME', feature_group_count=2)
