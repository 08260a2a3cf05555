"""Writes the pictures of learners, a file per round and name."""

import math
import pathlib

import numpy as np

from al_jax import files
from al_jax.loop.pictures import RoundPictures
from al_jax.loop.queries import RoundMade
from al_jax.storage import workdir
from al_jax.tasks import Task

# Images at most half as wide and high as this are enlarged on a sheet.
_LEAST_SIDE = 64
# Number of made queries per row of a sheet.
_COLUMNS = 10


class PictureFiles:
  """Observer that writes pictures; a round that is rerun replaces its files."""

  def __init__(self, folder: pathlib.Path, task: Task):
    """Writes nothing yet.

    Args:
      folder: folder to write to, created with the first picture.
      task: the task.
    """
    self._folder, self._task = folder, task

  def on_pictures(self, pictures: RoundPictures) -> None:
    """Writes `SYSTEM_seedS_roundR_NAME.png`, a grid, for each name.

    Small images are enlarged; each pixel becomes a square.
    """
    from PIL import Image

    for name, of in pictures.images.items():
      times = max(1, _LEAST_SIDE // max(of.shape[1:3]))
      page = sheet(of).repeat(times, axis=0).repeat(times, axis=1)
      with files.replacing(self._path(pictures, name)) as partial:
        Image.fromarray(page).save(partial, format='png')

  def on_made(self, made: RoundMade) -> None:
    """Writes `SYSTEM_seedS_roundR_asked_sheet.png`: queries and answers."""
    if not made.ids:
      return
    # Deferred because importing Matplotlib takes seconds.
    from al_jax import plotting

    answers = [
      self._task.spell(target) if is_valid else 'invalid'
      for target, is_valid in zip(made.targets, made.is_valid, strict=True)
    ]
    begins = range(0, len(answers), _COLUMNS)
    rows = [slice(begin, begin + _COLUMNS) for begin in begins]
    invalid = np.count_nonzero(~made.is_valid)
    plotting.gallery(
      [made.inputs[row] for row in rows],
      [answers[row] for row in rows],
      self._path(made, 'asked_sheet'),
      row_titles=[
        _places(row.start + 1, min(row.stop, len(answers))) for row in rows
      ],
      columns=_COLUMNS,
      title=f'{made.system}, seed {made.seed}, round {made.round}',
      subtitle=f'Made queries, the best first, and their answers; {invalid} of '
      f'{len(answers)} are invalid.',
    )

  def _path(self, of, name):
    """Returns the path of a round's picture."""
    workdir.refuse_link(self._folder)
    self._folder.mkdir(exist_ok=True)
    return (
      self._folder / f'{of.system}_seed{of.seed}_round{of.round}_{name}.png'
    )


def _places(first, last):
  """Names the queries in a row of a sheet."""
  return f'query {first}' if first == last else f'queries {first}-{last}'


def sheet(images: np.ndarray) -> np.ndarray:
  """Arranges images by rows in a grid, about as wide as high.

  Args:
    images: uint8, or floats from 0 to 1, [n, height, width] or [n, height,
      width, 1 or 3].

  Returns:
    uint8 [height, width] or [height, width, 3]; a white line of one pixel
    separates the images, and the rest of the last row is white.
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
