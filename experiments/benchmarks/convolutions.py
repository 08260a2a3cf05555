"""Compares the speed of convolutions and pooling on CPU with Flax's own.

Run as `python -m experiments.benchmark convolutions`; also in the table of
`training`. Each layer is timed forward, forward and backward, and forward and
backward in a loop on the device, as in training.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from al_jax.interfaces import PyTree
from al_jax.models import conv, pooling, transposed
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, in_turns

# Target of forward and backward, as a multiple of a plain convolution's time.
_AT_MOST = 1.0
_STEPS_IN_LOOP = 2

Layer = Callable[[jax.Array], jax.Array]


class Pair(NamedTuple):
  """A layer and the layers it is compared with.

  Attributes:
    name: name of the layer.
    ours: al_jax's module, or a function of images.
    flax: Flax's counterpart.
    shape: shape of the inputs.
    plain: plain convolution with as many operations, and the shape of its
      inputs; None for pooling.
  """

  name: str
  ours: nn.Module | Layer
  flax: nn.Module | Layer
  shape: tuple[int, ...]
  plain: tuple[nn.Module, tuple[int, ...]] | None = None


def pairs(batch: int = 16, side: int = 16, channels: int = 64) -> list[Pair]:
  """Lists the layers, at about the size of a training step.

  Args:
    batch: number of examples.
    side: height and width of the images.
    channels: number of channels; a multiple of 16, with an even square root.

  Returns:
    A Pair per kind of layer.
  """
  shape = (batch, side, side, channels)

  def both(name, options: Mapping[str, Any], plain):
    layers = (make(channels, **options) for make in (conv.Conv, nn.Conv))
    return Pair(name, *layers, shape, plain)

  def plain(features, inputs=channels, side=side, **options):
    layer = conv.Conv(features, **{'kernel_size': (3, 3), **options})
    return layer, (batch, side, side, inputs)

  def grouped(groups):
    # As many products as a plain layer from channels / groups to all features.
    return both(
      f'{groups} groups',
      {'kernel_size': (3, 3), 'feature_group_count': groups},
      plain(channels, channels // groups),
    )

  few = round(channels**0.5)
  large = {'kernel_size': (3, 3), 'strides': (2, 2)}
  window = {'window_shape': (3, 3), 'strides': (2, 2), 'padding': 'SAME'}
  return [
    both(
      'dilation 2',
      {'kernel_size': (3, 3), 'kernel_dilation': 2},
      plain(channels),
    ),
    grouped(2),
    grouped(channels // 8),
    both(
      'depthwise',
      {'kernel_size': (3, 3), 'feature_group_count': channels},
      plain(few, few),
    ),
    both(
      'depthwise, stride 2',
      {**large, 'feature_group_count': channels},
      plain(few, few, strides=(2, 2)),
    ),
    Pair(
      'transposed 4x4, stride 2',
      transposed.ConvTranspose(channels // 2, (4, 4), (2, 2)),
      nn.ConvTranspose(channels // 2, (4, 4), (2, 2)),
      (batch, side // 2, side // 2, channels),
      plain(2 * channels, side=side // 2, kernel_size=(2, 2)),
    ),
    Pair(
      'max pool 3x3, stride 2',
      lambda images: pooling.max_pool(images, **window),
      lambda images: nn.max_pool(images, **window),
      shape,
    ),
    Pair(
      'average pool 3x3, stride 2',
      lambda images: pooling.avg_pool(images, **window),
      lambda images: nn.avg_pool(images, **window),
      shape,
    ),
  ]


def measure(
  layers: list[Pair] | None = None, repeats: int = 5
) -> Iterator[Row]:
  """Yields the rows of every layer: four each, or three for pooling.

  Args:
    layers: layers to time. If None, those of `pairs`.
    repeats: number of pairs of measurements per row.

  Yields:
    A Row.
  """
  for pair in pairs() if layers is None else layers:
    ours = _Timed(pair.ours, pair.shape)
    flax = _Timed(pair.flax, pair.shape)
    for way in ('forward', 'backward', 'loop'):
      # In a loop, some of Flax's layers take seconds.
      times = 1 if way == 'loop' else repeats
      yield _beside(pair.name, way, ours, flax, "Flax's own", times)
    if pair.plain:
      plain = _Timed(*pair.plain)
      yield _beside(
        pair.name,
        'loop',
        ours,
        plain,
        'as many operations, plain',
        repeats,
        _AT_MOST,
      )


def products(layer: nn.Module, shape: tuple[int, ...]) -> int:
  """Counts the products of a convolution.

  Args:
    layer: The convolution.
    shape: Shape of its inputs.

  Returns:
    The size of the kernel times the number of output pixels, or of input pixels
    if they are fewer, as in a transposed convolution.
  """
  inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
  outputs, variables = jax.eval_shape(
    layer.init_with_output, jax.random.key(0), inputs
  )
  pixels = outputs if outputs.shape[1] <= shape[1] else inputs
  batch, height, width, _ = pixels.shape
  return batch * height * width * variables['params']['kernel'].size


_WAYS = {
  'forward': 'forward',
  'backward': 'forward, backward',
  'loop': 'the same in a loop',
}


def _beside(name, way, ours, other, which_is, repeats, at_most=None):
  calls = [timed.call(way) for timed in (ours, other)]
  _, seconds, against, ratio = in_turns(
    *(call.seconds for call in calls), repeats
  )
  steps = _STEPS_IN_LOOP if way == 'loop' else 1
  return Row(
    f'{name}: {_WAYS[way]}',
    seconds / steps,
    against / steps,
    which_is,
    ratio,
    compiling=calls[0].compiling,
    at_most=at_most,
  )


class _Timed:
  """A layer, compiled in several ways on first use."""

  def __init__(self, layer: nn.Module | Layer, shape: tuple[int, ...]):
    self.inputs = np.random.default_rng(0).normal(size=shape).astype('float32')
    self.apply = lambda variables, inputs: layer(inputs)
    self.variables: PyTree = {}
    if isinstance(layer, nn.Module):
      self.apply = layer.apply
      self.variables = layer.init(jax.random.key(0), jnp.asarray(self.inputs))
    self._calls = {}

  def call(self, way: str) -> CompiledCall:
    """Returns the call compiled in that way."""
    if way not in self._calls:
      function = {
        'forward': self.apply,
        'backward': self._moved,
        'loop': self._loop,
      }[way]
      self._calls[way] = CompiledCall(function, self.variables, self.inputs)
    return self._calls[way]

  def _moved(self, variables, inputs):
    """Moves variables and inputs a little along their gradients."""
    outputs, pullback = jax.vjp(self.apply, variables, inputs)
    return jax.tree.map(
      lambda value, gradient: value - 1e-6 * gradient,
      (variables, inputs),
      pullback(outputs),
    )

  def _loop(self, variables, inputs):
    return jax.lax.fori_loop(
      0,
      _STEPS_IN_LOOP,
      lambda _, moved: self._moved(*moved),
      (variables, inputs),
    )
