"""Convolutions that halve images, and transposed ones that double them.

Call these functions inside a compact module, which then owns their parameters.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
from flax.typing import Initializer

from al_jax.models import common, conv, transposed

KERNEL = (4, 4)
HE_NORMAL = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')


def halved(
  images: jax.Array,
  channels: Sequence[int],
  how: common.Pass,
  *,
  activation: Callable[[jax.Array], jax.Array] = nn.relu,
  first_norm: bool = True,
  init: Initializer = HE_NORMAL,
) -> jax.Array:
  """Halves images by strided convolutions with batch normalisation.

  Args:
    images: float32 [B, height, width, channels].
    channels: channels of each convolution.
    how: kind of pass.
    activation: nonlinearity after each convolution.
    first_norm: whether the first convolution is normalised too.
    init: initializer of the kernels.

  Returns:
    float32 [B, D], the flattened maps of the last convolution.
  """
  hidden = images
  for block, number in enumerate(channels, start=1):
    is_normed = first_norm or block > 1
    layer = conv.Conv(
      number,
      KERNEL,
      (2, 2),
      padding=1,
      kernel_init=init,
      use_bias=not is_normed,
      name=f'encode_{block}',
    )
    hidden = layer(hidden)
    if is_normed:
      hidden = common.normalise(hidden, 'batch', how)
    hidden = activation(hidden)
  return hidden.reshape(len(hidden), -1)


def doubled(
  code: jax.Array,
  shape: tuple[int, int, int],
  channels: Sequence[int],
  how: common.Pass,
  *,
  doublings: int,
  init: Initializer = HE_NORMAL,
) -> jax.Array:
  """Makes a small image of a code and doubles it repeatedly.

  Args:
    code: float32 [B, Z].
    shape: height, width and channels of the final image.
    channels: channels of the small image, then of each transposed convolution.
    how: kind of pass.
    doublings: number of doublings of the small image, here and afterwards, that
      determines its size.
    init: initializer of the kernels.

  Returns:
    float32 [B, rows, columns, channels[-1]].
  """
  sides = [-(-side // 2**doublings) for side in shape[:2]]
  first, *others = channels
  hidden = nn.Dense(sides[0] * sides[1] * first, name='decode')(code)
  hidden = hidden.reshape(-1, *sides, first)
  hidden = nn.relu(common.normalise(hidden, 'batch', how))
  for block, number in enumerate(others, start=1):
    layer = transposed.ConvTranspose(
      number,
      KERNEL,
      (2, 2),
      kernel_init=init,
      use_bias=False,
      name=f'decode_{block}',
    )
    hidden = nn.relu(common.normalise(layer(hidden), 'batch', how))
  return hidden
