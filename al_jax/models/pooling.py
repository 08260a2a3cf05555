"""Pooling that a CPU runs fast, backward too.

The gradient of `reduce_window` is a scalar loop on CPU (28 ms of a 149 ms step
of `mnist_cnn`). Those of maxima and sums of shifted images are not.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

# Two numbers, for height and width; or two pairs of them, low and high padding.
Pair = tuple[int, int]
Pairs = tuple[Pair, Pair]


def max_pool(
  images: jax.Array,
  window_shape: Pair,
  strides: Pair | None = None,
  padding: str | Pairs = 'VALID',
) -> jax.Array:
  """Takes the largest value of each window, as `nn.max_pool` does.

  Values of a window that tie for the largest share the gradient; `nn.max_pool`
  gives all of it to the first.

  Args:
    images: [B, height, width, channels].
    window_shape: height and width of a window.
    strides: rows and columns from one window to the next; if None, 1.
    padding: `'SAME'`, `'VALID'`, or low and high padding of height and width.

  Returns:
    [B, rows, columns, channels].
  """
  return _pool(images, jnp.maximum, -jnp.inf, window_shape, strides, padding)


def avg_pool(
  images: jax.Array,
  window_shape: Pair,
  strides: Pair | None = None,
  padding: str | Pairs = 'VALID',
  *,
  count_include_pad: bool = True,
) -> jax.Array:
  """Takes the mean of each window, as `nn.avg_pool` does.

  Args:
    images: [B, height, width, channels].
    window_shape: height and width of a window.
    strides: rows and columns from one window to the next; if None, 1.
    padding: `'SAME'`, `'VALID'`, or low and high padding of height and width.
    count_include_pad: whether padding counts as pixels of value 0. If False,
      the mean is over the pixels of the image alone.

  Returns:
    [B, rows, columns, channels].
  """
  total = functools.partial(
    _pool,
    combine=jnp.add,
    outside=0,
    window_shape=window_shape,
    strides=strides,
    padding=padding,
  )
  if count_include_pad:
    return total(images) / (window_shape[0] * window_shape[1])
  pixels = jnp.ones((1, *images.shape[1:3], 1), images.dtype)
  return total(images) / total(pixels)


def taps(
  images: jax.Array, axis: int, size: int, stride: int, dilation: int = 1
) -> list[jax.Array]:
  """Lists what the positions of sliding windows see along an axis.

  Args:
    images: padded already.
    axis: along which the windows slide.
    size: positions of a window.
    stride: from one window to the next.
    dilation: from one position of a window to the next.

  Returns:
    An array for each position, with a window per entry of the axis.
  """
  reach = (size - 1) * dilation
  count = (images.shape[axis] - reach - 1) // stride + 1
  return [
    lax.slice_in_dim(
      images, first, first + (count - 1) * stride + 1, stride, axis
    )
    for first in range(0, reach + 1, dilation)
  ]


def _pool(
  images: jax.Array,
  combine: Callable[[jax.Array, jax.Array], jax.Array],
  outside: float,
  window_shape: Pair,
  strides: Pair | None,
  padding: str | Sequence[Pair],
) -> jax.Array:
  """Combines the values of each window, one axis after the other."""
  strides = strides or (1, 1)
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(
      images.shape[1:3], window_shape, strides, padding
    )
  if any(low or high for low, high in padding):
    margins = [(int(low), int(high), 0) for low, high in padding]
    outside = jnp.array(outside, images.dtype)
    images = lax.pad(images, outside, [(0, 0, 0), *margins, (0, 0, 0)])
  for axis in (0, 1):
    seen = taps(images, 1 + axis, window_shape[axis], strides[axis])
    images = functools.reduce(combine, seen)
  return images


def max_pool_2x2(images: jax.Array) -> jax.Array:
  """The largest value of every 2x2 window, each window taken once.

  Where several values of a window are the largest they share the gradient.

  Args:
    images: [B, height, width, channels]; the last row and column of an odd size
      are left out, as with `'VALID'` padding.

  Returns:
    [B, height // 2, width // 2, channels].
  """
  batch, height, width, channels = images.shape
  rows, columns = height // 2, width // 2
  windows = images[:, : 2 * rows, : 2 * columns].reshape(
    batch, rows, 2, columns, 2, channels
  )
  # Not one maximum over both axes: its gradient divides by how many values are
  # equal to it: none, where XLA computes the values again and rounds otherwise.
  taller = jnp.maximum(windows[:, :, 0], windows[:, :, 1])
  return jnp.maximum(taller[:, :, :, 0], taller[:, :, :, 1])
