"""Published weights of a network from a file, as arrays by name."""

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
# What DataParallel puts before the names of a network.
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
  """Reads the tensors of a file; the content decides which format it has.

  Nothing of the file is executed, and PyTorch is not needed.

  Args:
    path: A .safetensors, a .npz, or a PyTorch state dict, alone or under a key
      such as `state_dict` of a checkpoint. Of a checkpoint, all but the one
      mapping that holds tensors is ignored.

  Returns:
    Arrays by name, without the prefix `module.` if all names have it. Floats
    are float32; integers and bools keep their dtype.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: The file is none of these, is damaged, holds anything but
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
    path: of the file.

  Returns:
    Arrays by name.

  Raises:
    ValueError: the file is no such file, or is damaged.
  """
  with errors.needs('a .safetensors file'):
    import safetensors
  # Its readers for NumPy and JAX lack bfloat16 and int64.
  try:
    found = safetensors.deserialize(path.read_bytes())
  except safetensors.SafetensorError as error:
    raise ValueError(
      f'{path} is not a readable .safetensors file: {errors.clause(error)}.'
    ) from error
  return {name: _safetensor(path, name, tensor) for name, tensor in found}


def _reader(path):
  """Tells the format by how the file begins."""
  with path.open('rb') as file:
    start = file.read(512)
  size = path.stat().st_size
  if not start:
    raise ValueError(f'{path} is empty; download it again.')
  # The length of a JSON object comes first, and may begin like the others.
  header = int.from_bytes(start[:8], 'little')
  if start[8:9] == b'{' and header <= size - 8:
    return read_safetensors
  if start.startswith(state_dicts.ZIP):
    return state_dicts.read if _is_state_dict(path) else _read_npz
  if start.startswith(_PICKLE):
    return state_dicts.read
  if start.startswith(_GIT_LFS):
    raise ValueError(
      f'{path} is a pointer of Git LFS in place of the file; fetch the file '
      'with git lfs pull, or download it by itself.'
    )
  if start.lstrip(b'\xef\xbb\xbf \t\r\n').lower().startswith(_PAGES):
    raise ValueError(
      f'{path} is a web page and no weights; download the file that the page '
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
  """Float32 of floats; integers and bools as they are."""
  if values.dtype.kind in 'biu':
    return values
  if values.dtype.kind != 'f' and values.dtype != ml_dtypes.bfloat16:
    raise ValueError(
      f'{path}: {name!r} has the dtype {values.dtype}; it must be of numbers.'
    )
  try:
    with np.errstate(over='raise'):
      return values.astype(np.float32, copy=False)
  except FloatingPointError as error:
    raise ValueError(
      f'{path}: {name!r} has values that no float32 can hold.'
    ) from error
