"""ResNet-18 for small images: a 3x3 stem and no pooling before the end."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common, conv

# Three halvings reduce this side to one pixel.
_SMALLEST = 8

# He et al. (2015): keeps the scale of activations through ReLU layers.
_Conv = functools.partial(
  conv.Conv,
  use_bias=False,
  kernel_init=nn.initializers.variance_scaling(2.0, 'fan_out', 'normal'),
)


class _Block(nn.Module):
  """Two 3x3 convolutions beside a shortcut."""

  width: int
  stride: int
  norm: str

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> jax.Array:
    stride = (self.stride, self.stride)
    hidden = _Conv(self.width, (3, 3), stride, padding=1)(inputs)
    hidden = nn.relu(common.normalise(hidden, self.norm, how))
    hidden = _Conv(self.width, (3, 3), padding=1)(hidden)
    hidden = common.normalise(hidden, self.norm, how)
    if hidden.shape != inputs.shape:
      inputs = _Conv(self.width, (1, 1), stride, padding=0)(inputs)
      inputs = common.normalise(inputs, self.norm, how)
    return nn.relu(hidden + inputs)


class ResNet18(nn.Module):
  """Four stages of two blocks, each stage twice as wide as the one before.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    width: channels of the first stage.
    norm: `'batch'` or `'group'`.
    dropout: share of the embedding that dropout drops.
  """

  outputs: common.Outputs
  width: int
  norm: str
  dropout: float

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Maps normalised float32 [B, ...] to predictions."""
    hidden = _Conv(self.width, (3, 3), padding=1)(inputs)
    hidden = nn.relu(common.normalise(hidden, self.norm, how))
    extras = {}
    for stage in range(4):
      width = self.width * 2**stage
      hidden = _Block(width, 1 if stage == 0 else 2, self.norm)(hidden, how)
      hidden = _Block(width, 1, self.norm)(hidden, how)
      extras[f'stage_{stage + 1}'] = hidden
    embedding = common.dropout(jnp.mean(hidden, axis=(1, 2)), self.dropout, how)
    predictions = common.heads(self.outputs, embedding)
    return ModelOutput(predictions, embedding, extras)


def resnet18(
  facts: Facts, *, width: int = 64, norm: str = 'batch', dropout: float = 0.0
) -> nn.Module:
  """Builds ResNet-18 of He et al. 2015, "Deep Residual Learning", for 32x32.

  Args:
    facts: facts of the task; images of at least 8x8 pixels.
    width: channels of the first stage: 64, or 16 for the thin network of
      BADGE's code, whose embedding has 128 features.
    norm: normalisation: `'batch'` as published, or `'group'` (groups of 8
      channels), which has no statistics.
    dropout: share of the embedding that is dropped before the head.

  Returns:
    The module. Extras: `stage_1` to `stage_4`, feature maps
    [B, height, width, channels].
  """
  checks.check_image('resnet18', facts, smallest=_SMALLEST)
  checks.check_norm(norm, ('batch', 'group'))
  checks.check_width(width)
  checks.check_rate('dropout', dropout)
  return ResNet18(facts.task.outputs, width, norm, dropout)
