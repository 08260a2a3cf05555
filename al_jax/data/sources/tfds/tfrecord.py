"""TFRecord files without TensorFlow: length-prefixed, checksummed records.

A record is its length (uint64), the masked CRC-32C of the length, the bytes,
and the masked CRC-32C of the bytes, all little-endian.
"""

import pathlib
import struct

import numpy as np

from al_jax.data.sources.tfds.crc32c import crc32c

_HEADER = struct.Struct('<QI')
_FOOTER = struct.Struct('<I')


def _mask(sums: np.ndarray) -> np.ndarray:
  """What TFRecord stores for a sum: rotated, and moved by a constant."""
  rotated = (sums >> 15) | (sums << 17)
  return rotated + np.uint32(0xA282EAD8)


def _broken(path: pathlib.Path, what: str) -> ValueError:
  return ValueError(
    f'{path} is damaged: {what}. Copy or prepare the data set again.'
  )


def read_records(
  path: pathlib.Path, *, num_expected: int | None = None
) -> list[memoryview]:
  """All records of a file, checked.

  Args:
    path: a TFRecord file.
    num_expected: how many records there should be; None if nobody knows.

  Returns:
    The records as views of the file's bytes.

  Raises:
    ValueError: the file ends within a record, a checksum is wrong, or there
      are not as many records as expected. The message names the file and the
      first record concerned.
  """
  content = memoryview(path.read_bytes())
  lengths, length_sums, records, record_sums = [], [], [], []
  begin, is_cut_off = 0, False
  while begin < len(content):
    record_begin = begin + _HEADER.size
    if record_begin > len(content):
      is_cut_off = True
      break
    length, length_sum = _HEADER.unpack_from(content, begin)
    lengths.append(content[begin : begin + 8])
    length_sums.append(length_sum)
    begin = record_begin + length + _FOOTER.size
    if begin > len(content):
      is_cut_off = True
      break
    records.append(content[record_begin : record_begin + length])
    record_sums.append(_FOOTER.unpack_from(content, begin - _FOOTER.size)[0])
  # First the sums: a damaged length makes the file look cut off, further on.
  _check_sums(path, 'length', lengths, length_sums)
  _check_sums(path, 'content', records, record_sums)
  if is_cut_off:
    raise _broken(
      path,
      f'it is cut off at byte {len(content)}, within record {len(records)} '
      '(counted from 0)',
    )
  if num_expected is not None and len(records) != num_expected:
    raise _broken(
      path,
      f'it has {len(records)} records where dataset_info.json counts '
      f'{num_expected}',
    )
  return records


def _check_sums(
  path: pathlib.Path, what: str, strings: list[memoryview], sums: list[int]
) -> None:
  """Raises at the first string that does not fit its masked sum."""
  wrong = np.flatnonzero(_mask(crc32c(strings)) != np.array(sums, np.uint32))
  if wrong.size:
    raise _broken(
      path,
      f'the {what} of record {wrong[0]} (counted from 0) does not fit its '
      'checksum',
    )
