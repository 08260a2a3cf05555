"""Reads folders of picture files as uint8 arrays, with Pillow."""

import concurrent.futures
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL.Image

from al_jax import errors
from al_jax.data import splits
from al_jax.data.dataset import RawData
from al_jax.data.sources import _picture_files

_UNLABELED = ('refuse', 'drop')

# Pillow's modes of at most one byte per channel, which fit into uint8.
_GREY_MODES = ('1', 'L', 'LA')
_COLOUR_MODES = ('P', 'PA', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr')
MODE_OF_CHANNELS = {1: 'L', 3: 'RGB', 4: 'RGBA'}
DECODE_ERRORS = (
  OSError,
  SyntaxError,  # raised by Pillow for a broken PNG chunk
  ValueError,
  PIL.Image.DecompressionBombError,
)
_TOO_LARGE = (
  PIL.Image.DecompressionBombError,
  PIL.Image.DecompressionBombWarning,
)


def read(
  location: str,
  *,
  labels: str | None = None,
  classes: Sequence[str] | None = None,
  unlabeled: str = 'refuse',
  test: str | None = None,
  size: int | Sequence[int] | None = None,
  channels: int | None = None,
  test_fraction: float = 0.1,
  split_seed: int = 0,
  max_train: int | None = 50_000,
) -> RawData:
  """Reads pictures of any format that Pillow supports.

  Without `labels`, the folder has one folder per class; or it has only `train`
  and maybe `test` and `validation` (or `val`), each with one folder per class.
  Files whose names start with a dot or lack a picture's extension are left out.
  With `labels`, a file names pictures and their classes. With `classes`, the
  pictures are unlabelled, and folders have no meaning. Links inside the folder
  raise an error.

  Pictures are greyscale if all files are, and otherwise RGB. Transparency is
  dropped unless `channels=4`. A rotation noted in EXIF is not applied.

  Args:
    location: path of the folder.
    labels: path of a CSV file with the columns `filename` and `label`, or with
      these as the first two columns; picture names are relative to the folder.
      The CSV file is searched in the working directory and in the folder.
    classes: names of the classes, if the pictures are unlabelled.
    unlabeled: treatment of pictures in the folder that `labels` (and `test`) do
      not name: `'refuse'` raises an error, `'drop'` leaves them out and logs
      their number.
    test: a second folder, laid out by class, with the test pictures; or, with
      `labels`, a second CSV file for the same folder.
    size: (height, width), or one number for both, to resize to (bilinear,
      antialiased). If None, all pictures must have one size.
    channels: number of channels to convert to: 1, 3 or 4. If None, 1 if all
      pictures are greyscale, else 3.
    test_fraction: share to hold out if there is no test split.
    split_seed: seed of the shuffle if there is no test split.
    max_train: maximum number of training examples if there is no test split.
      If None, all that are left.

  Returns:
    RawData; ids are paths relative to the folder.

  Raises:
    FileNotFoundError: If the folder or a file does not exist.
    ValueError: If a file cannot be decoded, differs in size from the others, is
      a link, lies outside the folder, or has no label.
  """
  folder = Path(location).expanduser()
  if not folder.is_dir():
    raise FileNotFoundError(f'There is no folder {folder}.')
  protocol = splits.SplitProtocol(test_fraction, split_seed, max_train)
  protocol.check()
  height_width = check_size(size)
  if channels not in (None, *MODE_OF_CHANNELS):
    raise ValueError(f'channels={channels!r} must be 1, 3, 4 or None.')
  errors.check_name('unlabeled', unlabeled, _UNLABELED)
  remarks = ()
  task = splits.unlabelled_task(
    classes,
    protocol,
    labels=labels,
    test=test,
    unlabeled=unlabeled != 'refuse' or None,
  )
  if task is not None:
    listings, protocol = {'train': _picture_files.everything(folder)}, None
  elif labels is None:
    if unlabeled != 'refuse':
      raise ValueError(
        f'unlabeled={unlabeled!r} needs the option labels; without it the '
        'folders name the classes of all pictures.'
      )
    listings = _picture_files.by_class(folder, test)
  else:
    listings = {'train': _picture_files.labelled(folder, labels)}
    if test is not None:
      listings['test'] = _picture_files.labelled(folder, test)
    remarks = _picture_files.unlabelled(folder, listings, unlabeled)
  pixels = _decode_all(
    [path for listing in listings.values() for path in listing.paths],
    height_width,
    channels,
  )
  parts, start = {}, 0
  for split, listing in listings.items():
    end = start + len(listing.paths)
    labels_of = None if task is not None else np.asarray(listing.labels)
    ids = np.asarray(listing.ids)
    parts[split] = splits.Part(pixels[start:end], labels_of, ids)
    start = end
  name = folder.resolve().name
  raw = splits.assemble(name, parts, protocol, is_image=True, task=task)
  return raw._replace(remarks=remarks)


def check_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
  """Returns (height, width) of an option, which may be a number or None."""
  if size is None:
    return None
  pair = (size, size) if isinstance(size, int) else tuple(size)
  if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
    raise ValueError(
      f'size={size!r} must be (height, width) or one number, all at least 1.'
    )
  return pair


def _decode_all(
  paths: Sequence[Path],
  height_width: tuple[int, int] | None,
  channels: int | None,
) -> np.ndarray:
  """Decodes pictures to uint8 [N, height, width, channels].

  A first pass over the headers finds a wrong size early and allows decoding
  each picture straight to its place. Pillow decodes without the GIL.
  """
  workers = min(32, 2 * (os.cpu_count() or 1))
  with (
    warnings.catch_warnings(),
    concurrent.futures.ThreadPoolExecutor(workers) as pool,
  ):
    warnings.simplefilter('error', PIL.Image.DecompressionBombWarning)
    headers = list(pool.map(_read_header, paths))
    if height_width is None:
      height_width = headers[0][0]
      for path, (shape, _) in zip(paths, headers, strict=True):
        if shape != height_width:
          raise ValueError(
            f'{path} is {shape[0]} pixels high and {shape[1]} wide, but '
            f'{paths[0]} is {height_width[0]} and {height_width[1]}. The '
            'option size=(height, width) resizes all to one size.'
          )
    if channels is None:
      channels = 1 if all(mode in _GREY_MODES for _, mode in headers) else 3
    pixels = _room_for((len(paths), *height_width, channels))
    mode = MODE_OF_CHANNELS[channels]
    decode = [
      pool.submit(_decode_into, pixels[row], path, mode)
      for row, path in enumerate(paths)
    ]
    try:
      for task in decode:
        task.result()
    finally:
      pool.shutdown(wait=False, cancel_futures=True)
  return pixels


def _room_for(shape: tuple[int, int, int, int]) -> np.ndarray:
  """Allocates uint8 of a shape; raises ValueError if memory is too small."""
  needed = math.prod(shape)
  try:
    # An overcommitting system would grant this and kill the process later.
    if needed > os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'):
      raise MemoryError
    return np.empty(shape, np.uint8)
  except MemoryError as error:
    number, height, width, channels = shape
    raise ValueError(
      f'{number:,} pictures of size=({height}, {width}) and {channels} '
      f'channels take {needed / 2**30:,.1f} GiB, more than the memory of this '
      'machine; choose a smaller size.'
    ) from error


def _read_header(path: Path) -> tuple[tuple[int, int], str]:
  """Returns (height, width) and Pillow's mode."""
  if not path.is_file():
    # Opening a pipe would hang.
    raise ValueError(f'{path} is not a readable picture: it is not a file.')
  try:
    with PIL.Image.open(path) as image:
      width, height = image.size
      mode = image.mode
  except _TOO_LARGE as error:
    raise ValueError(
      f'{path} has more than {PIL.Image.MAX_IMAGE_PIXELS:,} pixels, the limit '
      'for decoding; scale it down first.'
    ) from error
  except DECODE_ERRORS as error:
    raise ValueError(f'{path} is not a readable picture: {error}') from error
  if mode not in _GREY_MODES + _COLOUR_MODES:
    raise ValueError(
      f'{path} has pixels of mode {mode!r}, which are not 8-bit. Convert it '
      "to 8 bits, or give the arrays as .npz ('file:PATH')."
    )
  return (height, width), mode


def _decode_into(place: np.ndarray, path: Path, mode: str) -> None:
  """Writes one picture to its place, converted and resized if needed."""
  height, width = place.shape[:2]
  try:
    place[...] = decode(path, mode, (height, width))
  except DECODE_ERRORS as error:
    raise ValueError(f'{path} is not a readable picture: {error}') from error


def decode(
  file: Path | BinaryIO, mode: str, height_width: tuple[int, int] | None
) -> np.ndarray:
  """Decodes a picture of any format that Pillow supports.

  Args:
    file: a path or an open binary file.
    mode: Pillow's mode to convert to.
    height_width: size to resize to, bilinear and antialiased. If None, the size
      does not change.

  Returns:
    uint8[height, width, channels].

  Raises:
    Exception: One of DECODE_ERRORS, if it is not a picture.
  """
  with PIL.Image.open(file) as image:
    picture = image.convert(mode)
  if height_width is not None and picture.size != height_width[::-1]:
    picture = picture.resize(height_width[::-1], PIL.Image.Resampling.BILINEAR)
  width, height = picture.size
  return np.asarray(picture).reshape(height, width, -1)
