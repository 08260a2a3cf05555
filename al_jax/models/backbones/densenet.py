"""DenseNet-121."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax.models import common
from al_jax.models.backbones import layers
from al_jax.models.backbones.table import Architecture, Trunk

_DEPTHS = (6, 12, 24, 16)
# Channels that a layer adds, and channels before its 3x3 convolution.
_GROWTH, _INNER = 32, 128


class DenseNet(nn.Module):
  """Four blocks in which every layer reads all earlier layers.

  Huang et al. 2017, "Densely Connected Convolutional Networks".
  """

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to features."""
    hidden = layers.convolved(images, 64, 7, 'features.conv0', stride=2)
    hidden = nn.relu(layers.normed(hidden, 'features.norm0', how))
    hidden = layers.max_pool(hidden, padding=1)
    extras = {}
    for block, depth in enumerate(_DEPTHS, start=1):
      if block > 1:
        hidden = self._halved(hidden, f'features.transition{block - 1}', how)
      for layer in range(1, depth + 1):
        name = f'features.denseblock{block}.denselayer{layer}'
        hidden = self._grown(hidden, name, how)
      extras[f'stage_{block}'] = hidden
    hidden = nn.relu(layers.normed(hidden, 'features.norm5', how))
    return layers.pooled(hidden), extras

  def _halved(self, inputs, name, how):
    """Halves the channels and the size."""
    hidden = nn.relu(layers.normed(inputs, f'{name}.norm', how))
    channels = inputs.shape[-1] // 2
    hidden = layers.convolved(hidden, channels, 1, f'{name}.conv')
    return layers.avg_pool(hidden, size=2, stride=2)

  def _grown(self, inputs, name, how):
    """Appends the output of a layer to its inputs."""
    hidden = inputs
    for part, (channels, size) in enumerate(
      ((_INNER, 1), (_GROWTH, 3)), start=1
    ):
      hidden = nn.relu(layers.normed(hidden, f'{name}.norm{part}', how))
      hidden = layers.convolved(hidden, channels, size, f'{name}.conv{part}')
    return jnp.concatenate([inputs, hidden], axis=-1)


ARCHITECTURES = {
  'densenet121': Architecture(
    lambda _: DenseNet(),
    head='classifier',
    # The names in torchvision's files.
    renamed={r'\.(norm|conv)\.([12])$': r'.\1\2'},
  )
}
