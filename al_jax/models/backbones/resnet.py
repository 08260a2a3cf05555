"""Published ImageNet ResNets, and their version 2 of 2016."""

import flax.linen as nn
import jax

from al_jax.models import common
from al_jax.models.backbones import layers
from al_jax.models.backbones.table import Architecture, Trunk

# Blocks of each stage, and whether a block has a bottleneck.
_DEPTHS = {
  18: ((2, 2, 2, 2), False),
  34: ((3, 4, 6, 3), False),
  50: ((3, 4, 6, 3), True),
  101: ((3, 4, 23, 3), True),
  152: ((3, 8, 36, 3), True),
}
_WIDTH = 64
# Output channels of a bottleneck per inner channel.
_EXPANSION = 4


class ResNet(nn.Module):
  """A stem and four stages of residual blocks.

  Attributes:
    depths: blocks of each stage.
    bottleneck: whether blocks are 1x1, 3x3, 1x1 convolutions, or two of 3x3.
  """

  depths: tuple[int, ...]
  bottleneck: bool

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to features."""
    hidden = layers.convolved(images, _WIDTH, 7, 'conv1', stride=2)
    hidden = nn.relu(layers.normed(hidden, 'bn1', how))
    hidden = layers.max_pool(hidden, padding=1)
    extras = {}
    for stage, depth in enumerate(self.depths, start=1):
      for block in range(depth):
        name = f'layer{stage}.{block}'
        stride = 2 if stage > 1 and block == 0 else 1
        hidden = self._block(hidden, name, stage, stride, how)
      extras[f'stage_{stage}'] = hidden
    return layers.pooled(hidden), extras

  def _block(self, inputs, name, stage, stride, how):
    """Applies convolutions with normalisation, beside a shortcut."""
    hidden = inputs
    parts = _convolutions(self.bottleneck, stage, stride)
    for part, (channels, size, step) in enumerate(parts, start=1):
      if part > 1:
        hidden = nn.relu(hidden)
      hidden = layers.convolved(
        hidden, channels, size, f'{name}.conv{part}', stride=step
      )
      hidden = layers.normed(hidden, f'{name}.bn{part}', how)
    if hidden.shape != inputs.shape:
      inputs = layers.convolved(
        inputs, hidden.shape[-1], 1, f'{name}.downsample.0', stride=stride
      )
      inputs = layers.normed(inputs, f'{name}.downsample.1', how)
    return nn.relu(hidden + inputs)


class ResNetV2(nn.Module):
  """A ResNet with normalisation before each convolution.

  He et al. 2016, "Identity Mappings in Deep Residual Networks". The attributes
  are those of ResNet.
  """

  depths: tuple[int, ...]
  bottleneck: bool

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to features."""
    hidden = layers.convolved(images, _WIDTH, 7, 'stem.conv', stride=2)
    hidden = layers.max_pool(hidden, padding=1)
    extras = {}
    for stage, depth in enumerate(self.depths, start=1):
      for block in range(depth):
        name = f'stages.{stage - 1}.blocks.{block}'
        stride = 2 if stage > 1 and block == 0 else 1
        hidden = self._block(hidden, name, stage, stride, how)
      extras[f'stage_{stage}'] = hidden
    hidden = nn.relu(layers.normed(hidden, 'norm', how))
    return layers.pooled(hidden), extras

  def _block(self, inputs, name, stage, stride, how):
    """Applies normalisation and convolutions, beside a shortcut."""
    hidden = inputs
    parts = _convolutions(self.bottleneck, stage, stride)
    for part, (channels, size, step) in enumerate(parts, start=1):
      hidden = nn.relu(layers.normed(hidden, f'{name}.norm{part}', how))
      if part == 1 and (inputs.shape[-1] != parts[-1][0] or stride > 1):
        inputs = layers.convolved(
          hidden, parts[-1][0], 1, f'{name}.downsample.conv', stride=stride
        )
      hidden = layers.convolved(
        hidden, channels, size, f'{name}.conv{part}', stride=step
      )
    return hidden + inputs


def _convolutions(bottleneck, stage, stride):
  """Returns channels, size and stride of each convolution of a block."""
  width = _WIDTH * 2 ** (stage - 1)
  if not bottleneck:
    return (width, 3, stride), (width, 3, 1)
  return (width, 1, 1), (width, 3, stride), (width * _EXPANSION, 1, 1)


ARCHITECTURES = {
  **{
    f'resnet{depth}': Architecture(lambda _, of=of: ResNet(*of), head='fc')
    for depth, of in _DEPTHS.items()
  },
  **{
    f'resnetv2_{depth}': Architecture(
      lambda _, of=of: ResNetV2(*of), head='head.fc'
    )
    for depth, of in _DEPTHS.items()
  },
}
