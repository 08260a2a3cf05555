"""VGG-11 and VGG-16 for small images, with a single dense layer."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common, conv, pooling

# Five halvings reduce this side to one pixel.
_SMALLEST = 32

_WIDTHS = (64, 128, 256, 512, 512)
# Number of convolutions before each of the five poolings.
_VGG11 = (1, 1, 2, 2, 2)
_VGG16 = (2, 2, 3, 3, 3)

# He et al. (2015): without it, 16 layers do not learn if norm is 'none'.
_Conv = functools.partial(
  conv.Conv,
  kernel_init=nn.initializers.variance_scaling(2.0, 'fan_out', 'normal'),
)


class Vgg(nn.Module):
  """Five blocks of 3x3 convolutions, each ended by a pooling.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    depths: convolutions in each block.
    dropout: share of the embedding that dropout drops.
    norm: `'none'`, `'batch'` or `'group'`.
  """

  outputs: common.Outputs
  depths: tuple[int, ...]
  dropout: float
  norm: str

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Maps normalised float32 [B, ...] to predictions."""
    hidden = inputs
    extras = {}
    for block, depth in enumerate(self.depths):
      for layer in range(depth):
        hidden = _Conv(_WIDTHS[block], (3, 3), padding=1)(hidden)
        hidden = common.normalise(hidden, self.norm, how)
        if layer == depth - 1:
          # Pooling before ReLU gives the same result with fewer activations.
          hidden = pooling.max_pool_2x2(hidden)
        hidden = nn.relu(hidden)
      extras[f'block_{block + 1}'] = hidden
    embedding = jnp.mean(hidden, axis=(1, 2))
    embedding = common.dropout(embedding, self.dropout, how)
    predictions = common.heads(self.outputs, embedding)
    return ModelOutput(predictions, embedding, extras)


def _vgg(name, facts, depths, dropout, norm):
  checks.check_image(name, facts, smallest=_SMALLEST)
  checks.check_rate('dropout', dropout)
  checks.check_norm(norm)
  return Vgg(facts.task.outputs, depths, dropout, norm)


def vgg11(
  facts: Facts, *, dropout: float = 0.0, norm: str = 'batch'
) -> nn.Module:
  """Builds VGG-11 of Simonyan and Zisserman (2014) with one dense layer.

  Args:
    facts: facts of the task; images of at least 32x32 pixels. The final maps
      are averaged over their pixels.
    dropout: share of the 512 features that is dropped before the head.
    norm: normalisation after each convolution: `'none'`, `'batch'` or `'group'`
      (groups of 8 channels).

  Returns:
    The module. Extras: `block_1` to `block_5`, feature maps
    [B, height, width, channels].
  """
  return _vgg('vgg11', facts, _VGG11, dropout, norm)


def vgg16(
  facts: Facts, *, dropout: float = 0.0, norm: str = 'batch'
) -> nn.Module:
  """Builds VGG-16, with the arguments and extras of `vgg11`."""
  return _vgg('vgg16', facts, _VGG16, dropout, norm)
