"""Writes the pictures of learners, a file per round and name."""

import math
import pathlib

import numpy as np

from al_jax import files
from al_jax.loop.pictures import RoundPictures
from al_jax.storage import workdir


class PictureFiles:
  """An observer; a round that is run again replaces its files."""

  def __init__(self, folder: pathlib.Path):
    """Writes nothing yet.

    Args:
      folder: where to; made with the first picture.
    """
    self._folder = folder

  def on_pictures(self, pictures: RoundPictures) -> None:
    """Writes `SYSTEM_seedS_roundR_NAME.png`, a grid, for each name."""
    from PIL import Image

    workdir.refuse_link(self._folder)
    self._folder.mkdir(exist_ok=True)
    system, seed, round, images = pictures
    for name, of in images.items():
      path = self._folder / f'{system}_seed{seed}_round{round}_{name}.png'
      with files.replacing(path) as partial:
        Image.fromarray(sheet(of)).save(partial, format='png')


def sheet(images: np.ndarray) -> np.ndarray:
  """Lays images out in a grid about as wide as high, by rows.

  Args:
    images: uint8, or floats from 0 to 1, [n, height, width] or [n, height,
      width, 1 or 3].

  Returns:
    uint8 [height, width] or [height, width, 3]; a white line of one pixel
    between two images, and white where the last row ends early.
  """
  if images.dtype != np.uint8:
    images = np.round(255 * images).astype(np.uint8)
  number, height, width = images.shape[:3]
  columns = math.ceil(math.sqrt(number))
  rows = math.ceil(number / columns)
  images = images.reshape(number, height, width, -1)
  missing = rows * columns - number
  cells = np.pad(
    images, ((0, missing), (0, 1), (0, 1), (0, 0)), constant_values=255
  )
  grid = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
  grid = grid.reshape(rows * (height + 1), columns * (width + 1), -1)
  grid = grid[:-1, :-1]
  return grid[..., 0] if grid.shape[2] == 1 else grid
