"""Reads data sets from files of arrays: one .npz, or several .npy or IDX."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from al_jax import errors
from al_jax.data import splits
from al_jax.data.sources import cells, idx, tables

# Usual keys of inputs and targets in .npz files, in the order of trying.
PAIRS = (
  ('x', 'y'),
  ('X', 'y'),
  ('images', 'labels'),
  ('inputs', 'targets'),
  ('data', 'target'),
  ('data', 'labels'),
  ('features', 'labels'),
)
# Splits, and their names in a key.
_SPLIT_WORDS = (
  ('train', 'train'),
  ('test', 'test'),
  ('validation', 'validation'),
  ('validation', 'val'),
)
_CHANNELS = (1, 3, 4)
_NPY_START = b'\x93NUMPY'


def read_npz(
  path: Path,
  *,
  inputs: str | None,
  targets: str | None,
  test_inputs: str | None,
  test_targets: str | None,
  ids: str | None,
) -> tuple[dict[str, splits.Part], list[str] | None]:
  """Reads the arrays of one .npz file.

  Args:
    path: the file.
    inputs: key of the inputs. If None, usual keys are tried.
    targets: key of the targets.
    test_inputs: key of the test inputs. If None and `inputs` is given, there is
      no test split.
    test_targets: key of the test targets.
    ids: key of the ids of the training examples. If None, row numbers.

  Returns:
    The splits by name; and the array `class_names`, or None.
  """
  asked = {'train': (inputs, targets), 'test': (test_inputs, test_targets)}
  with open_npz(path) as archive:
    keys = _choose_keys(path, asked, archive.files)
    parts = {
      split: splits.Part(
        as_inputs(path, member(path, archive, pair[0])),
        member(path, archive, pair[1]),
      )
      for split, pair in keys.items()
    }
    if ids is not None:
      named = cells.as_ids(member(path, archive, ids), path)
      parts['train'] = parts['train']._replace(ids=named)
    class_names = None
    if 'class_names' in archive.files:
      class_names = member(path, archive, 'class_names').astype(str).tolist()
  return parts, class_names


def open_npz(path: Path) -> np.lib.npyio.NpzFile:
  """Opens an archive without unpacking it."""
  with path.open('rb') as file:
    is_array = file.read(len(_NPY_START)) == _NPY_START
  if is_array:
    raise ValueError(f'{path} holds a single array: it is a .npy file.')
  # NumPy would suggest unpickling such a file.
  if not zipfile.is_zipfile(path):
    raise ValueError(
      f'{path} is not a readable .npz file: it is not a complete zip archive.'
    )
  try:
    return np.load(path, allow_pickle=False)
  except (zipfile.BadZipFile, ValueError, EOFError) as error:
    raise ValueError(f'{path} is not a readable .npz file: {error}') from error


def read_inputs(path: Path, inputs: str | None, ids: str | None) -> splits.Part:
  """Reads unlabelled examples from a file of arrays.

  Args:
    path: path of the file, .npz, .npy or IDX.
    inputs: .npz: key of the inputs. If None, the only array besides `ids`.
    ids: key, or file, of the ids. If None, row numbers.

  Returns:
    The examples, without labels.

  Raises:
    ValueError: If an archive has several arrays and `inputs` is None.
  """
  names = None
  if path.suffix.lower() != '.npz':
    values = _open_array(path, path)
    if ids is not None:
      names = cells.as_ids(_open_array(path, ids), ids)
    return splits.Part(as_inputs(path, values), None, names)
  with open_npz(path) as archive:
    if inputs is None:
      others = [key for key in archive.files if key != ids]
      if len(others) != 1:
        raise ValueError(
          f'{path} has the keys {", ".join(archive.files)}; name the key of '
          'the inputs with the option inputs.'
        )
      (inputs,) = others
    values = member(path, archive, inputs)
    if ids is not None:
      names = cells.as_ids(member(path, archive, ids), path)
  return splits.Part(as_inputs(path, values), None, names)


def _choose_keys(
  path: Path, asked: dict[str, tuple], there: Sequence[str]
) -> dict[str, tuple[str, str]]:
  """Returns the pair of keys of each split, as given or by usual names."""
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
  for pair in PAIRS:
    found = keys_of_splits(pair, there)
    if found:
      return found
  raise ValueError(
    f'{path} has none of the usual pairs of keys (x and y, x_train and '
    'y_train, ...). Name them with inputs and targets; keys of the file: '
    f'{", ".join(there)}.'
  )


def keys_of_splits(
  names: Sequence[str], there: Sequence[str]
) -> dict[str, tuple[str, ...]]:
  """Returns the keys of arrays for each split that has them all.

  Args:
    names: names of the arrays if there is one split.
    there: the keys of the file.

  Returns:
    Keys by split: `x_train` and `x_test`, or `train_x` and `test_x`, maybe with
    those of validation; else `x` as `'train'`; else {}.
  """
  for pattern in ('{0}_{1}', '{1}_{0}'):
    found = {}
    for split, word in _SPLIT_WORDS:
      keys = tuple(pattern.format(name, word) for name in names)
      if set(keys) <= set(there):
        found[split] = keys
    if {'train', 'test'} <= set(found):
      return found
  return {'train': tuple(names)} if set(names) <= set(there) else {}


def member(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
  """Reads one array of an .npz file."""
  if key not in archive.files:
    raise errors.unknown_name(f'{path}: the key', key, archive.files)
  try:
    values = archive[key]
  except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
    raise _unreadable(f'{path}: the array {key!r}', 'array', error) from error
  if not isinstance(values, np.ndarray):
    raise ValueError(f'{path}: {key!r} is not a NumPy array.')
  return values


def _unreadable(what: Path | str, kind: str, error: Exception) -> ValueError:
  """Makes an error; replaces NumPy's advice to unpickle by a remedy."""
  if 'pickle' in str(error) or 'Python objects' in str(error):
    return ValueError(
      f'{what} is of dtype object, which is not supported. Save text as '
      'values.astype(str), and rows of equally many numbers as an array of '
      'numbers.'
    )
  return ValueError(f'{what} is not a readable {kind}: {error}')


def read_separate(
  path: Path,
  *,
  targets: str | None,
  test_inputs: str | None,
  test_targets: str | None,
  ids: str | None,
) -> dict[str, splits.Part]:
  """Opens files of one array each, .npy or IDX.

  uint8 in .npy stays on disk until rows are taken. All files may be relative to
  the working directory or to the folder of `path`.

  Args:
    path: file of the inputs.
    targets: file of the targets.
    test_inputs: file of the test inputs. If None, there is no test split.
    test_targets: file of the test targets.
    ids: file of the ids of the training examples. If None, row numbers.

  Returns:
    The splits by name.
  """
  if targets is None:
    raise ValueError(
      f"{path} needs targets='..{path.suffix or '.'}', the file of the targets."
    )
  if (test_inputs is None) != (test_targets is None):
    raise ValueError(
      f'{path}: test_inputs and test_targets go together; given are '
      f'{test_inputs!r} and {test_targets!r}.'
    )
  files = {'train': (path, targets)}
  if test_inputs is not None:
    files['test'] = (test_inputs, test_targets)
  parts = {
    split: splits.Part(
      as_inputs(pair[0], _open_array(path, pair[0])),
      _open_array(path, pair[1]),
    )
    for split, pair in files.items()
  }
  if ids is not None:
    named = cells.as_ids(_open_array(path, ids), ids)
    parts['train'] = parts['train']._replace(ids=named)
  return parts


def _open_array(beside: Path, location: str | Path) -> np.ndarray:
  """Opens the array of a file; memory-maps .npy."""
  path = find_file(beside, location)
  if idx.is_idx(path):
    return idx.read_idx(path)
  try:
    return np.lib.format.open_memmap(path, mode='r')
  except (ValueError, EOFError) as error:
    raise _unreadable(path, '.npy file', error) from error


def find_file(beside: Path, location: str | Path) -> Path:
  """Finds the file that an option names.

  Args:
    beside: main file of the data set.
    location: path relative to the working directory, or else to the folder of
      `beside`.

  Returns:
    The path of the file.

  Raises:
    FileNotFoundError: If the file is in neither place.
  """
  path = Path(location).expanduser()
  for candidate in (path, beside.parent / path):
    if candidate.is_file():
      return candidate
  raise FileNotFoundError(
    f'There is no file {path}, neither in the working directory nor in '
    f'{beside.parent}.'
  )


def as_inputs(path: str | Path, inputs: np.ndarray) -> np.ndarray:
  """Converts to uint8 or float32, [N, D] or [N, H, W, channels]."""
  if inputs.dtype.kind not in 'biuf':
    raise ValueError(
      f'{path}: inputs of type {inputs.dtype} where numbers are needed.'
    )
  if inputs.ndim == 3:
    inputs = inputs[..., np.newaxis]
  if inputs.ndim not in (2, 4) or 0 in inputs.shape:
    raise ValueError(
      f'{path}: inputs have shape {list(inputs.shape)}; allowed are [N, D], '
      '[N, H, W] and [N, H, W, channels], with no axis of length 0.'
    )
  if inputs.ndim == 4 and inputs.shape[-1] not in _CHANNELS:
    raise ValueError(
      f'{path}: images have shape {list(inputs.shape)}; channels come last '
      'and are 1, 3 or 4 (np.moveaxis(images, 1, -1) moves them there).'
    )
  if inputs.dtype == np.uint8:
    return inputs
  return tables.as_float32(inputs, str(path))


def as_modality(
  where: str, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Converts inputs with `as_inputs`; also returns a mask of presence, bool[N].

  Args:
    where: place of the values, for messages.
    values: [N, ...]. An example with a row of NaN lacks the modality; its row
      becomes zeros.
  """
  inputs = as_inputs(where, values)
  if inputs.dtype == np.uint8:
    return inputs, np.ones(len(inputs), bool)
  rows = inputs.reshape(len(inputs), -1)
  finite = np.isfinite(rows)
  absent = np.isnan(rows).all(axis=1)
  broken = ~finite.all(axis=1) & ~absent
  if broken.any():
    row = int(np.argmax(broken))
    place = np.unravel_index(np.argmin(finite[row]), inputs.shape[1:])
    raise ValueError(
      f'{where} has {inputs[(row, *place)]} in row {row} (counted from 0), at '
      f'{[int(axis) for axis in place]}. A row is finite numbers, or all NaN '
      'where an example lacks the modality.'
    )
  if absent.any():
    inputs[absent] = 0
  return inputs, ~absent
