"""SqueezeNet 1.1."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax.models import common
from al_jax.models.backbones import layers
from al_jax.models.backbones.table import Architecture, Trunk

# Layer number -> squeezed and expanded channels of a fire module, or None for a
# pooling.
_FIRES = {
  2: None,
  3: (16, 64),
  4: (16, 64),
  5: None,
  6: (32, 128),
  7: (32, 128),
  8: None,
  9: (48, 192),
  10: (48, 192),
  11: (64, 256),
  12: (64, 256),
}


class SqueezeNet(nn.Module):
  """SqueezeNet of Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy"."""

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to feature maps: the head pools."""
    del how
    hidden = nn.relu(
      layers.convolved(
        images, 64, 3, 'features.0', stride=2, padding=0, bias=True
      )
    )
    extras = {}
    for number, widths in _FIRES.items():
      if widths is None:
        hidden = layers.max_pool_to_the_end(hidden)
        continue
      hidden = _fire(hidden, f'features.{number}', *widths)
      extras[f'fire_{number}'] = hidden
    return hidden, extras


def _fire(inputs, name, squeezed, expanded):
  """Squeezes to few channels, then expands by 1x1 and 3x3 convolutions."""

  def made(images, channels, size, part):
    return nn.relu(
      layers.convolved(images, channels, size, f'{name}.{part}', bias=True)
    )

  hidden = made(inputs, squeezed, 1, 'squeeze')
  parts = ((1, 'expand1x1'), (3, 'expand3x3'))
  outputs = [made(hidden, expanded, size, part) for size, part in parts]
  return jnp.concatenate(outputs, axis=-1)


ARCHITECTURES = {
  'squeezenet1_1': Architecture(
    lambda _: SqueezeNet(), head='classifier.1', dropout=0.5, pools=True
  )
}
