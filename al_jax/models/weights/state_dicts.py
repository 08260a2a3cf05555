"""Reads files of `torch.save` without PyTorch and without unpickling."""

import errno
import functools
import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from al_jax import errors
from al_jax.models.weights import pickles

# First bytes of a zip archive.
ZIP = b'PK\x03\x04'
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
# Keys under which checkpoints keep the state dict.
_NESTED = (
  'ema',
  'model',
  'model_ema',
  'model_state',
  'model_state_dict',
  'module',
  'net',
  'network',
  'params',
  'state_dict',
  'state_dict_ema',
  'weights',
)
# Tensors may share a storage, but a small file must not fill the memory.
_MOST_COPIES = 4
_MOST_AXES = 32
_BIG_ENDIAN = (
  'was written on a big-endian machine; load it with PyTorch and save its '
  'tensors as .npz'
)
_DAMAGE = (
  ArithmeticError,
  EOFError,
  LookupError,
  MemoryError,
  RuntimeError,
  TypeError,
  ValueError,
  struct.error,
  zipfile.BadZipFile,
)


def read(path: Path) -> dict[str, np.ndarray]:
  """Reads the tensors of a state dict, alone or in a checkpoint.

  Args:
    path: path of a file that `torch.save` wrote, as a zip archive or in the
      format before version 1.6.

  Returns:
    Arrays by name, in the order of the file; dtypes are those of the file.

  Raises:
    ValueError: If the file is damaged, asks for anything but tensors, or holds
      several state dicts.
  """
  try:
    with path.open('rb') as file:
      is_zip = file.read(len(ZIP)) == ZIP
    return (_read_zip if is_zip else _read_legacy)(path)
  except pickles.RefusalError as refusal:
    raise ValueError(f'{path} {refusal}.') from refusal
  except (*_DAMAGE, OSError) as error:
    # `zipfile` seeks to any offset in an archive; EINVAL means a bad one.
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
      raise
    raise ValueError(
      f'{path} is damaged or incomplete ({errors.clause(error)}); download it '
      'again.'
    ) from error


def _read_zip(path):
  size = path.stat().st_size
  with zipfile.ZipFile(path) as archive:
    entries = {entry.filename: entry for entry in archive.infolist()}
    (folder,) = {
      name.removesuffix('data.pkl')
      for name in entries
      if name.endswith('/data.pkl')
    }
    if f'{folder}constants.pkl' in entries:
      raise pickles.RefusalError(f'is a TorchScript program; {pickles.RESAVE}')
    if any(entry.compress_type for entry in entries.values()):
      raise pickles.RefusalError(
        'has compressed entries, which torch.save never writes; '
        f'{pickles.RESAVE}'
      )
    if sum(entry.file_size for entry in archive.infolist()) > size:
      raise ValueError('entries are larger than the file')
    order = f'{folder}byteorder'
    if order in entries and archive.read(order) != b'little':
      raise pickles.RefusalError(_BIG_ENDIAN)
    saved = pickles.Pickle().follow(
      io.BytesIO(archive.read(f'{folder}data.pkl'))
    )

    @functools.cache
    def load(storage):
      return np.frombuffer(
        archive.read(f'{folder}data/{storage.key}'), np.uint8
      )

    return _arrays(_choose(saved), load, size)


def _read_legacy(path):
  """Reads the pickles in sequence, then the storages after them."""
  pickle = pickles.Pickle()
  with path.open('rb') as file:
    if pickle.follow(file) != _MAGIC:
      raise pickles.RefusalError(
        f'is a pickle, but not of torch.save; {pickles.RESAVE}'
      )
    version, system = pickle.follow(file), pickle.follow(file)
    if version != _PROTOCOL:
      raise pickles.RefusalError(
        f'has version {version!r} of its format, but only {_PROTOCOL} can be '
        f'read; {pickles.RESAVE}'
      )
    if system['little_endian'] is not True:
      raise pickles.RefusalError(_BIG_ENDIAN)
    saved = pickle.follow(file)
    keys = pickle.follow(file)
    at = file.tell()
  content = np.memmap(path, np.uint8, mode='r')
  storages = {}
  for key in keys:
    storage = pickle.storages[pickles.checked(key, str)]
    (count,) = struct.unpack('<q', content[at : at + 8].tobytes())
    if count != storage.count:
      raise ValueError(f'storage {key!r} does not have its announced size')
    at += 8
    storages[storage] = content[at : at + count * storage.dtype.itemsize]
    at += count * storage.dtype.itemsize
  return _arrays(_choose(saved), storages.__getitem__, len(content))


def _choose(saved: object) -> dict[str, pickles.Tensor]:
  """Finds the state dict: the saved mapping itself, or one inside it."""
  if not isinstance(saved, dict):
    raise pickles.RefusalError(f'holds no names of tensors; {pickles.RESAVE}')
  own = _tensors_of(saved)
  # The same mapping under several names counts once.
  mappings = {
    id(value): (key, value)
    for key, value in saved.items()
    if isinstance(value, dict)
  }
  nested = {
    key: tensors
    for key, value in mappings.values()
    if (tensors := _tensors_of(value))
  }
  known = {key: nested[key] for key in _NESTED if key in nested}
  found = [
    *([own] if own else []),
    *(known or ({} if own else nested)).values(),
  ]
  if not found:
    raise pickles.RefusalError(f'holds no tensors by name; {pickles.RESAVE}')
  if len(found) > 1:
    raise pickles.RefusalError(
      f'holds tensors in several places, among them {sorted(map(str, nested))}'
      '; save the one state dict alone with torch.save'
    )
  for name in found[0]:
    if not isinstance(name, str):
      raise pickles.RefusalError(f'names a tensor {name!r}; names must be text')
  return found[0]


def _tensors_of(mapping):
  return {
    name: value
    for name, value in mapping.items()
    if isinstance(value, pickles.Tensor)
  }


def _arrays(
  tensors: Mapping[str, pickles.Tensor],
  load: Callable[[pickles.Storage], np.ndarray],
  size: int,
) -> dict[str, np.ndarray]:
  """Copies the tensors out of their storages, whose bytes `load` returns."""
  left = _MOST_COPIES * size
  arrays = {}
  for name, tensor in tensors.items():
    for values in (tensor.shape, tensor.strides):
      if len(pickles.checked(values, tuple)) > _MOST_AXES:
        raise ValueError(f'{name!r} has {len(values)} axes')
    numbers = tensor.offset, *tensor.shape, *tensor.strides
    if any(pickles.checked(number, int) < 0 for number in numbers):
      raise ValueError(f'{name!r} has a negative size')
    left -= math.prod(tensor.shape) * tensor.dtype.itemsize
    if left < 0:
      raise pickles.RefusalError(
        f'holds tensors that take more than {_MOST_COPIES} times the size of '
        f'the file; {pickles.RESAVE}'
      )
    arrays[name] = _array(name, tensor, load(tensor.storage))
  return arrays


def _array(name, tensor, content):
  storage = tensor.storage
  if len(content) != storage.count * storage.dtype.itemsize:
    raise ValueError(f'storage {storage.key!r} is cut short or too long')
  if 0 in tensor.shape:
    return np.empty(tensor.shape, tensor.dtype)
  axes = zip(tensor.shape, tensor.strides, strict=True)
  last = tensor.offset + sum((length - 1) * step for length, step in axes)
  item = tensor.dtype.itemsize
  if last >= len(content) // item:
    raise ValueError(f'{name!r} reaches outside its storage')
  values = content[: len(content) // item * item].view(tensor.dtype)
  window = np.lib.stride_tricks.as_strided(
    values[tensor.offset :],
    tensor.shape,
    [step * item for step in tensor.strides],
    writeable=False,
  )
  return window.astype(tensor.dtype.newbyteorder('='), order='C')
