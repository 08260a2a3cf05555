"""The 13-layer network of Mean Teacher and label propagation, for 32x32."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common, conv, pooling

_SMALLEST = 8
# The network is designed for images of this side; smaller ones are padded.
_SIDE = 32
_SLOPE = 0.1


class WeightNorm(nn.Module):
  """A convolution or a dense layer with weight normalisation.

    weights = gain * direction / |direction|, for each output.

  Salimans and Kingma 2016, "Weight Normalization". The initial values are those
  of PyTorch: direction and bias uniform in +-1 / sqrt(fan-in), and a gain that
  makes the weights equal the direction. `nn.WeightNorm` keeps the gain outside
  the layer and initialises it without the direction.

  Attributes:
    features: number of outputs.
    window: (height, width) of a convolution; `()` is a dense layer.
    padding: padding of a convolution, `'SAME'` or `'VALID'`.
  """

  features: int
  window: tuple[int, ...] = ()
  padding: str = 'SAME'

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    """Maps [B, ..., channels] to [B, ..., features]."""
    fan_in = math.prod(self.window) * inputs.shape[-1]
    draw = _uniform(fan_in**-0.5)
    shape = (*self.window, inputs.shape[-1], self.features)
    direction = self.param('direction', draw, shape)
    axes = tuple(range(len(shape) - 1))
    lengths = jnp.sqrt(jnp.sum(jnp.square(direction), axis=axes))
    gain = self.param('gain', lambda _: lengths)
    bias = self.param('bias', draw, (self.features,))
    gain = gain.reshape((1,) * len(axes) + (-1,))
    kernel = gain * common.unit(direction, axes)
    if self.window:
      outputs = _convolve(inputs, kernel, self.padding)
    else:
      outputs = inputs @ kernel
    return outputs + bias.reshape((1,) * (outputs.ndim - 1) + (-1,))


class Cnn13(nn.Module):
  """Nine convolutions, two poolings, a mean over pixels, and a dense head.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    width: channels of the first block.
    dropout: share of pooled features that dropout drops.
    norm: `'batch'` or `'group'`.
  """

  outputs: common.Outputs
  width: int
  dropout: float
  norm: str

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Maps normalised float32 [B, ...] to predictions."""

    def normed(hidden, channels, window=3, padding='SAME'):
      layer = WeightNorm(channels, (window, window), padding)
      return common.normalise(layer(hidden), self.norm, how)

    hidden = _as_rgb_of_32(inputs)
    extras = {}
    for block, channels in enumerate((self.width, 2 * self.width), start=1):
      for _ in range(2):
        hidden = _activate(normed(hidden, channels))
      # Pooling first gives the same result with a quarter of the activations.
      hidden = _activate(pooling.max_pool_2x2(normed(hidden, channels)))
      extras[f'block_{block}'] = hidden
      hidden = common.dropout(hidden, self.dropout, how)
    hidden = _activate(normed(hidden, 4 * self.width, padding='VALID'))
    extras['block_3'] = hidden
    hidden = _activate(normed(hidden, 2 * self.width, window=1))
    features = _activate(normed(hidden, self.width, window=1))
    embedding = common.unit(jnp.mean(features, axis=(1, 2)), axes=(1,))
    predictions = common.heads(self.outputs, embedding, WeightNorm)
    extras['features'] = features
    return ModelOutput(predictions, embedding, extras)


def _as_rgb_of_32(images):
  """Repeats grey as RGB, and pads to 32x32 with the outermost pixels."""
  if images.shape[-1] == 1:
    images = jnp.repeat(images, 3, axis=-1)
  rows, columns = (
    (missing // 2, missing - missing // 2)
    for missing in (max(0, _SIDE - side) for side in images.shape[1:3])
  )
  return jnp.pad(images, ((0, 0), rows, columns, (0, 0)), mode='edge')


def _activate(hidden):
  return nn.leaky_relu(hidden, _SLOPE)


def _uniform(bound):
  """Returns an initializer, uniform in [-bound, bound)."""
  return lambda key, shape: jax.random.uniform(
    key, shape, minval=-bound, maxval=bound
  )


def _convolve(inputs, kernel, padding):
  layout = lax.conv_dimension_numbers(
    inputs.shape, kernel.shape, ('NHWC', 'HWIO', 'NHWC')
  )
  return conv.for_backend()(
    inputs, kernel, (1, 1), padding, dimension_numbers=layout
  )


def cnn13(
  facts: Facts, *, width: int = 128, dropout: float = 0.5, norm: str = 'batch'
) -> nn.Module:
  """Builds the 13-layer network of Tarvainen and Valpola 2017, "Mean Teachers".

  As in label propagation (Iscen et al. 2019; Simeoni et al. 2020), it has one
  head whose input has length 1, and no noise on the inputs.

  Args:
    facts: facts of the task; images of at least 8x8 pixels. Sides below 32 are
      padded to 32 by repeating the outermost pixels, and grey pixels are
      repeated as red, green and blue. The final maps are averaged over all
      their pixels.
    width: channels of the first block and features of the embedding; the second
      block has twice as many, and the convolutions of the third have four
      times, twice and once as many. 128 as published; a multiple of 8.
    dropout: share of units dropped after each of the two poolings.
    norm: normalisation after each convolution: `'batch'` as published, or
      `'group'` (groups of 8 channels), which has no statistics.

  Returns:
    The module. Extras are feature maps [B, height, width, channels]: `block_1`
    and `block_2` after the poolings, `block_3` after the 3x3 convolution that
    follows; and `features`, whose mean over pixels, scaled to length 1, is the
    embedding.
  """
  checks.check_image('cnn13', facts, smallest=_SMALLEST)
  checks.check_rate('dropout', dropout)
  checks.check_norm(norm, ('batch', 'group'))
  checks.check_width(width)
  return Cnn13(facts.task.outputs, width, dropout, norm)
