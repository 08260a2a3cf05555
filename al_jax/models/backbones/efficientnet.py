"""EfficientNet-Lite0."""

import functools

import flax.linen as nn
import jax

from al_jax.models import common
from al_jax.models.backbones import layers
from al_jax.models.backbones.table import HALF, Architecture, Trunk

# For each stage: blocks, size of the depthwise kernels, stride of the first
# block, expansion of its channels, and channels of the result.
_STAGES = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)
_STEM, _LAST = 32, 1280


class EfficientNetLite0(nn.Module):
  """EfficientNet of Tan and Le 2019, without squeeze-and-excitation.

  Attributes:
    padding: `'SAME'`, as in TensorFlow. If None, equal padding on both sides.
    epsilon: constant added to the variances.
  """

  padding: str | None
  epsilon: float

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to features."""
    hidden = layers.convolved(
      images, _STEM, 3, 'conv_stem', stride=2, padding=self.padding
    )
    hidden = nn.relu6(self._normed(hidden, 'bn1', how))
    extras = {}
    for stage, (depth, size, stride, expansion, channels) in enumerate(_STAGES):
      for block in range(depth):
        name = f'blocks.{stage}.{block}'
        step = stride if block == 0 else 1
        hidden = self._block(hidden, name, size, step, expansion, channels, how)
      extras[f'stage_{stage + 1}'] = hidden
    hidden = layers.convolved(hidden, _LAST, 1, 'conv_head')
    hidden = nn.relu6(self._normed(hidden, 'bn2', how))
    return layers.pooled(hidden), extras

  def _block(self, inputs, name, size, stride, expansion, channels, how):
    """Expands the channels, convolves depthwise, and reduces them again."""
    hidden, norms = inputs, iter(('bn1', 'bn2', 'bn3'))
    has_expansion = expansion > 1
    if has_expansion:
      inner = inputs.shape[-1] * expansion
      hidden = layers.convolved(hidden, inner, 1, f'{name}.conv_pw')
      hidden = nn.relu6(self._normed(hidden, f'{name}.{next(norms)}', how))
    hidden = layers.convolved(
      hidden,
      hidden.shape[-1],
      size,
      f'{name}.conv_dw',
      stride=stride,
      padding=self.padding,
      depthwise=True,
    )
    hidden = nn.relu6(self._normed(hidden, f'{name}.{next(norms)}', how))
    last = 'conv_pwl' if has_expansion else 'conv_pw'
    hidden = layers.convolved(hidden, channels, 1, f'{name}.{last}')
    hidden = self._normed(hidden, f'{name}.{next(norms)}', how)
    return hidden + inputs if hidden.shape == inputs.shape else hidden

  def _normed(self, hidden, name, how):
    return layers.normed(hidden, name, how, self.epsilon)


# The names in Melas-Kyriazi's package `efficientnet-lite-pytorch`, which counts
# blocks across all stages.
_PACKAGE = {
  r'^_conv_stem$': 'conv_stem',
  r'^_bn0$': 'bn1',
  r'^_conv_head$': 'conv_head',
  r'^_bn1$': 'bn2',
  r'^_fc$': 'classifier',
  r'^_blocks\.0\._project_conv$': 'blocks.0.0.conv_pw',
  r'^_blocks\.0\._bn1$': 'blocks.0.0.bn1',
  r'^_blocks\.0\._bn2$': 'blocks.0.0.bn2',
  **{
    rf'^_blocks\.{number}\.': f'blocks.{stage}.{block}.'
    for number, (stage, block) in enumerate(
      (stage, block)
      for stage, (depth, *_) in enumerate(_STAGES)
      for block in range(depth)
    )
  },
  r'\._expand_conv$': '.conv_pw',
  r'\._depthwise_conv$': '.conv_dw',
  r'\._project_conv$': '.conv_pwl',
  r'\._bn0$': '.bn1',
  r'\._bn1$': '.bn2',
  r'\._bn2$': '.bn3',
}
_lite0 = functools.partial(Architecture, head='classifier', dropout=0.2)
ARCHITECTURES = {
  # Trained in PyTorch, for timm.
  'efficientnet_lite0': _lite0(lambda _: EfficientNetLite0(None, 1e-5)),
  # Trained in TensorFlow: timm's weights of this name, and the package's.
  'tf_efficientnet_lite0': _lite0(
    lambda _: EfficientNetLite0('SAME', 1e-3), moments=HALF, renamed=_PACKAGE
  ),
}
