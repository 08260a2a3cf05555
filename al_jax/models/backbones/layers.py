"""Layers that published networks share; call them inside a compact module.

Layers are named after the published tensors: `layer1.0.conv1.weight` in a file
is the kernel of the layer `layer1.0.conv1` here.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from al_jax.models import common, conv, pooling

Size = int | tuple[int, int]
# He et al. (2015). Fan-in suits depthwise kernels, with one input channel each.
_OF_OUTPUTS = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
_OF_INPUTS = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')


def convolved(
  images: jax.Array,
  channels: int,
  size: Size,
  name: str,
  *,
  stride: int = 1,
  padding: Size | str | None = None,
  bias: bool = False,
  depthwise: bool = False,
) -> jax.Array:
  """Convolves images.

  Args:
    images: float32 [B, height, width, channels].
    channels: channels of the result.
    size: height and width of the kernel.
    name: name of the layer.
    stride: rows and columns from one window to the next.
    padding: zeros on each side, along height and width; or `'SAME'`. If None,
      half of the kernel size, which keeps odd kernels' size at a stride of 1.
    bias: whether there is a bias.
    depthwise: whether each channel has a kernel of its own.

  Returns:
    float32 [B, height, width, channels].
  """
  size = _pair(size)
  if padding is None:
    padding = tuple(extent // 2 for extent in size)
  if not isinstance(padding, str):
    padding = tuple((margin, margin) for margin in _pair(padding))
  layer = conv.Conv(
    channels,
    size,
    (stride, stride),
    padding=padding,
    use_bias=bias,
    feature_group_count=channels if depthwise else 1,
    kernel_init=_OF_INPUTS if depthwise else _OF_OUTPUTS,
    name=name,
  )
  return layer(images)


def normed(
  images: jax.Array, name: str, how: common.Pass, epsilon: float = 1e-5
) -> jax.Array:
  """Applies batch normalisation; evaluation uses its statistics."""
  return common.normalise(images, 'batch', how, epsilon=epsilon, name=name)


def max_pool(
  images: jax.Array, *, size: int = 3, stride: int = 2, padding: int = 0
) -> jax.Array:
  """Takes the largest value of each window."""
  margins = ((padding, padding),) * 2
  return pooling.max_pool(images, (size, size), (stride, stride), margins)


def max_pool_to_the_end(
  images: jax.Array, *, size: int = 3, stride: int = 2
) -> jax.Array:
  """Takes maxima; the last window may reach past the end ("ceil mode")."""
  margins = []
  for extent in images.shape[1:3]:
    windows = -(-(extent - size) // stride) + 1
    margins.append((0, max((windows - 1) * stride + size - extent, 0)))
  return pooling.max_pool(
    images, (size, size), (stride, stride), tuple(margins)
  )


def avg_pool(
  images: jax.Array, *, size: int, stride: int, padding: int = 0
) -> jax.Array:
  """Takes the mean of each window; padding counts as zeros."""
  margins = ((padding, padding),) * 2
  return pooling.avg_pool(images, (size, size), (stride, stride), margins)


def averaged_to(images: jax.Array, size: int) -> jax.Array:
  """Averages images over size x size windows that cover them evenly."""
  rows, columns = (_even_means(extent, size) for extent in images.shape[1:3])
  return jnp.einsum('rh,bhwc,sw->brsc', rows, images, columns)


def in_a_row(images: jax.Array) -> jax.Array:
  """Flattens each image channel by channel, as published."""
  return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def pooled(images: jax.Array) -> jax.Array:
  """Averages each channel over its pixels."""
  return jnp.mean(images, axis=(1, 2))


def _even_means(extent, size):
  """Returns float32[size, extent], a row per window; windows may overlap."""
  means = np.zeros((size, extent), np.float32)
  for window in range(size):
    first, end = window * extent // size, -(-(window + 1) * extent // size)
    means[window, first:end] = 1 / (end - first)
  return means


def _pair(size):
  return (size, size) if isinstance(size, int) else size
