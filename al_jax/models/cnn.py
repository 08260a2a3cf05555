"""A small convolutional network that keeps the positions of features.

Finn et al. 2016, "Deep Spatial Autoencoders for Visuomotor Learning", section
4: the softmax over a channel's pixels locates its response.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common, conv

SUMMARIES = ('pixels', 'positions')

_INIT = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')


class Cnn(nn.Module):
  """Strided 3x3 convolutions, a dense layer and a head.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    channels: channels of each block.
    summary: summary of the last block that the dense layer reads, one of
      SUMMARIES.
    width: units of the dense layer.
    dropout: share of dense units that dropout drops.
    norm: `'none'`, `'batch'` or `'group'`.
  """

  outputs: common.Outputs
  channels: tuple[int, ...]
  summary: str
  width: int
  dropout: float
  norm: str

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Maps normalised float32 [B, ...] to predictions."""
    hidden, extras = inputs, {}
    for block, channels in enumerate(self.channels, start=1):
      layer = conv.Conv(
        channels,
        (3, 3),
        (2, 2),
        padding=1,
        kernel_init=_INIT,
        name=f'conv_{block}',
      )
      hidden = nn.relu(common.normalise(layer(hidden), self.norm, how))
      extras[f'block_{block}'] = hidden
    if self.summary == 'positions':
      hidden = _positions(hidden)
    hidden = hidden.reshape(len(hidden), -1)
    hidden = nn.relu(nn.Dense(self.width, name='dense')(hidden))
    extras['dense'] = hidden
    embedding = common.dropout(hidden, self.dropout, how)
    predictions = common.heads(self.outputs, embedding)
    return ModelOutput(predictions, embedding, extras)


def cnn(
  facts: Facts,
  *,
  channels: Sequence[int] = (16, 32, 64),
  summary: str = 'pixels',
  width: int = 128,
  dropout: float = 0.0,
  norm: str = 'none',
) -> nn.Module:
  """Builds a network small enough for two CPU cores.

  Each block halves the image. A dense layer reads where the last block
  responds, not only its mean over the image, so that the network can predict
  points and boxes.

  Args:
    facts: facts of the task; images whose sides the blocks can halve.
    channels: channels of each block.
    summary: input of the dense layer: `'pixels'`, the whole output of the last
      block; or `'positions'`, for each channel the position of its response (a
      mean over pixels weighted by their softmax), its mean and its maximum.
      `'positions'` needs fewer labels if objects may be anywhere.
    width: units of the dense layer, whose output is the embedding.
    dropout: share of these units that is dropped before the head.
    norm: normalisation after each convolution: `'none'`, `'batch'` or `'group'`
      (groups of 8 channels).

  Returns:
    The module. Extras, before dropout: `block_1`, `block_2`, ..., feature maps
    [B, height, width, channels], and `dense` [B, width].
  """
  checks.check_widths('channels', channels)
  checks.check_image('cnn', facts, smallest=2 ** len(channels))
  errors.check_name('summary', summary, SUMMARIES)
  checks.check_widths('width', (width,))
  checks.check_rate('dropout', dropout)
  checks.check_norm(norm)
  if norm == 'group':
    for each in channels:
      checks.check_width(each)
  return Cnn(facts.task.outputs, tuple(channels), summary, width, dropout, norm)


def _positions(maps):
  """Maps [B, height, width, K] to [B, 4 K]: down, right, mean and maximum."""
  height, width = maps.shape[1:3]
  weights = jax.nn.softmax(maps, axis=(1, 2))
  down = jnp.einsum('bhwk,h->bk', weights, jnp.linspace(-1, 1, height))
  right = jnp.einsum('bhwk,w->bk', weights, jnp.linspace(-1, 1, width))
  found = down, right, jnp.mean(maps, (1, 2)), jnp.max(maps, (1, 2))
  return jnp.concatenate(found, axis=-1)
