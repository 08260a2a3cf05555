"""AlexNet and VGG-16: a sequence of convolutions, then dense layers."""

import flax.linen as nn
import jax

from al_jax.models import common
from al_jax.models.backbones import layers
from al_jax.models.backbones.table import Architecture, Trunk

_WIDTH = 4096
# Layer number -> channels, size, stride and padding of a convolution, or None
# for a pooling.
_ALEXNET = {
  0: (64, 11, 4, 2),
  2: None,
  3: (192, 5, 1, 2),
  5: None,
  6: (384, 3, 1, 1),
  8: (256, 3, 1, 1),
  10: (256, 3, 1, 1),
  12: None,
}
# Number of convolutions and their channels, for each block.
_VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


class AlexNet(nn.Module):
  """AlexNet of Krizhevsky 2014, "One weird trick", as in torchvision.

  Attributes:
    dropout: share of the inputs of each dense layer that is dropped.
  """

  dropout: float

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to features."""
    hidden, extras = _convolutions(images, _ALEXNET, 3)
    hidden = layers.in_a_row(layers.averaged_to(hidden, 6))
    hidden = common.dropout(hidden, self.dropout, how)
    hidden = nn.relu(nn.Dense(_WIDTH, name='classifier.1')(hidden))
    hidden = common.dropout(hidden, self.dropout, how)
    return nn.relu(nn.Dense(_WIDTH, name='classifier.4')(hidden)), extras


class Vgg16(nn.Module):
  """VGG-16 of Simonyan and Zisserman 2014, with the attributes of AlexNet."""

  dropout: float

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to features."""
    hidden, extras = _convolutions(images, _numbered(_VGG16), 2)
    hidden = layers.in_a_row(layers.averaged_to(hidden, 7))
    hidden = nn.relu(nn.Dense(_WIDTH, name='classifier.0')(hidden))
    hidden = common.dropout(hidden, self.dropout, how)
    return nn.relu(nn.Dense(_WIDTH, name='classifier.3')(hidden)), extras


def _numbered(blocks):
  """Makes a table like AlexNet's; each ReLU takes a layer number too."""
  table, number = {}, 0
  for depth, channels in blocks:
    for _ in range(depth):
      table[number] = channels, 3, 1, 1
      number += 2
    table[number] = None
    number += 1
  return table


def _convolutions(images, table, window):
  hidden, extras = images, {}
  for number, row in table.items():
    if row is None:
      hidden = layers.max_pool(hidden, size=window)
      extras[f'stage_{len(extras) + 1}'] = hidden
      continue
    channels, size, stride, padding = row
    hidden = layers.convolved(
      hidden,
      channels,
      size,
      f'features.{number}',
      stride=stride,
      padding=padding,
      bias=True,
    )
    hidden = nn.relu(hidden)
  return hidden, extras


ARCHITECTURES = {
  # Unlike as published, the head has dropout too.
  'alexnet': Architecture(AlexNet, head='classifier.6', dropout=0.5),
  'vgg16': Architecture(
    Vgg16,
    head='classifier.6',
    dropout=0.5,
    renamed={
      r'^pre_logits\.fc1$': 'classifier.0',
      r'^pre_logits\.fc2$': 'classifier.3',
      r'^head\.fc$': 'classifier.6',
    },
  ),
}
