"""Reads TFRecord files without TensorFlow.

A record is its length (uint64), the masked CRC-32C of the length, the bytes,
and the masked CRC-32C of the bytes, all little-endian.
"""

import pathlib
import struct

import google_crc32c

_HEADER = struct.Struct('<QI')
_FOOTER = struct.Struct('<I')


def _masked_sum(string: bytes | memoryview) -> int:
  """Returns TFRecord's checksum: CRC-32C, rotated, plus a constant."""
  # The library does not accept a memoryview.
  crc = google_crc32c.value(bytes(string))
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _broken(path: pathlib.Path, what: str) -> ValueError:
  return ValueError(
    f'{path} is damaged: {what}. Copy or prepare the data set again.'
  )


def _cut_off(path: pathlib.Path, size: int, record: int) -> ValueError:
  return _broken(
    path,
    f'it is cut off at byte {size}, within record {record} (counted from 0)',
  )


def _wrong_sum(path: pathlib.Path, what: str, record: int) -> ValueError:
  return _broken(
    path,
    f'the {what} of record {record} (counted from 0) does not fit its checksum',
  )


def read_records(
  path: pathlib.Path, *, num_expected: int | None = None
) -> list[memoryview]:
  """Reads and checks all records of a file.

  Args:
    path: a TFRecord file.
    num_expected: expected number of records, or None if unknown.

  Returns:
    The records as views of the file's bytes.

  Raises:
    ValueError: If the file ends within a record, a checksum is wrong, or the
      number of records differs from the expected one. The message names the
      file and the first bad record.
  """
  content = memoryview(path.read_bytes())
  records, begin = [], 0
  while begin < len(content):
    record_begin = begin + _HEADER.size
    if record_begin > len(content):
      raise _cut_off(path, len(content), len(records))
    length, length_sum = _HEADER.unpack_from(content, begin)
    if _masked_sum(content[begin : begin + 8]) != length_sum:
      raise _wrong_sum(path, 'length', len(records))
    record_end = record_begin + length
    begin = record_end + _FOOTER.size
    if begin > len(content):
      raise _cut_off(path, len(content), len(records))
    record = content[record_begin:record_end]
    if _masked_sum(record) != _FOOTER.unpack_from(content, record_end)[0]:
      raise _wrong_sum(path, 'content', len(records))
    records.append(record)
  if num_expected is not None and len(records) != num_expected:
    raise _broken(
      path,
      f'it has {len(records)} records where dataset_info.json counts '
      f'{num_expected}',
    )
  return records
