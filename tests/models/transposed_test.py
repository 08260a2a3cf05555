"""Transposed convolutions of CPUs against Flax's own."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from al_jax.models import transposed
from tests.models import pairs

CASES = {
  f'{size}, kernel {window}, stride {stride}, {padding}': (
    (size, size + 1),
    (window, window),
    (stride, stride),
    padding,
  )
  for size in (4, 5)
  for window in (1, 3, 4, 5)
  for stride in (1, 2)
  for padding in ('SAME', 'VALID')
} | {
  'stride 3': ((4, 3), (2, 5), (3, 2), 'SAME'),
  'given padding': ((4, 5), (3, 4), (2, 2), ((2, 0), (1, 3))),
  'cut away': ((6, 6), (3, 3), (2, 2), ((-1, 0), (0, -2))),
}


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_outputs_and_gradients_are_those_of_flax(rng, case):
  size, window, strides, padding = case
  pairs.assert_same_layers(
    rng,
    (2, *size, 5),
    ours=transposed.ConvTranspose(3, window, strides, padding),
    flax=nn.ConvTranspose(3, window, strides, padding),
  )


@pytest.mark.parametrize(
  'options',
  [
    {'kernel_dilation': (2, 2)},
    {'kernel_dilation': 2, 'strides': (2, 2), 'padding': 'VALID'},
    {'transpose_kernel': True, 'strides': (2, 2)},
    {'use_bias': False},
    {'padding': 1, 'strides': (2, 2)},
  ],
  ids=str,
)
def test_options_are_those_of_flax(rng, options):
  pairs.assert_same_layers(
    rng,
    (2, 5, 6, 5),
    ours=transposed.ConvTranspose(3, (3, 4), **options),
    flax=nn.ConvTranspose(3, (3, 4), **options),
  )


def test_one_stride_may_stand_for_both():
  inputs = jnp.ones((1, 3, 3, 2))
  layer = transposed.ConvTranspose(4, (3, 3), strides=2)
  outputs, variables = layer.init_with_output(jax.random.key(0), inputs)
  assert outputs.shape == (1, 6, 6, 4)
  shapes = jax.tree.map(jnp.shape, variables['params'])
  assert shapes == {'kernel': (3, 3, 2, 4), 'bias': (4,)}


def test_a_loop_gives_the_same(rng):
  inputs, kernel = pairs.draw(rng, (2, 4, 4, 6), (3, 3, 6, 4))
  cpu = functools.partial(
    transposed.cpu_transposed_convolution, strides=(2, 2), padding='SAME'
  )
  wanted = jax.jit(lambda *args: pairs.with_gradients(cpu, *args))(
    inputs, kernel
  )
  result = pairs.with_gradients(cpu, inputs, kernel, loop=True)
  pairs.assert_close([leaf[1] for leaf in result], wanted)


def test_no_zeros_between_the_pixels_are_multiplied():
  inputs, kernel = jnp.zeros((2, 4, 4, 6)), jnp.zeros((3, 3, 6, 4))
  cpu = functools.partial(
    transposed.cpu_transposed_convolution, strides=(2, 2), padding='SAME'
  )
  forms = pairs.convolutions(cpu, inputs, kernel)
  assert len(forms) == 3
  # Stretching the width by (1, 2) is how `conv` chooses XLA's faster kernels.
  assert all(form['lhs_dilation'][0] == 1 for form in forms)
  fast = lax.conv_dimension_numbers(inputs.shape, kernel.shape, pairs.LAYOUT)
  assert all(form['dimension_numbers'] == fast for form in forms)


def test_the_backend_chooses_the_convolution(monkeypatch):
  assert transposed.for_backend() is transposed.cpu_transposed_convolution
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert transposed.for_backend() is lax.conv_transpose


def test_another_name_of_padding_is_refused():
  layer = transposed.ConvTranspose(2, (3, 3), padding='CIRCULAR')
  with pytest.raises(ValueError, match="padding is 'CIRCULAR'; it must be"):
    layer.init(jax.random.key(0), np.ones((1, 4, 4, 2), np.float32))
