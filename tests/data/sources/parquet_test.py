"""Parquet files."""

import sys

import numpy as np
import pytest

from al_jax.data.sources import parquet, tables

pa = pytest.importorskip('pyarrow')


@pytest.fixture
def path(tmp_path):
  from pyarrow import parquet as pyarrow_parquet

  path = tmp_path / 'table.parquet'
  columns = {
    'x.box': [1.5, 2.5, 3.5],
    'x': pa.array([1, None, 3]),
    'flag': [True, False, True],
    'note': ['a', 'b', 'c'],
    'class': pa.array(['u', 'v', 'u']).dictionary_encode(),
  }
  pyarrow_parquet.write_table(pa.table(columns), path)
  return path


def test_columns_come_in_the_order_they_are_asked_for(path):
  found = tables.read_examples(
    parquet.open_parquet(path), features=['x.box', 'flag'], ids='note'
  )
  np.testing.assert_array_equal(
    found.inputs, np.float32([[1.5, 1], [2.5, 0], [3.5, 1]])
  )
  assert found.inputs.dtype == np.float32
  assert list(found.labels) == ['u', 'v', 'u']
  assert list(found.ids) == ['a', 'b', 'c']


def test_a_null_is_a_gap(path):
  table = parquet.open_parquet(path)
  with pytest.raises(ValueError, match="'x' has no value in row 1"):
    tables.read_examples(table, features=['x'])
  found = tables.read_columns(table, features=['x'])
  np.testing.assert_array_equal(found.inputs, [[1, np.nan, 3]])


def test_a_column_of_text_among_the_features_is_named_with_its_type(path):
  with pytest.raises(ValueError, match="'note' is of type string"):
    tables.read_examples(parquet.open_parquet(path))


def test_a_file_of_another_kind_is_refused(tmp_path):
  path = tmp_path / 'table.parquet'
  path.write_text('a,b\n1,2\n')
  with pytest.raises(ValueError, match='cannot be read as Parquet'):
    parquet.open_parquet(path)


def test_without_pyarrow_the_extra_is_named(path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'pyarrow', None)
  with pytest.raises(ModuleNotFoundError, match=r'al-jax\[parquet\]'):
    parquet.open_parquet(path)


def test_a_number_beyond_float32_is_named(tmp_path):
  from pyarrow import parquet as pyarrow_parquet

  path = tmp_path / 'wide.parquet'
  table = pa.table({'x': [1.0, 1e39], 'y': ['a', 'b']})
  pyarrow_parquet.write_table(table, path)
  with pytest.raises(ValueError, match=r"column 'x' has 1e\+39 at \[1\]"):
    tables.read_examples(parquet.open_parquet(path))
