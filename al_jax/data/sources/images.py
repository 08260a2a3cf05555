"""Folders of picture files -> uint8 arrays, decoded by Pillow."""

import concurrent.futures
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import PIL.Image

from al_jax.data import splits
from al_jax.data.dataset import RawData
from al_jax.data.sources import tables

_SPLIT_FOLDERS = {
  'train': 'train',
  'test': 'test',
  'validation': 'validation',
  'val': 'validation',
}
# Pillow's modes with one byte per channel, which convert without loss of range.
_GREY_MODES = ('1', 'L', 'LA')
_COLOUR_MODES = ('P', 'PA', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr')
MODE_OF_CHANNELS = {1: 'L', 3: 'RGB', 4: 'RGBA'}
DECODE_ERRORS = (
  OSError,
  SyntaxError,  # Pillow's word for a broken PNG chunk
  ValueError,
  PIL.Image.DecompressionBombError,
)


class _Listing(NamedTuple):
  """The picture files of one split, with their labels and their names."""

  paths: list[Path]
  labels: list[str]
  ids: list[str]


def read(
  location: str,
  *,
  labels: str | None = None,
  test: str | None = None,
  size: int | Sequence[int] | None = None,
  channels: int | None = None,
  test_fraction: float = 0.1,
  split_seed: int = 0,
  max_train: int | None = 50_000,
) -> RawData:
  """Reads pictures of any format that Pillow knows.

  Without `labels`, the folder has one folder per class; or it has `train` and
  maybe `test` and `validation` (or `val`), and nothing else, with one folder
  per class in each. Files whose names start with a dot or do not end like a
  picture's are left out. With `labels`, a file says what is what.

  Pictures are greyscale if all are, and otherwise RGB; transparency is dropped
  unless `channels=4` asks for it. A rotation noted in EXIF is not applied.

  Args:
    location: the folder.
    labels: a CSV file: the columns `filename` and `label`, or the first two;
      names are relative to the folder. The file itself is looked for in the
      working directory and in the folder.
    test: where the test pictures are: a second folder laid out by class, or,
      with `labels`, a second such file for the same folder.
    size: (height, width), or one number for both, to resize to (bilinear,
      antialiased). None: all pictures must have one size.
    channels: 1, 3 or 4 to convert to; None: 1 if all are greyscale, else 3.
    test_fraction: of a source without a test split: the part held out.
    split_seed: likewise: the seed of the shuffle.
    max_train: likewise: the most examples to train on; None: all.

  Returns:
    RawData; ids are paths relative to the folder.

  Raises:
    FileNotFoundError: no such folder or file.
    ValueError: a file cannot be decoded, or differs in size from the others.
  """
  folder = Path(location).expanduser()
  if not folder.is_dir():
    raise FileNotFoundError(f'There is no folder {folder}.')
  protocol = splits.SplitProtocol(test_fraction, split_seed, max_train)
  protocol.check()
  height_width = check_size(size)
  if channels not in (None, *MODE_OF_CHANNELS):
    raise ValueError(f'channels={channels!r} must be 1, 3, 4 or None.')
  if labels is None:
    listings = _list_class_folders(folder, test)
  else:
    listings = {'train': _list_labelled(folder, labels)}
    if test is not None:
      listings['test'] = _list_labelled(folder, test)
  pixels = _decode_all(
    [path for listing in listings.values() for path in listing.paths],
    height_width,
    channels,
  )
  parts, start = {}, 0
  for split, listing in listings.items():
    end = start + len(listing.paths)
    parts[split] = splits.Part(
      pixels[start:end], np.asarray(listing.labels), np.asarray(listing.ids)
    )
    start = end
  name = folder.resolve().name
  return splits.assemble(name, parts, protocol, is_image=True)


def check_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
  """(height, width) of an option, which may be one number; or None."""
  if size is None:
    return None
  pair = (size, size) if isinstance(size, int) else tuple(size)
  if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
    raise ValueError(
      f'size={size!r} must be (height, width) or one number, all at least 1.'
    )
  return pair


def _list_class_folders(folder: Path, test: str | None) -> dict[str, _Listing]:
  """The splits of a folder that is laid out by class."""
  inside = {path.name for path in folder.iterdir() if path.is_dir()}
  inside = {name for name in inside if not name.startswith('.')}
  # Folders train and car are two classes; train and test are two splits, if
  # what is in them are folders.
  is_split = (
    'train' in inside
    and inside <= set(_SPLIT_FOLDERS)
    and any(path.is_dir() for path in (folder / 'train').iterdir())
  )
  if not is_split:
    listings = {'train': _list_by_class(folder, folder)}
  else:
    listings = {
      _SPLIT_FOLDERS[name]: _list_by_class(folder / name, folder)
      for name in sorted(inside)
    }
  if test is not None:
    if 'test' in listings:
      raise ValueError(f'test={test!r}: {folder} has a folder test already.')
    test_folder = Path(test).expanduser()
    if not test_folder.is_dir():
      raise FileNotFoundError(f'test: there is no folder {test_folder}.')
    listings['test'] = _list_by_class(test_folder, test_folder.parent)
  return listings


def _list_by_class(folder: Path, root: Path) -> _Listing:
  """Pictures below the class folders in `folder`, in the order of names."""
  classes = sorted(
    path
    for path in folder.iterdir()
    if path.is_dir() and not path.name.startswith('.')
  )
  if not classes:
    raise ValueError(
      f'{folder} has no folders, one for each class. If a file says what is '
      'in each picture, name it with the option labels.'
    )
  extensions = _readable_extensions()
  listing = _Listing([], [], [])
  for class_folder in classes:
    pictures = sorted(
      path
      for path in class_folder.rglob('*')
      if path.suffix.lower() in extensions and not path.name.startswith('.')
    )
    if not pictures:
      raise ValueError(f'The class folder {class_folder} has no picture in it.')
    listing.paths.extend(pictures)
    listing.labels.extend([class_folder.name] * len(pictures))
    listing.ids.extend(path.relative_to(root).as_posix() for path in pictures)
  return listing


def _readable_extensions() -> set[str]:
  """Of all formats that Pillow reads; it writes others, such as PDF."""
  return {
    extension
    for extension, kind in PIL.Image.registered_extensions().items()
    if kind in PIL.Image.OPEN
  }


def _list_labelled(folder: Path, labels: str) -> _Listing:
  """The pictures that a labels file names."""
  candidates = [Path(labels).expanduser(), folder / labels]
  found = next((path for path in candidates if path.is_file()), None)
  if found is None:
    raise FileNotFoundError(
      f'There is no labels file {labels}, neither in the working directory '
      f'nor in {folder}.'
    )
  table = tables.open_csv(found, header=True)
  if (folder / table.names[0]).is_file():
    table = tables.open_csv(found, header=False)
  columns = [0, 1]
  if {'filename', 'label'} <= set(table.names):
    columns = [table.names.index('filename'), table.names.index('label')]
  elif len(table.names) < 2:
    raise ValueError(f'{found} has one column; needed are filename and label.')
  _, (ids, names) = table.read([], columns)
  listing = _Listing([folder / name for name in ids], list(names), list(ids))
  for row, path in enumerate(listing.paths):
    if not path.is_file():
      raise FileNotFoundError(
        f'{found}, row {row} (counted from 0), names {ids[row]!r}; there is '
        f'no file {path}.'
      )
  return listing


def _decode_all(
  paths: Sequence[Path],
  height_width: tuple[int, int] | None,
  channels: int | None,
) -> np.ndarray:
  """uint8 [N, height, width, channels]: headers first, then the pixels.

  Two passes, so that every picture is decoded straight to its place and a
  wrong size is found before much is decoded. Pillow decodes without the GIL.
  """
  workers = min(32, 2 * (os.cpu_count() or 1))
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
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
    pixels = np.empty((len(paths), *height_width, channels), np.uint8)
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


def _read_header(path: Path) -> tuple[tuple[int, int], str]:
  """(height, width) and Pillow's mode."""
  try:
    with PIL.Image.open(path) as image:
      width, height = image.size
      mode = image.mode
  except DECODE_ERRORS as error:
    raise ValueError(f'{path} is not a readable picture: {error}') from error
  if mode not in _GREY_MODES + _COLOUR_MODES:
    raise ValueError(
      f'{path} has pixels of mode {mode!r}, which are not 8-bit. Convert it '
      "to 8 bits, or give the arrays as .npz ('file:PATH')."
    )
  return (height, width), mode


def _decode_into(place: np.ndarray, path: Path, mode: str) -> None:
  """Writes one picture, converted and resized as need be."""
  height, width = place.shape[:2]
  try:
    place[...] = decode(path, mode, (height, width))
  except DECODE_ERRORS as error:
    raise ValueError(f'{path} is not a readable picture: {error}') from error


def decode(
  file: Path | BinaryIO, mode: str, height_width: tuple[int, int] | None
) -> np.ndarray:
  """Pixels of a picture in any format that Pillow knows.

  Args:
    file: a path, or what holds the content of a file.
    mode: Pillow's name of the channels to convert to.
    height_width: what to resize to, bilinear and antialiased; None: as it is.

  Returns:
    uint8[height, width, channels].

  Raises:
    Exception: one of DECODE_ERRORS, if it is no picture.
  """
  with PIL.Image.open(file) as image:
    picture = image.convert(mode)
  if height_width is not None and picture.size != height_width[::-1]:
    picture = picture.resize(height_width[::-1], PIL.Image.Resampling.BILINEAR)
  width, height = picture.size
  return np.asarray(picture).reshape(height, width, -1)
