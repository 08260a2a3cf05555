"""Several modalities of the same picture, for experiments with them.

A view keeps what one sense of many would: half of the picture, its edges, its
frequencies. Pictures of uint8 give views of uint8, so that a data set grows no
faster than it must; others give float32.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from al_jax.data import named
from al_jax.data.dataset import RawData, Split

# Of float64, while a view is computed.
_BLOCK_BYTES = 1 << 24


def _left(images: np.ndarray) -> np.ndarray:
  return images[:, :, : images.shape[2] // 2]


def _right(images: np.ndarray) -> np.ndarray:
  return images[:, :, images.shape[2] // 2 :]


def _top(images: np.ndarray) -> np.ndarray:
  return images[:, : images.shape[1] // 2]


def _bottom(images: np.ndarray) -> np.ndarray:
  return images[:, images.shape[1] // 2 :]


def _gradients(images: np.ndarray) -> np.ndarray:
  """[B, H, W, 2 channels]: the next pixel minus this one, along both axes."""
  signed = images.astype(np.int16 if images.dtype == np.uint8 else np.float32)
  found = np.zeros((*signed.shape[:-1], 2, signed.shape[-1]), signed.dtype)
  found[:, :, :-1, 0] = np.diff(signed, axis=2)
  found[:, :-1, :, 1] = np.diff(signed, axis=1)
  if images.dtype == np.uint8:
    found = ((found + 255) // 2).astype(np.uint8)
  return found.reshape(*signed.shape[:-1], -1)


def _spectrum(images: np.ndarray) -> np.ndarray:
  """[B, H (W // 2 + 1) channels]: log(1 + magnitude) of each frequency."""
  size = images.shape[1] * images.shape[2]
  found = np.log1p(np.abs(np.fft.rfft2(images, axes=(1, 2))))
  found = found.reshape(len(images), -1)
  if images.dtype == np.uint8:
    # No magnitude is larger than that of a white picture.
    return np.round(found * (255 / np.log1p(255 * size))).astype(np.uint8)
  return found.astype(np.float32)


class _View(NamedTuple):
  """How a view is made.

  Attributes:
    function: `(images [B, H, W, channels]) -> [B, ...]`, rows apart.
    smallest: the (height, width) that it needs.
  """

  function: Callable[[np.ndarray], np.ndarray]
  smallest: tuple[int, int]


VIEWS = {
  'left': _View(_left, (1, 2)),
  'right': _View(_right, (1, 2)),
  'top': _View(_top, (2, 1)),
  'bottom': _View(_bottom, (2, 1)),
  'gradients': _View(_gradients, (2, 2)),
  'spectrum': _View(_spectrum, (1, 1)),
}


def views(raw: RawData, *, views: Sequence[str]) -> RawData:
  """Makes modalities of pictures: each view of the same picture is one.

  With pixels x of a channel, `gradients` are

      x[i, j + 1] - x[i, j]  and  x[i + 1, j] - x[i, j],

  0 at the border, as twice as many channels; of uint8 they come as
  (255 + difference) // 2. `spectrum` is log(1 + |F|) for the two-dimensional
  Fourier transform F, half of it, which determines the rest, as a vector; of
  uint8 it is scaled to 0 ... 255 by the largest that any picture could have and
  rounded. The halves are cut at height // 2 and width // 2.

  Args:
    raw: a data set of pictures.
    views: names from VIEWS, one or more; their order means nothing.

  Returns:
    The data set with a dict of inputs, by the names of the views.
  """
  named.check_names('views: views', 'view', views, VIEWS)
  if not raw.is_image:
    raise ValueError(
      f'views: {raw.name} is no set of pictures [N, height, width, channels], '
      f'its training split is {raw.train}.'
    )
  for name in views:
    _check_size(name, raw.train.inputs.shape)
  parts = {
    part: Split(
      {name: _in_blocks(name, split.inputs) for name in sorted(views)},
      split.targets,
      split.ids,
    )
    for part, split in raw.parts().items()
  }
  return raw._replace(is_image=False, **parts)


def _check_size(name: str, shape: tuple[int, ...]) -> None:
  """Raises if pictures are too small for a view."""
  height, width = VIEWS[name].smallest
  if shape[1] < height or shape[2] < width:
    raise ValueError(
      f'views: {name!r} needs pictures of at least {height} x {width} pixels; '
      f'these have {shape[1]} x {shape[2]}.'
    )


def _in_blocks(name: str, images: np.ndarray) -> np.ndarray:
  """A view of all pictures, which may be memory-mapped."""
  function = VIEWS[name].function
  one = function(np.asarray(images[:1]))
  found = np.empty((len(images), *one.shape[1:]), one.dtype)
  per_block = max(1, _BLOCK_BYTES // (8 * max(1, images[0].size)))
  for begin in range(0, len(images), per_block):
    block = np.asarray(images[begin : begin + per_block])
    found[begin : begin + per_block] = function(block)
  return found
