"""IDX files, written byte by byte."""

import gzip
import struct

import numpy as np
import pytest

from al_jax.data.sources import files, idx


def _write(path, values, code=0x08):
  values = np.asarray(values)
  header = struct.pack(
    f'>HBB{values.ndim}I', 0, code, values.ndim, *values.shape
  )
  content = header + values.astype(values.dtype.newbyteorder('>')).tobytes()
  path.write_bytes(gzip.compress(content) if path.suffix == '.gz' else content)
  return path


@pytest.mark.parametrize(
  'name',
  ['{}.idx', '{}.idx.gz', '{}-idx3-ubyte', '{}-idx3-ubyte.gz', '{}.idx3-ubyte'],
)
def test_pictures_and_labels_are_read_as_mnist_has_them(tmp_path, name):
  pixels = np.arange(12 * 6, dtype=np.uint8).reshape(12, 3, 2)
  labels = np.arange(12, dtype=np.uint8) % 3
  names = [name.format(part) for part in ('images', 'labels', 'test', 'of')]
  _write(tmp_path / names[0], pixels)
  _write(tmp_path / names[1], labels)
  _write(tmp_path / names[2], pixels[:3])
  _write(tmp_path / names[3], labels[:3])
  raw = files.read(
    str(tmp_path / names[0]),
    targets=names[1],
    test_inputs=names[2],
    test_targets=names[3],
  )
  assert raw.is_image
  assert raw.name.startswith('images')
  np.testing.assert_array_equal(raw.train.inputs[..., 0], pixels)
  np.testing.assert_array_equal(raw.train.targets, labels)
  assert len(raw.test) == 3


@pytest.mark.parametrize(
  ('code', 'dtype'), [(0x09, 'i1'), (0x0B, 'i2'), (0x0C, 'i4'), (0x0E, 'f8')]
)
def test_other_numbers_come_in_the_order_of_this_machine(tmp_path, code, dtype):
  values = np.array([[1, -2, 3], [100, 5, -6]], dtype)
  found = idx.read_idx(_write(tmp_path / 'x.idx', values, code))
  assert found.dtype == np.dtype(dtype)
  np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize('keep', [0, 3, 9, 20])
@pytest.mark.parametrize('name', ['x.idx', 'x.idx.gz'])
def test_a_part_of_a_file_is_named(tmp_path, name, keep):
  path = _write(tmp_path / name, np.zeros((5, 3), np.uint8))
  path.write_bytes(path.read_bytes()[:keep])
  with pytest.raises(ValueError, match=r'x\.idx.* not a readable IDX file'):
    idx.read_idx(path)


def test_what_is_no_idx_file_is_named(tmp_path):
  path = tmp_path / 'x.idx'
  path.write_text('no array')
  with pytest.raises(ValueError, match='not begin with an IDX header'):
    idx.read_idx(path)
  # More bytes than there are in the world.
  path.write_bytes(struct.pack('>HBB4I', 0, 0x0E, 4, *[2**32 - 1] * 4))
  with pytest.raises(ValueError, match='and it has 0'):
    idx.read_idx(path)
  _write(path, np.zeros(4, np.uint8))
  path.write_bytes(path.read_bytes() + b'1')
  with pytest.raises(ValueError, match='takes 4 bytes, and it has more'):
    idx.read_idx(path)
