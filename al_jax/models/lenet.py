"""LeNet, with dropout before its last layer."""

import flax.linen as nn
import jax

from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common, conv, pooling

# Two 5x5 convolutions and two 2x2 pools reduce this side to one pixel.
_SMALLEST = 16


class LeNet(nn.Module):
  """conv6-pool-conv16-pool-dense120-dense84-dropout-dense, with ReLU.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    dropout: share of the last hidden units that dropout drops.
  """

  outputs: common.Outputs
  dropout: float

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Maps normalised float32 [B, ...] to predictions."""
    hidden, extras = inputs, {}
    for block, channels in enumerate((6, 16), start=1):
      layer = conv.Conv(channels, (5, 5), padding='VALID', name=f'conv_{block}')
      # Pooling first gives the same result with a quarter of the activations.
      hidden = nn.relu(pooling.max_pool_2x2(layer(hidden)))
      extras[f'block_{block}'] = hidden
    hidden = hidden.reshape(len(hidden), -1)
    hidden = nn.relu(nn.Dense(120, name='dense_1')(hidden))
    hidden = nn.relu(nn.Dense(84, name='dense_2')(hidden))
    extras['dense_2'] = hidden
    embedding = common.dropout(hidden, self.dropout, how)
    predictions = common.heads(self.outputs, embedding)
    return ModelOutput(predictions, embedding, extras)


def lenet(facts: Facts, *, dropout: float = 0.5) -> nn.Module:
  """Builds the network of LeCun et al. (1998), with ReLU and dropout.

  Without dropout all dropout samples are equal, and BALD is 0 for every
  example.

  Args:
    facts: facts of the task; images of at least 16x16 pixels.
    dropout: share of the last hidden units that is dropped before the head.

  Returns:
    The module. Extras, before dropout: `block_1` and `block_2`, feature maps
    [B, height, width, channels], and `dense_2` [B, 84].
  """
  checks.check_image('lenet', facts, smallest=_SMALLEST)
  checks.check_rate('dropout', dropout)
  return LeNet(facts.task.outputs, dropout)
