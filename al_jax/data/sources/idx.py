"""Reads arrays from IDX files, the format of MNIST."""

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np

# Keyed by the third byte of a file. Numbers are big-endian.
_TYPES = {
  0x08: 'u1',
  0x09: 'i1',
  0x0B: '>i2',
  0x0C: '>i4',
  0x0D: '>f4',
  0x0E: '>f8',
}
_BLOCK = 1 << 20
# train.idx, train.idx.gz, and MNIST's train-images-idx3-ubyte.gz; some
# unpackers write .idx3 for -idx3.
_NAME = re.compile(r'.*[.-]idx(\d-[a-z]+)?(\.gz)?', re.IGNORECASE)


def is_idx(path: Path) -> bool:
  """Returns whether a file has the name of an IDX file."""
  return _NAME.fullmatch(path.name) is not None


def read_idx(path: Path) -> np.ndarray:
  """Reads the array of an IDX file.

  Args:
    path: the file, plain or compressed by gzip.

  Returns:
    The array, in native byte order.

  Raises:
    ValueError: If it is not an IDX file, or not a complete one.
  """
  try:
    with path.open('rb') as file:
      is_compressed = file.read(2) == b'\x1f\x8b'
    with (gzip.open if is_compressed else open)(path, 'rb') as file:
      zeros, code, num_axes = struct.unpack('>HBB', file.read(4))
      if zeros or code not in _TYPES:
        raise ValueError('it does not begin with an IDX header')
      shape = struct.unpack(f'>{num_axes}I', file.read(4 * num_axes))
      dtype = np.dtype(_TYPES[code])
      size = math.prod(shape) * dtype.itemsize
      content = bytearray()
      # Read in blocks: a damaged header may claim a huge array.
      while len(content) <= size and (block := file.read(_BLOCK)):
        content += block
  except (struct.error, ValueError, EOFError, OSError, zlib.error) as error:
    raise ValueError(f'{path} is not a readable IDX file: {error}.') from error
  if len(content) != size:
    raise ValueError(
      f'{path} is not a readable IDX file: an array of shape {list(shape)} '
      f'takes {size:,} bytes, and it has '
      f'{"more" if len(content) > size else f"{len(content):,}"}.'
    )
  values = np.frombuffer(content, dtype).reshape(shape)
  return values.astype(dtype.newbyteorder('='), copy=False)
