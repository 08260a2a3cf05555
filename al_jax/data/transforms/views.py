"""Turns a picture into several modalities, for experiments.

A view keeps one aspect of a picture: one half, the edges, the frequencies.
Pictures of uint8 give views of uint8, to save memory; others give float32.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from al_jax.data import named
from al_jax.data.dataset import RawData, Split

# Size of a block in float64.
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
  """Returns the next pixel minus this one, per axis: [B, H, W, 2 channels]."""
  signed = images.astype(np.int16 if images.dtype == np.uint8 else np.float32)
  found = np.zeros((*signed.shape[:-1], 2, signed.shape[-1]), signed.dtype)
  found[:, :, :-1, 0] = np.diff(signed, axis=2)
  found[:, :-1, :, 1] = np.diff(signed, axis=1)
  if images.dtype == np.uint8:
    found = ((found + 255) // 2).astype(np.uint8)
  return found.reshape(*signed.shape[:-1], -1)


def _spectrum(images: np.ndarray) -> np.ndarray:
  """Returns log(1 + magnitude) per frequency: [B, H (W // 2 + 1) channels]."""
  size = images.shape[1] * images.shape[2]
  found = np.log1p(np.abs(np.fft.rfft2(images, axes=(1, 2))))
  found = found.reshape(len(images), -1)
  if images.dtype == np.uint8:
    # A white picture has the largest magnitude.
    return np.round(found * (255 / np.log1p(255 * size))).astype(np.uint8)
  return found.astype(np.float32)


class _View(NamedTuple):
  """Function and limits of a view.

  Attributes:
    function: `(images [B, H, W, channels]) -> [B, ...]`, row by row.
    smallest: smallest (height, width) of a picture.
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
  """Replaces pictures by views of them, one modality per view.

  With pixels x of a channel, `gradients` are

      x[i, j + 1] - x[i, j]  and  x[i + 1, j] - x[i, j],

  with 0 at the border. They have twice as many channels; for uint8 each is
  stored as (255 + difference) // 2. `spectrum` is log(1 + |F|) as a vector, for
  the non-redundant half of the two-dimensional Fourier transform F. For uint8
  it is scaled so that the largest possible value is 255, and rounded. The
  halves are cut at height // 2 and width // 2.

  Args:
    raw: a data set of pictures.
    views: one or more names from VIEWS; their order does not matter.

  Returns:
    The data set with a dict of inputs by view name.
  """
  named.check_names('views: views', 'view', views, VIEWS)
  if not raw.is_image:
    raise ValueError(
      f'views: {raw.name} must have pictures [N, height, width, channels]; '
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
  """Raises ValueError if pictures are too small for a view."""
  height, width = VIEWS[name].smallest
  if shape[1] < height or shape[2] < width:
    raise ValueError(
      f'views: {name!r} needs pictures of at least {height} x {width} pixels; '
      f'these have {shape[1]} x {shape[2]}.'
    )


def _in_blocks(name: str, images: np.ndarray) -> np.ndarray:
  """Computes a view block by block; pictures may be memory-mapped."""
  function = VIEWS[name].function
  one = function(np.asarray(images[:1]))
  found = np.empty((len(images), *one.shape[1:]), one.dtype)
  per_block = max(1, _BLOCK_BYTES // (8 * max(1, images[0].size)))
  for begin in range(0, len(images), per_block):
    block = np.asarray(images[begin : begin + per_block])
    found[begin : begin + per_block] = function(block)
  return found
