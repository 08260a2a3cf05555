"""A small convolutional network that knows where in the picture things are."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common, conv

_INIT = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')


class Cnn(nn.Module):
  """Blocks of a 3x3 convolution and a 2x2 pooling, a dense layer and a head.

  Attributes:
    outputs: numbers per example, see `Task.outputs`.
    channels: of each block.
    width: units of the dense layer.
    dropout: the share of dense units that dropout drops.
    norm: `'none'`, `'batch'` or `'group'`.
  """

  outputs: common.Outputs
  channels: tuple[int, ...]
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
  width: int = 128,
  dropout: float = 0.0,
  norm: str = 'none',
) -> nn.Module:
  """A network for two cores: a convolution and a pooling for each halving.

  The dense layer sees every pixel that the poolings leave, not their mean, so
  that points and boxes can be predicted.

  Args:
    facts: of the task; images, whose sides the poolings can halve.
    channels: of each block.
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
  checks.check_widths('width', (width,))
  checks.check_rate('dropout', dropout)
  checks.check_norm(norm)
  if norm == 'group':
    for each in channels:
      checks.check_width(each)
  return Cnn(facts.task.outputs, tuple(channels), width, dropout, norm)
