"""Arrays in .npz and .npy files."""

import numpy as np
import pytest

from al_jax.data.sources import files

_LABELS = np.arange(30) % 3


def _inputs(*shape, dtype=np.float64):
  size = int(np.prod(shape))
  return (np.arange(size) % 251).reshape(shape).astype(dtype)


def _save(folder, **arrays):
  path = folder / 'toy.npz'
  np.savez(path, **arrays)
  return str(path)


@pytest.mark.parametrize(
  ('x', 'y'),
  [
    ('x', 'y'),
    ('X', 'y'),
    ('images', 'labels'),
    ('data', 'target'),
    ('inputs', 'targets'),
  ],
)
def test_usual_keys_are_found(tmp_path, x, y):
  path = _save(tmp_path, **{x: _inputs(30, 4), y: _LABELS, 'extra': _LABELS})
  raw = files.read(path)
  assert raw.name == 'toy'
  assert (len(raw.train), len(raw.test)) == (27, 3)
  np.testing.assert_array_equal(raw.train.targets, raw.train.ids % 3)


@pytest.mark.parametrize(
  ('pattern', 'x', 'y'),
  [('{0}_{1}', 'x', 'y'), ('{1}_{0}', 'images', 'labels')],
)
def test_usual_keys_of_splits_are_found(tmp_path, pattern, x, y):
  arrays = {}
  for word, size in (('train', 9), ('test', 6), ('val', 3)):
    arrays[pattern.format(x, word)] = _inputs(size, 4)
    # One column, as MedMNIST has it.
    arrays[pattern.format(y, word)] = _LABELS[:size, np.newaxis]
  raw = files.read(_save(tmp_path, **arrays))
  lengths = [len(split) for split in (raw.train, raw.test, raw.validation)]
  assert lengths == [9, 6, 3]
  np.testing.assert_array_equal(raw.test.targets, _LABELS[:6])
  np.testing.assert_array_equal(raw.test.ids, np.arange(9, 15))


def test_keys_can_be_named(tmp_path):
  path = _save(
    tmp_path,
    a=_inputs(6, 2),
    b=_LABELS[:6],
    c=_inputs(3, 2),
    d=_LABELS[:3],
    e=np.array(list('uvwxyz')),
  )
  raw = files.read(
    path, inputs='a', targets='b', test_inputs='c', test_targets='d', ids='e'
  )
  assert (len(raw.train), len(raw.test)) == (6, 3)
  assert list(raw.train.ids) == list('uvwxyz')
  whole = files.read(path, inputs='a', targets='b', test_fraction=0.5)
  assert (len(whole.train), len(whole.test)) == (3, 3)


def test_class_names_of_the_file_are_kept(tmp_path):
  names = ['z', 'y', 'x']
  raw = files.read(
    _save(tmp_path, x=_inputs(30, 4), y=_LABELS, class_names=names)
  )
  assert raw.task.names == ('z', 'y', 'x')
  np.testing.assert_array_equal(raw.train.targets, raw.train.ids % 3)


@pytest.mark.parametrize(
  ('shape', 'seen'),
  [
    ((30, 5, 4), (5, 4, 1)),
    ((30, 5, 4, 1), (5, 4, 1)),
    ((30, 5, 4, 3), (5, 4, 3)),
    ((30, 5, 4, 4), (5, 4, 4)),
    ((30, 7), (7,)),
  ],
)
@pytest.mark.parametrize(
  ('dtype', 'kept'),
  [(np.uint8, np.uint8), (np.float64, np.float32), (np.int64, np.float32)],
)
def test_pictures_are_told_by_their_shape(tmp_path, shape, seen, dtype, kept):
  inputs = _inputs(*shape, dtype=dtype)
  raw = files.read(_save(tmp_path, x=inputs, y=_LABELS))
  assert raw.train.inputs.shape[1:] == seen
  assert raw.train.inputs.dtype == kept
  assert raw.is_image == (len(seen) == 3)
  np.testing.assert_array_equal(
    raw.train.inputs, inputs.reshape(-1, *seen)[raw.train.ids]
  )


@pytest.mark.parametrize(
  ('arrays', 'options', 'message'),
  [
    ({'p': 1, 'q': 2}, {}, 'none of the usual pairs.*p, q'),
    ({'x': 1, 'y': 2}, {'inputs': 'x'}, "go together; given are 'x' and None"),
    (
      {'x': _inputs(4, 2), 'y': _LABELS[:4]},
      {'inputs': 'x', 'targets': 'yy'},
      "Did you mean 'y'",
    ),
    (
      {'x': 1, 'y': 2},
      {'test_inputs': 'x', 'test_targets': 'y'},
      'needs inputs and targets',
    ),
    ({'x': np.zeros((4, 3, 9, 9)), 'y': _LABELS[:4]}, {}, 'channels come last'),
    ({'x': np.zeros(4), 'y': _LABELS[:4]}, {}, r'shape \[4\]; allowed'),
    ({'x': np.zeros((0, 4)), 'y': _LABELS[:0]}, {}, 'no axis of length 0'),
    ({'x': np.zeros((4, 2)), 'y': _LABELS[:3]}, {}, 'first axes differ'),
    ({'x': np.full((4, 2), 'a'), 'y': _LABELS[:4]}, {}, 'numbers are needed'),
    (
      {'x': np.array([[0.0, 1.0], [np.inf, -1e39]]), 'y': _LABELS[:2]},
      {},
      r'has -1e\+39 at \[1, 1\]; numbers become float32',
    ),
    (
      {'x': np.array([[None]]), 'y': _LABELS[:1]},
      {},
      "array 'x' is of dtype object",
    ),
  ],
)
@pytest.mark.filterwarnings('error')
def test_arrays_that_do_not_fit_are_named(tmp_path, arrays, options, message):
  with pytest.raises(ValueError, match=message):
    files.read(_save(tmp_path, **arrays), **options)


@pytest.mark.parametrize('content', [b'', b'nonsense', b'PK\x03\x04broken'])
@pytest.mark.parametrize('kind', ['npz', 'npy'])
def test_a_broken_file_is_named(tmp_path, content, kind):
  path = tmp_path / f'broken.{kind}'
  path.write_bytes(content)
  options = {'targets': 'broken.npy'} if kind == 'npy' else {}
  with pytest.raises(ValueError, match=rf'broken\.{kind} is not a readable'):
    files.read(str(path), **options)


def test_a_flipped_byte_in_an_archive_is_noticed(tmp_path):
  path = _save(tmp_path, x=_inputs(30, 40), y=_LABELS)
  content = bytearray((tmp_path / 'toy.npz').read_bytes())
  content[2_000] ^= 1
  (tmp_path / 'toy.npz').write_bytes(content)
  with pytest.raises(ValueError, match="array 'x'"):
    files.read(path)


def test_npy_files_are_found_beside_the_first(tmp_path):
  inputs = _inputs(30, 5, 4, dtype=np.uint8)
  np.save(tmp_path / 'x.npy', inputs)
  np.save(tmp_path / 'y.npy', _LABELS)
  np.save(tmp_path / 'names.npy', np.arange(100, 130))
  raw = files.read(str(tmp_path / 'x.npy'), targets='y.npy', ids='names.npy')
  assert (len(raw.train), len(raw.test)) == (27, 3)
  rows = raw.train.ids - 100
  np.testing.assert_array_equal(raw.train.inputs[..., 0], inputs[rows])
  np.testing.assert_array_equal(raw.train.targets, rows % 3)


def test_npy_files_with_a_split_stay_on_disk(tmp_path):
  inputs = _inputs(30, 5, 4, 3, dtype=np.uint8)
  for name, array in (('x', inputs), ('y', _LABELS)):
    np.save(tmp_path / f'{name}.npy', array[:20])
    np.save(tmp_path / f'{name}_test.npy', array[20:])
  raw = files.read(
    str(tmp_path / 'x.npy'),
    targets='y.npy',
    test_inputs='x_test.npy',
    test_targets='y_test.npy',
  )
  assert isinstance(raw.train.inputs, np.memmap)
  np.testing.assert_array_equal(raw.test.inputs, inputs[20:])


@pytest.mark.parametrize(
  ('options', 'error', 'message'),
  [
    ({}, ValueError, "needs targets='...npy'"),
    ({'targets': 'no.npy'}, FileNotFoundError, r'no file no\.npy'),
    (
      {'targets': 'x.npy', 'test_inputs': 'x.npy'},
      ValueError,
      "given are 'x.npy' and None",
    ),
  ],
)
def test_npy_files_that_lack_a_partner_say_so(
  tmp_path, options, error, message
):
  np.save(tmp_path / 'x.npy', _inputs(30, 4))
  with pytest.raises(error, match=message):
    files.read(str(tmp_path / 'x.npy'), **options)


def _said_of(folder, name, **options):
  with pytest.raises(ValueError, match='toy') as raised:
    files.read(str(folder / name), **options)
  assert 'pickle' not in str(raised.value)
  return str(raised.value)


@pytest.mark.parametrize('keep', [0, 1, 100, -30])
def test_a_broken_npz_file_gives_no_advice_to_unpickle(tmp_path, keep):
  path = tmp_path / 'toy.npz'
  _save(tmp_path, x=_inputs(30, 4), y=_LABELS)
  content = path.read_bytes()
  path.write_bytes(content[:keep])
  assert 'not a complete' in _said_of(tmp_path, 'toy.npz')
  path.write_bytes(b'\x80' * 500)
  assert 'not a complete zip archive' in _said_of(tmp_path, 'toy.npz')
  path.write_bytes(content.replace(b'NUMPY', b'numpy'))
  _said_of(tmp_path, 'toy.npz')


def test_arrays_of_objects_get_a_remedy(tmp_path):
  words = np.array(['a', 'b', 'c'], object)[_LABELS]
  _save(tmp_path, x=_inputs(30, 4), y=words)
  assert 'values.astype(str)' in _said_of(tmp_path, 'toy.npz')
  np.save(tmp_path / 'toy.npy', _inputs(30, 4))
  np.save(tmp_path / 'toy_y.npy', words)
  said = _said_of(tmp_path, 'toy.npy', targets='toy_y.npy')
  assert 'values.astype(str)' in said
