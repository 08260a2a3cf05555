"""The small convolutional network of the MC-dropout papers on MNIST."""

import flax.linen as nn
import jax

from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common, conv, pooling

# Two unpadded 4x4 convolutions and a 2x2 pool reduce this side to one pixel.
_SMALLEST = 8


class MnistCnn(nn.Module):
  """conv32-ReLU-conv32-ReLU-pool-dropout-dense128-ReLU-dropout-dense.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    conv_dropout: share of pooled features that dropout drops.
    dense_dropout: share of dense units that dropout drops.
  """

  outputs: common.Outputs
  conv_dropout: float
  dense_dropout: float

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Maps normalised float32 [B, ...] to predictions."""
    conv_1 = nn.relu(
      conv.Conv(32, (4, 4), padding='VALID', name='conv_1')(inputs)
    )
    conv_2 = conv.Conv(32, (4, 4), padding='VALID', name='conv_2')(conv_1)
    # Pooling first gives the same result with a quarter of the activations.
    pooled = nn.relu(pooling.max_pool_2x2(conv_2))
    hidden = common.dropout(pooled, self.conv_dropout, how)
    hidden = hidden.reshape(hidden.shape[0], -1)
    hidden = nn.relu(nn.Dense(128, name='dense')(hidden))
    embedding = common.dropout(hidden, self.dense_dropout, how)
    predictions = common.heads(self.outputs, embedding)
    extras = {'conv_1': conv_1, 'pooled': pooled, 'dense': hidden}
    return ModelOutput(predictions, embedding, extras)


def mnist_cnn(
  facts: Facts, *, conv_dropout: float = 0.25, dense_dropout: float = 0.5
) -> nn.Module:
  """Builds the network of Gal et al. 2017, "Deep Bayesian Active Learning".

  Args:
    facts: facts of the task; images of at least 8x8 pixels.
    conv_dropout: share of units dropped after pooling.
    dense_dropout: share of units dropped after the dense layer.

  Returns:
    The module. Extras, before dropout: `conv_1` and `pooled`, feature maps
    [B, height, width, 32], and `dense` [B, 128].
  """
  checks.check_image('mnist_cnn', facts, smallest=_SMALLEST)
  checks.check_rate('conv_dropout', conv_dropout)
  checks.check_rate('dense_dropout', dense_dropout)
  return MnistCnn(facts.task.outputs, conv_dropout, dense_dropout)
