"""Convolutions and pooling that a CPU runs fast, also inside loops.

On accelerators the native operations are right. On CPU (jaxlib 0.10.2, 2 cores)
they are not, for three reasons:

- XLA brings a convolution into the form that its fast kernels need only in the
  outermost computation. The two gradients that JAX derives are not in that
  form, so inside `scan`, `while` and `cond` they fall back to a naive loop: 479
  ms against 60 ms for the weights of 4x4x32x32 on 64x25x25x32. Here they are
  written in that form, as NHWC convolutions with an HWIO kernel.
- The kernels that XLA prefers by default (YNNPACK) are 2 to 6 times slower than
  the ones it keeps as a fallback (Eigen) when there are many input channels: 30
  against 5 ms for the same layer forward, 60 against 13 ms for its weights. It
  declines inputs with dilation, so `_convolve` stretches the width of the
  input, the kernel and the stride by 2, which changes no number.
- The gradient of `reduce_window` is a scalar loop (28 ms of a 149 ms step of
  `mnist_cnn`), those of maxima of pairs are not.

Patches times a matrix ("im2col") was measured too: always fast in loops, but 31
ms forward and 44 ms for the weights of the layer above, and it holds kernel
height x width copies of the input.
"""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
# With fewer channels the preferred kernels are the faster ones: 0.4 against 2.4
# ms forward for 4x4x1x32 on 64x28x28x1.
_FEW_CHANNELS = 4

# Two numbers, for height and width; or two pairs of them, low and high padding.
Pair = tuple[int, int]
Pairs = tuple[Pair, Pair]


def for_backend():
  """The convolution to use where the program runs, chosen at trace time."""
  if jax.default_backend() == 'cpu':
    return cpu_convolution
  return lax.conv_general_dilated


# As nn.Conv, with the convolution chosen for the platform.
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
  """`lax.conv_general_dilated` of images, fast on CPU.

  It has the signature by which `nn.Conv` calls it. Forward-mode derivatives
  (`jax.jvp`) are not defined; reverse-mode ones are, to any order.

  Args:
    inputs: [B, height, width, channels].
    kernel: [height, width, channels, features].
    window_strides: of height and width.
    padding: `'SAME'`, `'VALID'`, or low and high padding of height and width.
    lhs_dilation: must be (1, 1).
    rhs_dilation: must be (1, 1).
    dimension_numbers: those of NHWC images with an HWIO kernel, or None.
    feature_group_count: must be 1.
    precision: as in `lax.conv_general_dilated`.

  Returns:
    [B, height, width, features], within float32 rounding of the native result.
  """
  chex.assert_rank([inputs, kernel], 4)
  images = lax.conv_dimension_numbers(inputs.shape, kernel.shape, _LAYOUT)
  if (
    (tuple(lhs_dilation), tuple(rhs_dilation)) != ((1, 1), (1, 1))
    or feature_group_count != 1
    or dimension_numbers not in (None, images)
  ):
    raise ValueError(
      'cpu_convolution takes NHWC images without dilation in one group; got'
      f' {lhs_dilation=}, {rhs_dilation=}, {feature_group_count=},'
      f' {dimension_numbers=}.'
    )
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(
      inputs.shape[1:3], kernel.shape[:2], window_strides, padding
    )
  pads = tuple((int(low), int(high)) for low, high in padding)
  return _image_convolution(
    inputs, kernel, tuple(window_strides), pads, precision
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _image_convolution(inputs, kernel, strides, pads, precision):
  return _convolve(inputs, kernel, pads, precision, strides=strides)


def _forward(inputs, kernel, strides, pads, precision):
  outputs = _image_convolution(inputs, kernel, strides, pads, precision)
  return outputs, (inputs, kernel)


def _backward(strides, pads, precision, residuals, cotangent):
  inputs, kernel = residuals
  return (
    _input_gradient(inputs, kernel, strides, pads, precision, cotangent),
    _kernel_gradient(inputs, kernel, strides, pads, precision, cotangent),
  )


_image_convolution.defvjp(_forward, _backward)


def _input_gradient(inputs, kernel, strides, pads, precision, cotangent):
  """The cotangent, spread by the strides, under the kernel turned round."""
  margins = []
  for axis in (0, 1):
    low = kernel.shape[axis] - 1 - pads[axis][0]
    spread = (cotangent.shape[1 + axis] - 1) * strides[axis] + 1
    wanted = inputs.shape[1 + axis] + kernel.shape[axis] - 1
    margins.append((low, wanted - low - spread))
  return _convolve(
    cotangent,
    kernel[::-1, ::-1].transpose(0, 1, 3, 2),
    tuple(margins),
    precision,
    lhs_dilation=strides,
  )


def _kernel_gradient(inputs, kernel, strides, pads, precision, cotangent):
  """The inputs under the cotangent as a kernel; the batch is summed over."""
  margins = []
  for axis in (0, 1):
    low = pads[axis][0]
    spread = (cotangent.shape[1 + axis] - 1) * strides[axis] + 1
    wanted = spread + kernel.shape[axis] - 1
    margins.append((low, wanted - low - inputs.shape[1 + axis]))
  gradient = _convolve(
    inputs.transpose(3, 1, 2, 0),
    cotangent.transpose(1, 2, 0, 3),
    tuple(margins),
    precision,
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
    # A kernel larger than the image before padding: 570 against 5 ms for 3x3 on
    # 64x2x2x512, the last block of a VGG.
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
  """Zeros around the pixels and, with dilation, between them."""
  rows, columns = (
    (low, high, spacing - 1)
    for (low, high), spacing in zip(pads, dilation, strict=True)
  )
  zero = jnp.zeros((), images.dtype)
  return lax.pad(images, zero, ((0, 0, 0), rows, columns, (0, 0, 0)))


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
