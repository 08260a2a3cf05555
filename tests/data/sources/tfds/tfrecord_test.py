import struct

import google_crc32c
import pytest

from al_jax.data.sources.tfds import tfrecord


def _masked(string):
  value = google_crc32c.value(string)
  return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _framed(record):
  length = struct.pack('<Q', len(record))
  return b''.join(
    (
      length,
      struct.pack('<I', _masked(length)),
      record,
      struct.pack('<I', _masked(record)),
    )
  )


RECORDS = [b'first', b'', b'x' * 300, b'last']


@pytest.fixture
def path(tmp_path):
  path = tmp_path / 'set-train.tfrecord-00000-of-00001'
  path.write_bytes(b''.join(map(_framed, RECORDS)))
  return path


def _read(path, **options):
  return [bytes(record) for record in tfrecord.read_records(path, **options)]


def test_records_come_back_in_order(path):
  assert _read(path) == RECORDS
  assert _read(path, num_expected=4) == RECORDS


def test_an_empty_file_has_no_records(path):
  path.write_bytes(b'')
  assert _read(path) == []


@pytest.mark.parametrize('kept', [1, 11, 12, 14, 20, 45, 350])
def test_a_file_cut_off_within_a_record_names_it(path, kept):
  path.write_bytes(path.read_bytes()[:kept])
  record = next(
    i
    for i in range(len(RECORDS))
    if len(b''.join(map(_framed, RECORDS[: i + 1]))) > kept
  )
  with pytest.raises(
    ValueError,
    match=f'tfrecord.*cut off at byte {kept}, within record {record}',
  ):
    _read(path)


def test_a_file_cut_off_between_records_has_too_few(path):
  path.write_bytes(b''.join(map(_framed, RECORDS[:3])))
  with pytest.raises(ValueError, match=r'has 3 records where .* counts 4'):
    _read(path, num_expected=4)


def test_any_flipped_bit_is_noticed(path):
  content = path.read_bytes()
  for position in range(len(content)):
    flipped = bytearray(content)
    flipped[position] ^= 1 << (position % 8)
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match='does not fit its checksum'):
      _read(path)


def test_a_flipped_length_is_not_taken_for_a_file_cut_off(path):
  content = bytearray(path.read_bytes())
  content[4] = 1  # a length of 4 GiB
  path.write_bytes(content)
  with pytest.raises(ValueError, match='the length of record 0'):
    _read(path)
