"""`file:PATH`, whatever the file."""

import numpy as np
import pytest

from al_jax import tasks
from al_jax.data.sources import files

_CSV = 'width,height,class\n' + ''.join(
  f'{i},{i * i},{"xyz"[i % 3]}\n' for i in range(30)
)


@pytest.fixture
def csv_path(tmp_path):
  path = tmp_path / 'toy.csv'
  path.write_text(_CSV)
  return str(path)


def _assert_same(one, other):
  assert one.task.names == other.task.names
  assert one.name == other.name
  for split, other_split in (
    (one.train, other.train),
    (one.test, other.test),
  ):
    for field in ('inputs', 'targets', 'ids'):
      array, expected = getattr(split, field), getattr(other_split, field)
      assert array.dtype == expected.dtype
      np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
  ('name', 'num_train', 'num_test', 'num_features', 'num_classes'),
  [
    ('letter', 18_000, 2_000, 16, 26),
    ('satellite', 5_791, 644, 36, 6),
    ('shuttle', 50_000, 5_800, 9, 7),
  ],
)
def test_real_tables_read_alike_from_npz_and_csv(
  files_dir, name, num_train, num_test, num_features, num_classes
):
  from_npz = files.read(str(files_dir / name / f'{name}.npz'))
  from_csv = files.read(str(files_dir / name / f'{name}.csv'))
  _assert_same(from_csv, from_npz)
  assert from_csv.name == name
  assert from_csv.train.inputs.shape == (num_train, num_features)
  assert from_csv.test.inputs.shape == (num_test, num_features)
  assert len(from_csv.task.names) == num_classes
  assert np.unique(from_csv.train.targets).size == num_classes
  assert not from_csv.is_image


def test_a_real_table_reads_alike_from_parquet(files_dir, tmp_path):
  pytest.importorskip('pyarrow')
  from pyarrow import csv, parquet

  path = files_dir / 'letter' / 'letter.csv'
  parquet.write_table(csv.read_csv(path), tmp_path / 'letter.parquet')
  _assert_same(
    files.read(str(tmp_path / 'letter.parquet'), target='class'),
    files.read(str(path)),
  )


def test_a_second_table_is_the_test_split(csv_path, tmp_path):
  # The columns are found by name, in whatever order.
  (tmp_path / 'other.csv').write_text('class,height,width\ny,2,1\nw,4,3\n')
  raw = files.read(csv_path, test='other.csv')
  assert raw.task.names == ('w', 'x', 'y', 'z')
  assert (len(raw.train), len(raw.test)) == (30, 2)
  np.testing.assert_array_equal(raw.test.inputs, [[1, 2], [3, 4]])
  np.testing.assert_array_equal(raw.test.targets, [2, 0])
  np.testing.assert_array_equal(raw.test.ids, [30, 31])


def test_tabs_separate_the_cells_of_a_tsv_file(tmp_path):
  path = tmp_path / 'toy.tsv'
  path.write_text(_CSV.replace(',', '\t'))
  assert files.read(str(path)).train.inputs.shape == (27, 2)


def test_options_of_the_split_are_passed_on(csv_path):
  raw = files.read(csv_path, test_fraction=0.5, max_train=10, split_seed=3)
  assert (len(raw.train), len(raw.test)) == (10, 15)


@pytest.mark.parametrize(
  ('name', 'options', 'error', 'message'),
  [
    ('no.csv', {}, FileNotFoundError, r'no file .*no\.csv'),
    ('toy.cvs', {}, ValueError, r"'\.cvs' is not known\. Did you mean '\.csv'"),
    ('toy', {}, ValueError, 'file extension'),
    ('toy.csv.gz', {}, ValueError, 'compressed.* IDX .* gunzip'),
    ('no.idx', {}, FileNotFoundError, r'no file .*no\.idx\.$'),
    (
      'toy.csv',
      {'inputs': 'x'},
      ValueError,
      'not an option of .csv files.*target',
    ),
    ('toy.csv', {'test_fraction': 2}, ValueError, 'test_fraction is 2'),
    ('toy.csv', {'target': 'clas'}, ValueError, "Did you mean 'class'"),
    ('toy.csv', {'test': 'no.csv'}, FileNotFoundError, r'no file no\.csv'),
    ('toy.csv', {'target': 'width', 'features': ['class']}, ValueError, "'x'"),
  ],
)
def test_bad_input_is_named(csv_path, tmp_path, name, options, error, message):
  with pytest.raises(error, match=message):
    files.read(str(tmp_path / name), **options)


def test_the_test_table_has_the_index_of_the_first(tmp_path):
  rows = ''.join(f'{i},{i * i},{"xyz"[i % 3]}\n' for i in range(12))
  for name in ('toy.csv', 'test.csv'):
    (tmp_path / name).write_text(',area,class\n' + rows)
  raw = files.read(str(tmp_path / 'toy.csv'), test='test.csv', index_col=0)
  assert raw.train.inputs.shape == raw.test.inputs.shape == (12, 1)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(FileNotFoundError) as raised:
    files.read('no.npz')
  assert str(tmp_path) in str(raised.value)
  assert 'AL_JAX_FILES_DIR' not in str(raised.value)


_PLACES = 'a,y,b,x\n' + ''.join(
  f'{i},{i * i},{-i},{i / 7}\n' for i in range(30)
)


@pytest.mark.parametrize(
  ('options', 'task', 'features'),
  [
    ({'targets': ('x', 'y')}, tasks.Vector(2), (1, -1)),
    ({'targets': ['x', 1], 'scale': 9}, tasks.Vector(2, scale=9.0), (1, -1)),
    (
      {'targets': 'x', 'scale': 0.5, 'features': ('b',)},
      tasks.Vector(1, scale=0.5),
      (-1,),
    ),
  ],
)
def test_columns_of_numbers_are_predicted_and_no_inputs(
  tmp_path, options, task, features
):
  (tmp_path / 'places.csv').write_text(_PLACES)
  (tmp_path / 'places.tsv').write_text(_PLACES.replace(',', '\t'))
  for name in ('places.csv', 'places.tsv'):
    raw = files.read(str(tmp_path / name), **options)
    assert raw.task == task
    assert raw.train.targets.dtype == np.float32
    for split in (raw.train, raw.test):
      rows = split.ids[:, np.newaxis]
      np.testing.assert_array_equal(split.inputs, rows * features)
      wanted = np.concatenate([rows / 7, rows**2], axis=1)[:, : task.size]
      np.testing.assert_allclose(split.targets, wanted, rtol=1e-6)


def test_a_second_table_has_the_numbers_by_name(tmp_path):
  (tmp_path / 'places.csv').write_text(_PLACES)
  (tmp_path / 'test.csv').write_text('y,x,b,a\n4,3,2,1\n')
  raw = files.read(
    str(tmp_path / 'places.csv'), targets=('x', 'y'), test='test.csv'
  )
  np.testing.assert_array_equal(raw.test.targets, [[3, 4]])
  np.testing.assert_array_equal(raw.test.inputs, [[1, 2]])


def test_numbers_read_alike_from_parquet(tmp_path):
  pytest.importorskip('pyarrow')
  from pyarrow import csv, parquet

  (tmp_path / 'places.csv').write_text(_PLACES)
  table = csv.read_csv(tmp_path / 'places.csv')
  parquet.write_table(table, tmp_path / 'places.parquet')
  one, other = (
    files.read(str(tmp_path / f'places.{kind}'), targets=('y', 'x'), ids='a')
    for kind in ('csv', 'parquet')
  )
  assert one.task == other.task
  for field in ('inputs', 'targets', 'ids'):
    np.testing.assert_array_equal(
      getattr(one.train, field), getattr(other.train, field)
    )


@pytest.mark.parametrize('shape', [(30,), (30, 1), (30, 3)])
def test_a_scale_says_that_arrays_are_numbers(tmp_path, shape):
  x, y = np.random.default_rng(0).normal(size=(2, 30, 3))
  y = y[:, : np.prod(shape) // 30].reshape(shape)
  np.savez(tmp_path / 'toy.npz', x=x, y=y)
  for name, array in (('x', x), ('y', y)):
    np.save(tmp_path / f'{name}.npy', array)
  packed = files.read(str(tmp_path / 'toy.npz'), scale=2.0)
  apart = files.read(str(tmp_path / 'x.npy'), targets='y.npy', scale=2.0)
  assert packed.task == apart.task == tasks.Vector(y.size // 30, scale=2.0)
  wanted = y.reshape(30, -1).astype(np.float32)
  for raw in (packed, apart):
    np.testing.assert_array_equal(raw.train.targets, wanted[raw.train.ids])


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('t.csv', {'scale': 2}, r"scale=2 needs targets, .*targets=\('x', 'y'\)"),
    ('t.csv', {'target': 'a', 'targets': 'x'}, "target='a' .* targets='x'"),
    ('t.csv', {'targets': ()}, r'targets=\(\) must name one or more'),
    ('t.csv', {'targets': ('z',)}, "targets: the column .*'z' is not known"),
    ('t.csv', {'targets': 3.5}, 'targets: the column .*3.5 is not known'),
    ('t.csv', {'targets': ('x', 'x')}, "'x' of .* is named twice"),
    ('t.csv', {'targets': 'x', 'features': ['x']}, "'x' of .* twice"),
    ('t.csv', {'targets': ('a', 'x', 'b', 'y')}, 'no column left'),
    ('t.csv', {'targets': 'x', 'scale': 0}, 'scale is 0; .* above 0'),
    ('t.csv', {}, r"'0\.1428.* targets=\('column',\) .* scale=1\.0"),
    ('t.npz', {}, r"'0\.5' in row 0 .* scale=1\.0"),
    ('t.npz', {'targets': ('y', 'z')}, 'must be one key or file'),
    ('t.npz', {'scale': 'x'}, "scale is 'x'; .* a number"),
    ('names.npz', {'scale': 1.0}, 'there are class_names'),
  ],
)
def test_numbers_that_do_not_fit_are_named(tmp_path, name, options, message):
  (tmp_path / 't.csv').write_text(_PLACES)
  x, y = np.zeros((30, 2)), np.arange(30) + 0.5
  np.savez(tmp_path / 't.npz', x=x, y=y)
  np.savez(tmp_path / 'names.npz', x=x, y=y, class_names=['a', 'b'])
  with pytest.raises(ValueError, match=message):
    files.read(str(tmp_path / name), **options)
