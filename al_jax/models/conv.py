"""Convolutions that run fast on CPU, also inside loops.

On accelerators the native operations are the right choice. On CPU (jaxlib
0.10.2, 2 cores) they are slow, for these reasons:

- XLA converts a convolution to the layout of its fast kernels only in the
  outermost computation. The two gradients that JAX derives have another layout,
  so inside `scan`, `while` and `cond` they fall back to a naive loop: 479 ms
  against 60 ms for the weights of 4x4x32x32 on 64x25x25x32. Here they are
  written in the fast layout, as NHWC convolutions with an HWIO kernel.
- The default kernels of XLA (YNNPACK) are 2 to 6 times slower than its fallback
  (Eigen) when there are many input channels: 30 against 5 ms for the same layer
  forward, 60 against 13 ms for its weights. YNNPACK does not accept inputs with
  dilation; where Eigen is faster, `_convolve` thus stretches the width of the
  input, the kernel and the stride by 2, which changes no number.
- Grouped convolutions are naive loops, and the gradients of their weights are
  worse: forward and both gradients of 3x3 on 32x16x16x128 took 16 s with 32
  groups. Here groups are processed one by one, which takes 0.1 s and keeps the
  program small; a depthwise convolution is a weighted sum of shifted images.
- Kernels with dilation are slow. Here the pixels are split into smaller images
  of pixels that a kernel sees together, which need no dilation.

A product of patches and a matrix ("im2col") was measured too. It is always fast
in loops, but takes 31 ms forward and 44 ms for the weights of the layer above,
and holds kernel height x width copies of the input.
"""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from al_jax.models import pooling

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
# With at most this many channels the default kernels are faster: 0.4 against
# 2.4 ms forward for 4x4x1x32 on 64x28x28x1.
_FEW_CHANNELS = 4

# Values for height and width; and (low, high) padding of height and width.
Pair = tuple[int, int]
Pairs = tuple[Pair, Pair]


def for_backend():
  """Returns the convolution for the default backend, at trace time."""
  if jax.default_backend() == 'cpu':
    return cpu_convolution
  return lax.conv_general_dilated


# Layer `nn.Conv` with the convolution for the platform.
Conv = functools.partial(nn.Conv, conv_general_dilated_cls=for_backend)


def cpu_convolution(
  inputs: jax.Array,
  kernel: jax.Array,
  window_strides: Pair,
  padding: str | Pairs,
  *,
  lhs_dilation: Pair = (1, 1),
  rhs_dilation: Pair = (1, 1),
  dimension_numbers: object = None,
  feature_group_count: int = 1,
  precision: lax.PrecisionLike = None,
) -> jax.Array:
  """Convolves images as `lax.conv_general_dilated` does, fast on CPU.

  It has the signature that `nn.Conv` expects. Forward-mode derivatives
  (`jax.jvp`) are not defined; reverse-mode ones are, to any order.

  Args:
    inputs: [B, height, width, channels].
    kernel: [height, width, channels / groups, features].
    window_strides: strides of height and width.
    padding: `'SAME'`, `'VALID'`, or low and high padding of height and width.
    lhs_dilation: dilation of the inputs, which must be (1, 1).
    rhs_dilation: dilation of the kernel's height and width.
    dimension_numbers: dimension numbers of NHWC images and an HWIO kernel, or
      None.
    feature_group_count: number of groups into which channels and features are
      split. The kernel has the channels of one group.
    precision: precision for `lax.conv_general_dilated`.

  Returns:
    [B, height, width, features], within float32 rounding of the native result.
  """
  chex.assert_rank([inputs, kernel], 4)
  images = lax.conv_dimension_numbers(inputs.shape, kernel.shape, _LAYOUT)
  if tuple(lhs_dilation) != (1, 1) or dimension_numbers not in (None, images):
    raise ValueError(
      'cpu_convolution takes NHWC images without dilation of the inputs; got'
      f' {lhs_dilation=}, {dimension_numbers=}.'
    )
  groups, dilation = feature_group_count, tuple(rhs_dilation)
  channels, features = kernel.shape[2:]
  if inputs.shape[-1] != groups * channels or features % groups:
    raise ValueError(
      f'inputs of {inputs.shape[-1]} channels and a kernel of shape'
      f' {kernel.shape} cannot be split into {groups} groups.'
    )
  if isinstance(padding, str):
    extents = _extents(kernel, dilation)
    padding = lax.padtype_to_pads(
      inputs.shape[1:3], extents, window_strides, padding
    )
  pads = tuple((int(low), int(high)) for low, high in padding)
  strides = tuple(window_strides)
  if groups > 1 and channels == 1:
    return _depthwise(inputs, kernel, strides, pads, dilation)
  if groups > 1:
    return _grouped(inputs, kernel, groups, strides, pads, dilation, precision)
  return _one_group(inputs, kernel, strides, pads, dilation, precision)


def _extents(kernel, dilation):
  """Returns the height and the width that a dilated kernel covers."""
  return tuple(
    (size - 1) * spacing + 1
    for size, spacing in zip(kernel.shape[:2], dilation, strict=True)
  )


def _depthwise(inputs, kernel, strides, pads, dilation):
  """Sums shifted images with separate weights for each channel."""
  multiplier = kernel.shape[-1] // inputs.shape[-1]
  if multiplier > 1:
    inputs = jnp.repeat(inputs, multiplier, axis=-1)
  inputs = _pad(inputs, pads, (1, 1))
  terms = [
    shifted * kernel[row, column].reshape(1, 1, 1, -1)
    for row, rows in enumerate(
      pooling.taps(inputs, 1, kernel.shape[0], strides[0], dilation[0])
    )
    for column, shifted in enumerate(
      pooling.taps(rows, 2, kernel.shape[1], strides[1], dilation[1])
    )
  ]
  return functools.reduce(jnp.add, terms)


def _grouped(inputs, kernel, groups, *options):
  """Convolves the groups of channels one after the other."""

  def by_group(array):
    split = array.reshape(*array.shape[:-1], groups, -1)
    return jnp.moveaxis(split, -2, 0)

  outputs = lax.map(
    lambda group: _one_group(*group, *options),
    (by_group(inputs), by_group(kernel)),
  )
  outputs = jnp.moveaxis(outputs, 0, -2)
  return outputs.reshape(*outputs.shape[:-2], -1)


def _one_group(inputs, kernel, strides, pads, dilation, precision):
  """Convolves one group; splits a dilated image into images without dilation.

  With dilation d, a kernel sees only every d-th row and column, so the rows and
  columns of each remainder modulo d form a separate image.
  """
  if dilation == (1, 1) or strides != (1, 1):
    return _image_convolution(
      inputs, kernel, strides, pads, dilation, precision
    )
  margins, apart, sizes = [], [], []
  for axis, extent in enumerate(_extents(kernel, dilation)):
    size, spacing = inputs.shape[1 + axis], dilation[axis]
    sizes.append(size + sum(pads[axis]) - extent + 1)
    of_each = -(-sizes[axis] // spacing) + kernel.shape[axis] - 1
    low = pads[axis][0]
    margins.append((low, of_each * spacing - low - size))
    apart += [of_each, spacing]
  inputs = _pad(inputs, margins, (1, 1))
  inputs = inputs.reshape(len(inputs), *apart, -1).transpose(0, 2, 4, 1, 3, 5)
  outputs = _image_convolution(
    inputs.reshape(-1, *inputs.shape[3:]),
    kernel,
    (1, 1),
    ((0, 0), (0, 0)),
    (1, 1),
    precision,
  )
  outputs = outputs.reshape(*inputs.shape[:3], *outputs.shape[1:])
  outputs = outputs.transpose(0, 3, 1, 4, 2, 5)
  batch, height, rows, width, columns, features = outputs.shape
  outputs = outputs.reshape(batch, height * rows, width * columns, features)
  return outputs[:, : sizes[0], : sizes[1]]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _image_convolution(inputs, kernel, strides, pads, dilation, precision):
  return _convolve(
    inputs, kernel, pads, precision, strides=strides, rhs_dilation=dilation
  )


def _forward(inputs, kernel, strides, pads, dilation, precision):
  outputs = _image_convolution(
    inputs, kernel, strides, pads, dilation, precision
  )
  return outputs, (inputs, kernel)


def _backward(strides, pads, dilation, precision, residuals, cotangent):
  options = (*residuals, strides, pads, dilation, precision, cotangent)
  return _input_gradient(*options), _kernel_gradient(*options)


_image_convolution.defvjp(_forward, _backward)


def _input_gradient(
  inputs, kernel, strides, pads, dilation, precision, cotangent
):
  """Convolves the cotangent, dilated by the strides, by the flipped kernel."""
  margins = []
  for axis, extent in enumerate(_extents(kernel, dilation)):
    low = extent - 1 - pads[axis][0]
    spread = (cotangent.shape[1 + axis] - 1) * strides[axis] + 1
    wanted = inputs.shape[1 + axis] + extent - 1
    margins.append((low, wanted - low - spread))
  return _convolve(
    cotangent,
    kernel[::-1, ::-1].transpose(0, 1, 3, 2),
    tuple(margins),
    precision,
    lhs_dilation=strides,
    rhs_dilation=dilation,
  )


def _kernel_gradient(
  inputs, kernel, strides, pads, dilation, precision, cotangent
):
  """Convolves the inputs by the cotangent, and sums over the batch."""
  margins = []
  for axis, extent in enumerate(_extents(kernel, dilation)):
    low = pads[axis][0]
    spread = (cotangent.shape[1 + axis] - 1) * strides[axis] + 1
    wanted = spread + extent - 1
    margins.append((low, wanted - low - inputs.shape[1 + axis]))
  gradient = _convolve(
    inputs.transpose(3, 1, 2, 0),
    cotangent.transpose(1, 2, 0, 3),
    tuple(margins),
    precision,
    strides=dilation,
    rhs_dilation=strides,
  )
  return gradient.transpose(1, 2, 0, 3)


def _convolve(
  inputs,
  kernel,
  pads,
  precision,
  *,
  strides=(1, 1),
  lhs_dilation=(1, 1),
  rhs_dilation=(1, 1),
):
  """A convolution in XLA's own form, kept from the kernels that are slow."""
  if any(kernel.shape[axis] > inputs.shape[1 + axis] for axis in (0, 1)):
    # Pad first if the kernel is larger than the image: 5 instead of 570 ms for
    # 3x3 on 64x2x2x512, the last block of a VGG.
    inputs = _pad(inputs, pads, lhs_dilation)
    pads = ((0, 0), (0, 0))
    lhs_dilation = (1, 1)
  many_channels = inputs.shape[-1] > _FEW_CHANNELS
  # A larger output than input is declined already.
  grows = any(
    sum(pads[axis]) > (kernel.shape[axis] - 1) * rhs_dilation[axis]
    for axis in (0, 1)
  )
  if many_channels and not grows and strides == lhs_dilation == (1, 1):
    low, high = pads[1]
    pads = (pads[0], (2 * low, 2 * high))
    strides = lhs_dilation = (1, 2)
    rhs_dilation = (rhs_dilation[0], 2 * rhs_dilation[1])
  return lax.conv_general_dilated(
    inputs,
    kernel,
    strides,
    pads,
    lhs_dilation=lhs_dilation,
    rhs_dilation=rhs_dilation,
    dimension_numbers=_LAYOUT,
    precision=precision,
  )


def _pad(images, pads, dilation):
  """Adds zeros around the pixels and, with dilation, between them."""
  rows, columns = (
    (low, high, spacing - 1)
    for (low, high), spacing in zip(pads, dilation, strict=True)
  )
  zero = jnp.zeros((), images.dtype)
  return lax.pad(images, zero, ((0, 0, 0), rows, columns, (0, 0, 0)))
