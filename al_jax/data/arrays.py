"""Data sets in NumPy's files: one .npz, or several .npy."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from al_jax import errors
from al_jax.data import splits

# What inputs and targets are called in .npz files, in the order of trying.
_PAIRS = (
    ('x', 'y'),
    ('X', 'y'),
    ('images', 'labels'),
    ('inputs', 'targets'),
    ('data', 'target'),
    ('data', 'labels'),
    ('features', 'labels'),
)
# A split, and the word for it in a key.
_SPLIT_WORDS = (
    ('train', 'train'),
    ('test', 'test'),
    ('validation', 'validation'),
    ('validation', 'val'),
)
_CHANNELS = (1, 3, 4)


def _read_npz(
    path: Path, *, inputs, targets, test_inputs, test_targets, ids
) -> tuple[dict[str, splits.Part], Sequence[str] | None]:
  """Splits by name, and the class names if the file has them."""
  try:
    with np.load(path, allow_pickle=False) as archive:
      keys = {'train': (inputs, targets), 'test': (test_inputs, test_targets)}
      keys = _choose_keys(path, keys, archive.files)
      parts = {
          split: splits.Part(*(_member(path, archive, key) for key in pair))
          for split, pair in keys.items()
      }
      if ids is not None:
        named = _member(path, archive, ids)
        parts['train'] = parts['train']._replace(ids=named)
      names = None
      if 'class_names' in archive.files:
        names = _member(path, archive, 'class_names').astype(str).tolist()
  except (zipfile.BadZipFile, EOFError, OSError) as error:
    raise ValueError(f'{path} is not a readable .npz file: {error}') from error
  return parts, names


def _choose_keys(
    path: Path, asked: dict[str, tuple], there: Sequence[str]
) -> dict[str, tuple[str, str]]:
  """The pair of keys of each split: as asked, or else by their usual names."""
  chosen = {}
  for split, pair in asked.items():
    if any(pair) and not all(pair):
      prefix = '' if split == 'train' else 'test_'
      raise ValueError(
          f'{path}: {prefix}inputs and {prefix}targets go together; given are '
          f'{pair[0]!r} and {pair[1]!r}. Keys of the file: {", ".join(there)}.'
      )
    if all(pair):
      chosen[split] = pair
  if chosen:
    if 'train' not in chosen:
      raise ValueError(f'{path}: test_inputs needs inputs and targets as well.')
    return chosen
  for x, y in _PAIRS:
    for pattern in ('{0}_{1}', '{1}_{0}'):
      found = {
          split: (pattern.format(x, word), pattern.format(y, word))
          for split, word in (
              ('train', 'train'),
              ('test', 'test'),
              ('validation', 'validation'),
              ('validation', 'val'),
          )
          if {pattern.format(x, word), pattern.format(y, word)} <= set(there)
      }
      if {'train', 'test'} <= set(found):
        return found
    if {x, y} <= set(there):
      return {'train': (x, y)}
  raise ValueError(
      f'{path} has none of the usual pairs of keys (x and y, x_train and '
      'y_train, ...). Name them with inputs and targets; keys of the file: '
      f'{", ".join(there)}.'
  )


def _member(path: Path, archive, key: str) -> np.ndarray:
  """One array of an .npz file."""
  if key not in archive.files:
    raise errors.unknown_name(f'{path}: the key', key, archive.files)
  try:
    return archive[key]
  except ValueError as error:
    raise ValueError(f'{path}: the array {key!r}: {error}') from error


def _read_npy(
    path: Path, *, targets, test_inputs, test_targets, ids
) -> tuple[dict[str, splits.Part], None]:
  """Files of one array each; inputs stay on disk until rows are taken."""
  if targets is None:
    raise ValueError(f"{path} needs targets='...npy', the file of the targets.")
  if (test_inputs is None) != (test_targets is None):
    raise ValueError(
        f'test_inputs={test_inputs!r} and test_targets={test_targets!r} go '
        'together.'
    )
  parts = {
      'train': splits.Part(
          _open_npy(path, path),
          _open_npy(path, targets),
          None if ids is None else _open_npy(path, ids),
      )
  }
  if test_inputs is not None:
    parts['test'] = splits.Part(
        _open_npy(path, test_inputs), _open_npy(path, test_targets)
    )
  return parts, None


def _open_npy(beside: Path, location: str | Path) -> np.ndarray:
  """A memory-mapped array; a relative path also counts from `beside`."""
  path = _second_file(beside, location)
  try:
    return np.load(path, mmap_mode='r', allow_pickle=False)
  except (ValueError, EOFError) as error:
    raise ValueError(f'{path} is not a readable .npy file: {error}') from error


def _second_file(beside: Path, location: str | Path) -> Path:
  """A file that an option names, relative to here or to the first file."""
  path = Path(location).expanduser()
  for candidate in (path, beside.parent / path):
    if candidate.is_file():
      return candidate
  raise FileNotFoundError(
      f'There is no file {path}, neither in the working directory nor beside '
      f'{beside}.'
  )


def _as_inputs(path: Path, inputs: np.ndarray) -> np.ndarray:
  """uint8 or float32, [N, D] or [N, H, W, channels]."""
  if inputs.dtype.kind not in 'biuf':
    raise ValueError(
        f'{path}: inputs of type {inputs.dtype} where numbers are needed.'
    )
  if inputs.ndim == 3:
    inputs = inputs[..., np.newaxis]
  if inputs.ndim not in (2, 4) or 0 in inputs.shape:
    raise ValueError(
        f'{path}: inputs have shape {list(inputs.shape)}; allowed are [N, D], '
        '[N, H, W] and [N, H, W, channels], none of them 0.'
    )
  if inputs.ndim == 4 and inputs.shape[-1] not in _CHANNELS:
    raise ValueError(
        f'{path}: images have shape {list(inputs.shape)}; channels come last '
        f'and are 1, 3 or 4 (np.moveaxis(images, 1, -1) moves them there).'
    )
  return inputs if inputs.dtype == np.uint8 else inputs.astype(np.float32)
