"""Reads digits and draws the canvases of a data set."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data.dataset import RawData, Split
from al_jax.data.sources import digits as embedded
from al_jax.data.sources.canvases import drawing
from al_jax.tasks import Task

# On smaller canvases digits would be hard to recognise.
_SMALLEST = 32
# Canvases drawn at once; their arrays fit into the processor's cache.
_BLOCK = 128


class _Source(NamedTuple):
  """Source of digits.

  Attributes:
    read: `(data_dir) -> RawData` with classes.
    files: `(data_dir) -> paths`, the files read, for the cache key.
  """

  read: Callable[[str | None], RawData]
  files: Callable[[str | None], Sequence[pathlib.Path]]


def _read_embedded(data_dir):
  if data_dir is not None:
    raise ValueError(
      f'data_dir is {data_dir!r}; it must be None, since scikit-learn has its '
      'digits in the package.'
    )
  return embedded.read()


def _read_mnist(data_dir):
  from al_jax.data.sources import tfds

  return tfds.read('mnist', data_dir=data_dir)


def _files_of_mnist(data_dir):
  from al_jax.data.sources import tfds

  return tfds.ensure_prepared('mnist', data_dir=data_dir)


_SOURCES = {
  'digits': _Source(_read_embedded, lambda data_dir: ()),
  'mnist': _Source(_read_mnist, _files_of_mnist),
}


def files(location: str, options: Mapping[str, Any]) -> Sequence[pathlib.Path]:
  """Lists the files that the digits are read from.

  Args:
    location: name of the digits: `'mnist'` or `'digits'`.
    options: options of `read`.
  """
  errors.check_name('digits', location, _SOURCES)
  return _SOURCES[location].files(options.get('data_dir'))


def read(
  name: str,
  location: str,
  task_of: Callable[[Sequence[str]], Task],
  targets_of: Callable[[drawing.Canvases, np.ndarray], Any],
  *,
  canvas: int,
  clutter: int,
  seed: int,
  train: int | None,
  test: int | None,
  data_dir: str | None,
) -> RawData:
  """Draws the canvases of a data set, one per digit.

  A canvas depends on the seed, the split, the position of its digit in the
  split, and the digits of the split, but not on the number of canvases.

  Args:
    name: name of the data set in log lines.
    location: name of the digits: `'mnist'` or `'digits'`.
    task_of: makes the task from the names of the classes.
    targets_of: makes the targets from canvases and class numbers.
    canvas: width and height of a canvas in pixels.
    clutter: number of pieces of other digits on a canvas.
    seed: seed of all draws.
    train: number of training canvases, one per digit. If None, for all digits.
    test: number of test canvases, one per digit. If None, for all digits.
    data_dir: folder of all TFDS sets, see `tfds.read`; for MNIST only.

  Returns:
    RawData with inputs uint8 [N, H, H, 1] and the ids of the digits.
  """
  errors.check_name('digits', location, _SOURCES)
  errors.check_number('canvas', canvas, int, least=_SMALLEST)
  errors.check_number('clutter', clutter, int, least=0)
  errors.check_number('seed', seed, int, least=0)
  source = _SOURCES[location].read(data_dir)
  splits = {}
  for number, (part, count) in enumerate(
    {'train': train, 'test': test}.items()
  ):
    split = source.parts()[part]
    errors.check_number(
      part, count, int, least=1, most=len(split), optional=True
    )
    count = len(split) if count is None else count
    drawn = _draw_all(
      split, count, (seed, number), size=canvas, clutter=clutter
    )
    targets = targets_of(drawn, split.targets[:count])
    splits[part] = Split(
      drawn.images[..., np.newaxis], targets, split.ids[:count]
    )
  return RawData(
    name=name,
    task=task_of(source.task.class_names),
    is_image=True,
    **splits,
  )


def _draw_all(split, count, key, *, size, clutter):
  """Draws the canvases of the first digits of a split."""
  digits = split.inputs[..., 0]
  found = drawing.Canvases(
    np.empty((count, size, size), np.uint8),
    np.empty((count, 6), np.float32),
    np.empty((count, 4), np.float32),
  )
  # Two streams, so that the clutter does not change how digits lie.
  of_digits, of_pieces = (np.random.default_rng((*key, of)) for of in range(2))
  for start in range(0, count, _BLOCK):
    rows = np.arange(start, min(start + _BLOCK, count))
    draws = drawing.Draws(
      of_digits.random((len(rows), 4)),
      of_pieces.random((len(rows), clutter, 6)),
    )
    drawn = drawing.draw(digits, rows, draws, size=size)
    for whole, part in zip(found, drawn, strict=True):
      whole[rows] = part
  return found
