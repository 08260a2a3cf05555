"""Reads published weights of a network from a file, as arrays by name."""

import pathlib
import zipfile
from collections.abc import Mapping

import ml_dtypes
import numpy as np

from al_jax import errors, files
from al_jax.data.sources import arrays
from al_jax.models.weights import state_dicts

_KINDS = 'a .safetensors, a .npz, or a state dict of PyTorch (.pt, .pth, .bin)'
_PICKLE = b'\x80'
_GIT_LFS = b'version https://git-lfs'
_PAGES = (b'<!doctype', b'<html', b'<?xml')
# Prefix that DataParallel adds to all names.
_WRAPPER = 'module.'
_SAFETENSORS = {
  'BF16': np.dtype(ml_dtypes.bfloat16),
  'BOOL': np.dtype('?'),
  'F16': np.dtype('<f2'),
  'F32': np.dtype('<f4'),
  'F64': np.dtype('<f8'),
  'I16': np.dtype('<i2'),
  'I32': np.dtype('<i4'),
  'I64': np.dtype('<i8'),
  'I8': np.dtype('i1'),
  'U16': np.dtype('<u2'),
  'U32': np.dtype('<u4'),
  'U64': np.dtype('<u8'),
  'U8': np.dtype('u1'),
}


def read(path: files.Path) -> dict[str, np.ndarray]:
  """Reads the tensors of a file, whose format is detected from its content.

  Nothing in the file is executed, and PyTorch is not needed.

  Args:
    path: path of a .safetensors file, a .npz file, or a PyTorch state dict,
      alone or under a key of a checkpoint, such as `state_dict`. The rest of a
      checkpoint is ignored.

  Returns:
    Arrays by name, without the prefix `module.` if all names have it. Floats
    are float32; integers and bools keep their dtype.

  Raises:
    FileNotFoundError: If there is no such file.
    ValueError: If the file has another format, is damaged, holds anything but
      tensors of numbers, or holds several state dicts.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise FileNotFoundError(f'There is no file {path}.')
  tensors = _reader(path)(path)
  if not tensors:
    raise ValueError(f'{path} holds no tensors.')
  if all(len(name) > len(_WRAPPER) for name in tensors) and all(
    name.startswith(_WRAPPER) for name in tensors
  ):
    tensors = {name[len(_WRAPPER) :]: tensors[name] for name in tensors}
  return {name: _as_read(path, name, tensors[name]) for name in tensors}


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads a .safetensors file; every tensor keeps its dtype.

  Args:
    path: path of the file.

  Returns:
    Arrays by name.

  Raises:
    ValueError: If the file is not a .safetensors file, or is damaged.
  """
  with errors.needs('a .safetensors file'):
    import safetensors
  # The package's readers for NumPy and JAX lack bfloat16 and int64.
  try:
    found = safetensors.deserialize(path.read_bytes())
  except safetensors.SafetensorError as error:
    raise ValueError(
      f'{path} is not a readable .safetensors file: {errors.clause(error)}.'
    ) from error
  return {name: _safetensor(path, name, tensor) for name, tensor in found}


def _reader(path):
  """Detects the format from the first bytes, and returns its reader."""
  with path.open('rb') as file:
    start = file.read(512)
  size = path.stat().st_size
  if not start:
    raise ValueError(f'{path} is empty; download it again.')
  # Test safetensors first: it begins with the length of a JSON object, whose
  # bytes may look like those of another format.
  header = int.from_bytes(start[:8], 'little')
  if start[8:9] == b'{' and header <= size - 8:
    return read_safetensors
  if start.startswith(state_dicts.ZIP):
    return state_dicts.read if _is_state_dict(path) else _read_npz
  if start.startswith(_PICKLE):
    return state_dicts.read
  if start.startswith(_GIT_LFS):
    raise ValueError(
      f'{path} is a Git LFS pointer instead of the file; fetch the file with '
      'git lfs pull, or download it directly.'
    )
  if start.lstrip(b'\xef\xbb\xbf \t\r\n').lower().startswith(_PAGES):
    raise ValueError(
      f'{path} is a web page, not weights; download the file that the page '
      'links to.'
    )
  if start[8:9] == b'{' and header < 1 << 32:
    raise ValueError(
      f'{path} is a .safetensors file cut short; download it again.'
    )
  raise ValueError(f'{path} begins with {start[:8]!r}; it must be {_KINDS}.')


def _is_state_dict(path):
  try:
    with zipfile.ZipFile(path) as archive:
      names = archive.namelist()
  except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
    raise ValueError(
      f'{path} is a zip archive cut short or damaged '
      f'({errors.clause(error)}); download it again.'
    ) from error
  if any(name.endswith('/data.pkl') for name in names):
    return True
  if names and all(name.endswith('.npy') for name in names):
    return False
  raise ValueError(
    f'{path} is a zip archive without tensors; it must be {_KINDS}.'
  )


def _read_npz(path):
  with arrays.open_npz(path) as archive:
    return {name: arrays.member(path, archive, name) for name in archive.files}


def _safetensor(path: pathlib.Path, name: str, tensor: Mapping) -> np.ndarray:
  if tensor['dtype'] not in _SAFETENSORS:
    raise ValueError(
      f'{path}: {name!r} has the dtype {tensor["dtype"]}; it must be one of '
      f'{", ".join(_SAFETENSORS)}.'
    )
  values = np.frombuffer(tensor['data'], _SAFETENSORS[tensor['dtype']])
  return values.reshape(tensor['shape'])


def _as_read(path, name, values):
  """Converts floats to float32; integers and bools keep their dtype."""
  if values.dtype.kind in 'biu':
    return values
  if values.dtype.kind != 'f' and values.dtype != ml_dtypes.bfloat16:
    raise ValueError(
      f'{path}: {name!r} has the dtype {values.dtype}; it must be numeric.'
    )
  try:
    with np.errstate(over='raise'):
      return values.astype(np.float32, copy=False)
  except FloatingPointError as error:
    raise ValueError(
      f'{path}: {name!r} has values that float32 cannot hold.'
    ) from error
