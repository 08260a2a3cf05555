"""A small convolutional network that knows where in the picture things are.

Finn et al. 2016, "Deep Spatial Autoencoders for Visuomotor Learning", section
4: the softmax over the pixels of a channel says where it responds.
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
    outputs: numbers per example, see `Task.outputs`.
    channels: of each block.
    summary: what the dense layer sees of the last block, one of SUMMARIES.
    width: units of the dense layer.
    dropout: the share of dense units that dropout drops.
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
    """Normalised float32 [B, ...] to predictions."""
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
  """A network for two cores, each of whose blocks halves the picture.

  A dense layer sees where the last block responds, and not only its mean over
  the picture, so that points and boxes can be predicted.

  Args:
    facts: of the task; images, whose sides the blocks can halve.
    channels: of each block.
    summary: what the dense layer sees: `'pixels'`, all that the last block
      leaves; or `'positions'`, the position of each channel's response (a mean
      over pixels weighted by their softmax), its mean and its maximum, which
      need fewer labels where a thing may be anywhere.
    width: units of the dense layer, which are the embedding.
    dropout: the share of these that is dropped before the head.
    norm: after each convolution: `'none'`, `'batch'` or `'group'` (groups of 8
      channels).

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
  """[B, height, width, K] to [B, 4 K]: down, right, mean and maximum."""
  height, width = maps.shape[1:3]
  weights = jax.nn.softmax(maps, axis=(1, 2))
  down = jnp.einsum('bhwk,h->bk', weights, jnp.linspace(-1, 1, height))
  right = jnp.einsum('bhwk,w->bk', weights, jnp.linspace(-1, 1, width))
  found = down, right, jnp.mean(maps, (1, 2)), jnp.max(maps, (1, 2))
  return jnp.concatenate(found, axis=-1)
