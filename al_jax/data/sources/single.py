"""Reads single arrays: .npy, .npz, .safetensors, .parquet and text files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from al_jax import errors
from al_jax.data.sources import arrays, delimited, parquet_arrays

# Name of a column of ids, also in files that this library writes.
ID = 'id'
_TEXT = ('.csv', '.tsv', '.txt')
# Types of .safetensors files that NumPy or JAX has; little-endian.
_SAFETENSORS_TYPES = {
  'F64': np.dtype('<f8'),
  'F32': np.dtype('<f4'),
  'F16': np.dtype('<f2'),
  'BF16': np.dtype(jnp.bfloat16),
  'I64': np.dtype('<i8'),
  'I32': np.dtype('<i4'),
  'I16': np.dtype('<i2'),
  'I8': np.dtype('i1'),
  'U8': np.dtype('u1'),
  'BOOL': np.dtype('?'),
}
_KEYED = ('.npz', '.safetensors')


def read_numbers(where: str) -> np.ndarray:
  """Reads an array of numbers.

  Args:
    where: path of a file. .npy and .safetensors are memory-mapped; .npz and
      .safetensors need `:KEY` after the path if they have several arrays.
      .parquet is decoded into a temporary file, which is mapped; `:COLUMN`
      names a column of lists. .csv, .tsv and .txt must have only columns of
      numbers, with or without a header.

  Returns:
    The array; from text, float32 [N, D].

  Raises:
    FileNotFoundError: If there is no such file.
    ValueError: If there is no such array, or the file is not readable.
  """
  return _read(where, _numbers_of_text, {'.parquet': parquet_arrays.read})


def read_ids(where: str) -> np.ndarray:
  """Reads ids, or a mask.

  Args:
    where: path of a file of arrays, as for `read_numbers` but not .parquet; or
      of a text file with one id per line, or with a header and a column named
      by `:NAME` after the path, by default `id`.

  Returns:
    [N]; from text, int64 if all ids are whole numbers, else str.

  Raises:
    FileNotFoundError: If there is no such file.
    ValueError: If there is no such array, or the file is not readable.
  """
  return _read(where, _ids_of_text, {})


def alike(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Makes ids from different files comparable; see `read_ids`.

  Args:
    found: ids by any names.

  Returns:
    The ids by the same names. If the ids of one file are text, whole numbers of
    the others become text too: of the ids 007 and 1, a file may have only 1.
  """
  if all(ids.dtype.kind not in 'SU' for ids in found.values()):
    return dict(found)
  return {
    name: ids.astype(str) if ids.dtype.kind in 'iu' else ids
    for name, ids in found.items()
  }


def _read(
  where: str, of_text: Callable, others: Mapping[str, Callable]
) -> np.ndarray:
  path, key = _split(where)
  suffix = path.suffix.lower()
  known = '.npy', *_KEYED, *others, *_TEXT
  if suffix not in known:
    raise ValueError(
      f'{path} has the extension {suffix!r}; it must be one of '
      f'{", ".join(known)}. np.save writes .npy.'
    )
  if suffix in _TEXT:
    return of_text(path, key)
  if suffix in others:
    return others[suffix](path, key)
  if suffix == '.npz':
    with arrays.open_npz(path) as archive:
      return arrays.member(path, archive, _key(path, key, archive.files))
  if suffix == '.safetensors':
    return _safetensor(path, key)
  if key is not None:
    raise ValueError(f'{where}: a .npy file has no key; it has one array.')
  try:
    return np.load(path, mmap_mode='r', allow_pickle=False)
  except (ValueError, EOFError) as error:
    raise ValueError(f'{path} is not a readable .npy file: {error}') from error


def _split(where: str) -> tuple[Path, str | None]:
  """Returns the path and the key after it, or None."""
  if not Path(where).expanduser().exists() and ':' in where:
    path, _, key = where.rpartition(':')
    return Path(path).expanduser(), key
  return Path(where).expanduser(), None


def _key(path, key, there):
  if key is None and len(there) != 1:
    raise ValueError(
      f'{path} has {len(there)} arrays; name one: {path}:KEY. Keys: '
      f'{", ".join(there) or "none"}.'
    )
  return there[0] if key is None else key


def _safetensor(path, key):
  with errors.needs('a .safetensors file'):
    import safetensors
  try:
    # The library checks the file, but it can only read whole arrays, so we
    # memory-map the array ourselves.
    with safetensors.safe_open(path, framework='flax') as file:
      key = _key(path, key, list(file.keys()))
      errors.check_name(f'{path}: the key', key, file.keys())
      dtype = file.get_slice(key).get_dtype()
      if dtype not in _SAFETENSORS_TYPES:
        return np.asarray(file.get_tensor(key))
    return _mapped_safetensor(path, key, _SAFETENSORS_TYPES[dtype])
  except safetensors.SafetensorError as error:
    raise ValueError(
      f'{path} is not a readable .safetensors file: {error}'
    ) from error


def _mapped_safetensor(path, key, dtype):
  """Memory-maps an array; a file is 8 bytes, a JSON header, and the arrays."""
  with path.open('rb') as file:
    size = int.from_bytes(file.read(8), 'little')
    of_array = json.loads(file.read(size))[key]
  start, stop = of_array['data_offsets']
  shape = tuple(of_array['shape'])
  if start == stop:
    return np.zeros(shape, dtype)  # An empty range cannot be mapped.
  return np.memmap(path, dtype, 'r', 8 + size + start, shape)


def _numbers_of_text(path, key):
  if key is not None:
    raise ValueError(
      f'{path}:{key} names a column, but all columns are read; leave it out.'
    )
  table = delimited.open_csv(path)
  for name in table.names:
    if name == ID or not name or name.startswith('Unnamed:'):
      raise ValueError(
        f'{path} has the column {name!r}, which looks like ids; save ids in a '
        'separate file.'
      )
  try:
    return table.read(range(len(table.names)), [])[0]
  except ValueError as error:
    # The reader suggests options of data sets, which do not exist here.
    raise ValueError(str(error).partition(' The option')[0]) from error


def _ids_of_text(path, key):
  """Reads a column of text: the named one, `id`, or the only one."""
  names = delimited.open_csv(path, header=True).names
  wanted = ID if key is None and ID in names else key
  if wanted is None and len(names) > 1:
    raise ValueError(
      f'{path} has {len(names)} columns and none is called {ID!r}; name one: '
      f'{path}:COLUMN.'
    )
  if wanted is not None:
    errors.check_name(f'{path}: the column', wanted, names)
  table = delimited.open_csv(path, header=wanted is not None)
  column = 0 if wanted is None else names.index(wanted)
  rest = [at for at in range(len(names)) if at != column]
  found = table.read([], [column, *rest])[1][0].astype(str)
  try:
    numbers = found.astype(np.int64)
  except (ValueError, OverflowError):
    return found
  # Ids such as 007 stay text, since a number would lose the zeros.
  return numbers if (numbers.astype(str) == found).all() else found
