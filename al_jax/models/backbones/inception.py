"""GoogLeNet and Inception-v3, without auxiliary heads."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax.models import common
from al_jax.models.backbones import layers
from al_jax.models.backbones.table import HALF, Architecture, Trunk

_EPSILON = 1e-3


def _conv(images, channels, size, name, how, **options):
  """Applies a convolution, normalisation and ReLU."""
  hidden = layers.convolved(images, channels, size, f'{name}.conv', **options)
  return nn.relu(layers.normed(hidden, f'{name}.bn', how, _EPSILON))


class GoogLeNet(nn.Module):
  """GoogLeNet of Szegedy et al. 2015, "Going Deeper with Convolutions".

  As in torchvision, it has batch normalisation, and 3x3 kernels where the paper
  has 5x5.
  """

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to features."""
    hidden = _conv(images, 64, 7, 'conv1', how, stride=2)
    hidden = layers.max_pool_to_the_end(hidden)
    hidden = _conv(hidden, 64, 1, 'conv2', how)
    hidden = _conv(hidden, 192, 3, 'conv3', how)
    extras = {}
    for stage, blocks in _GOOGLENET.items():
      size = 2 if stage == 5 else 3
      hidden = layers.max_pool_to_the_end(hidden, size=size)
      for block, widths in blocks.items():
        hidden = self._block(hidden, f'inception{stage}{block}', widths, how)
      extras[f'stage_{stage}'] = hidden
    return layers.pooled(hidden), extras

  def _block(self, inputs, name, widths, how):
    """Applies four branches in parallel."""
    first, second, third, last = widths
    branches = [_conv(inputs, first, 1, f'{name}.branch1', how)]
    for branch, (inner, outer) in ((2, second), (3, third)):
      hidden = _conv(inputs, inner, 1, f'{name}.branch{branch}.0', how)
      hidden = _conv(hidden, outer, 3, f'{name}.branch{branch}.1', how)
      branches.append(hidden)
    hidden = layers.max_pool(inputs, stride=1, padding=1)
    branches.append(_conv(hidden, last, 1, f'{name}.branch4.1', how))
    return jnp.concatenate(branches, axis=-1)


# Channels of the four branches of each block.
_GOOGLENET = {
  3: {
    'a': (64, (96, 128), (16, 32), 32),
    'b': (128, (128, 192), (32, 96), 64),
  },
  4: {
    'a': (192, (96, 208), (16, 48), 64),
    'b': (160, (112, 224), (24, 64), 64),
    'c': (128, (128, 256), (24, 64), 64),
    'd': (112, (144, 288), (32, 64), 64),
    'e': (256, (160, 320), (32, 128), 128),
  },
  5: {
    'a': (256, (160, 320), (32, 128), 128),
    'b': (384, (192, 384), (48, 128), 128),
  },
}


class InceptionV3(nn.Module):
  """Szegedy et al. 2016, "Rethinking the Inception Architecture"."""

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> Trunk:
    """Maps normalised images to features."""
    hidden = images
    stem = (
      (32, 'Conv2d_1a_3x3', {'stride': 2, 'padding': 0}),
      (32, 'Conv2d_2a_3x3', {'padding': 0}),
      (64, 'Conv2d_2b_3x3', {}),
    )
    for channels, name, options in stem:
      hidden = _conv(hidden, channels, 3, name, how, **options)
    hidden = layers.max_pool(hidden)
    hidden = _conv(hidden, 80, 1, 'Conv2d_3b_1x1', how)
    hidden = _conv(hidden, 192, 3, 'Conv2d_4a_3x3', how, padding=0)
    hidden = layers.max_pool(hidden)
    extras = {}
    for block, (branches, pool) in _INCEPTION.items():
      hidden = _branched(hidden, f'Mixed_{block}', branches, pool, how)
      if block in ('5d', '6e', '7c'):
        extras[f'stage_{block[0]}'] = hidden
    return layers.pooled(hidden), extras


def _branched(inputs, name, branches, pool, how):
  """Applies parallel branches, and one that pools.

  A branch is a list of convolutions. A nested list stands for parallel
  convolutions, whose results are concatenated.
  """
  outputs = []
  for parts in branches:
    hidden = inputs
    for part in parts:
      is_split = isinstance(part, list)
      made = [
        _conv(hidden, channels, size, f'{name}.{called}', how, **options)
        for called, channels, size, options in (part if is_split else [part])
      ]
      hidden = jnp.concatenate(made, axis=-1)
    outputs.append(hidden)
  if pool is None:
    outputs.append(layers.max_pool(inputs))
  else:
    hidden = layers.avg_pool(inputs, size=3, stride=1, padding=1)
    outputs.append(_conv(hidden, pool, 1, f'{name}.branch_pool', how))
  return jnp.concatenate(outputs, axis=-1)


_HALVED = {'stride': 2, 'padding': 0}


def _of_35(pool):
  return [
    [('branch1x1', 64, 1, {})],
    [('branch5x5_1', 48, 1, {}), ('branch5x5_2', 64, 5, {})],
    [
      ('branch3x3dbl_1', 64, 1, {}),
      ('branch3x3dbl_2', 96, 3, {}),
      ('branch3x3dbl_3', 96, 3, {}),
    ],
  ], pool


def _of_17(inner):
  wide, tall = (1, 7), (7, 1)
  return [
    [('branch1x1', 192, 1, {})],
    [
      ('branch7x7_1', inner, 1, {}),
      ('branch7x7_2', inner, wide, {}),
      ('branch7x7_3', 192, tall, {}),
    ],
    [
      ('branch7x7dbl_1', inner, 1, {}),
      ('branch7x7dbl_2', inner, tall, {}),
      ('branch7x7dbl_3', inner, wide, {}),
      ('branch7x7dbl_4', inner, tall, {}),
      ('branch7x7dbl_5', 192, wide, {}),
    ],
  ], 192


def _of_8():
  return [
    [('branch1x1', 320, 1, {})],
    [
      ('branch3x3_1', 384, 1, {}),
      [('branch3x3_2a', 384, (1, 3), {}), ('branch3x3_2b', 384, (3, 1), {})],
    ],
    [
      ('branch3x3dbl_1', 448, 1, {}),
      ('branch3x3dbl_2', 384, 3, {}),
      [
        ('branch3x3dbl_3a', 384, (1, 3), {}),
        ('branch3x3dbl_3b', 384, (3, 1), {}),
      ],
    ],
  ], 192


# Block -> (branches, pool). Convolutions are `(name, channels, size, options)`;
# pool is the channels after mean pooling, or None for halving max pooling.
_INCEPTION = {
  '5b': _of_35(32),
  '5c': _of_35(64),
  '5d': _of_35(64),
  '6a': (
    [
      [('branch3x3', 384, 3, _HALVED)],
      [
        ('branch3x3dbl_1', 64, 1, {}),
        ('branch3x3dbl_2', 96, 3, {}),
        ('branch3x3dbl_3', 96, 3, _HALVED),
      ],
    ],
    None,
  ),
  '6b': _of_17(128),
  '6c': _of_17(160),
  '6d': _of_17(160),
  '6e': _of_17(192),
  '7a': (
    [
      [('branch3x3_1', 192, 1, {}), ('branch3x3_2', 320, 3, _HALVED)],
      [
        ('branch7x7x3_1', 192, 1, {}),
        ('branch7x7x3_2', 192, (1, 7), {}),
        ('branch7x7x3_3', 192, (7, 1), {}),
        ('branch7x7x3_4', 192, 3, _HALVED),
      ],
    ],
    None,
  ),
  '7b': _of_8(),
  '7c': _of_8(),
}

_published = functools.partial(
  Architecture, head='fc', moments=HALF, left_out=(r'^aux', r'^AuxLogits\.')
)
ARCHITECTURES = {
  'googlenet': _published(lambda _: GoogLeNet(), dropout=0.2),
  'inception_v3': _published(lambda _: InceptionV3(), size=299, dropout=0.5),
}
