"""CSV files with named columns."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_jax.data.sources import tables

_TEXT = 'name,width,height,class\na,1,2.5,cat\nb,-3,4e2,dog\n'


def _write(folder, text, name='table.csv'):
  path = folder / name
  path.write_text(text, encoding='utf-8')
  return path


def test_named_columns_become_inputs_labels_and_ids(tmp_path):
  table = tables.open_csv(_write(tmp_path, _TEXT))
  found = tables.read_examples(
    table, target='class', features=['height', 'width'], ids='name'
  )
  assert found.inputs.dtype == np.float32
  np.testing.assert_array_equal(found.inputs, [[2.5, 1], [400, -3]])
  assert list(found.labels) == ['cat', 'dog']
  assert list(found.ids) == ['a', 'b']
  assert found.features == ('height', 'width')


def test_the_last_column_is_the_target_and_all_others_are_features(tmp_path):
  table = tables.open_csv(_write(tmp_path, _TEXT))
  found = tables.read_examples(table, ids=0)
  assert found.features == ('width', 'height')
  assert list(found.labels) == ['cat', 'dog']


@pytest.mark.parametrize(
  ('text', 'names'),
  [
    ('a,b,class\n1,2,x\n', ('a', 'b', 'class')),
    ('1,2,x\n3,4,y\n', ('0', '1', '2')),
    ('1,2,0\n3,4,1\n', ('0', '1', '2')),
    ('0,1,class\n3,4,1\n', ('0', '1', 'class')),
    ('a,b\nu,v\n', ('a', 'b')),
    ('1;2;x\n3;4;y\n', ('0', '1', '2')),
    ('"a,1"\tb\n3\t4\n', ('a,1', 'b')),
    ('\ufeffa,b\n1,2\n', ('a', 'b')),
    ('\n\na,b\n1,2\n', ('a', 'b')),
  ],
)
def test_header_and_delimiter_are_detected(tmp_path, text, names):
  assert tables.open_csv(_write(tmp_path, text)).names == names


def test_header_and_delimiter_can_be_said(tmp_path):
  path = _write(tmp_path, '0,1;class\n2,3;x\n')
  table = tables.open_csv(path, header=True, delimiter=';')
  assert table.names == ('0,1', 'class')


def test_blank_lines_quotes_and_hashes_are_read(tmp_path):
  text = 'a,class\n\n1,"x, ""y"""\n   \n2,#z\n'
  found = tables.read_examples(tables.open_csv(_write(tmp_path, text)))
  np.testing.assert_array_equal(found.inputs, [[1], [2]])
  assert list(found.labels) == ['x, "y"', '#z']


@given(
  cells=st.lists(
    st.tuples(
      st.floats(width=32, allow_nan=False, allow_infinity=False),
      st.text(
        st.characters(codec='utf-8', exclude_categories=('C', 'Z')), min_size=1
      ),
    ),
    min_size=1,
  )
)
def test_what_was_written_is_read(tmp_path_factory, cells):
  path = tmp_path_factory.mktemp('csv') / 'table.csv'
  with path.open('w', newline='', encoding='utf-8') as file:
    csv.writer(file).writerows([('number', 'text'), *cells])
  table = tables.open_csv(path, header=True, delimiter=',')
  found = tables.read_examples(table)
  numbers, texts = zip(*cells, strict=True)
  np.testing.assert_array_equal(found.inputs[:, 0], np.float32(numbers))
  assert tuple(found.labels) == texts


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('a,class\n1,x\nmany,y\n', "row 1 .*the column 'a' has 'many'"),
    ('a,class\n1,x\n,y\n', "row 1 .*the column 'a' has nothing"),
    ('a,class\n1,x\n2\n', 'row 1 .*has 1 cells; there are 2 columns'),
    ('a,class\n1,x\n2,y,z\n', 'row 1 .*has 3 cells; there are 2 columns'),
    ('a,a,class\n1,2,x\n', "two columns named 'a'"),
    ('\n', 'is empty'),
    ('class\nx\ny\n', 'no column left for the inputs'),
  ],
)
def test_a_broken_table_says_where(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    tables.read_examples(tables.open_csv(_write(tmp_path, text)))


def test_a_header_alone_has_no_rows(tmp_path):
  table = tables.open_csv(_write(tmp_path, 'a,class\n'), header=True)
  with pytest.warns(UserWarning), pytest.raises(ValueError, match='no rows'):
    tables.read_examples(table)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'target': 'clas'}, "target: .*'clas' is not known. Did you mean 'class'"),
    ({'features': ['widht']}, "Did you mean 'width'"),
    ({'ids': 'nam'}, "Did you mean 'name'"),
    ({'target': 4}, 'target=4 is not a column'),
    ({'features': ['width', 'width']}, "'width' .* twice"),
    ({'target': 'width', 'features': ['width']}, "'width' .* twice"),
    ({'ids': 'class'}, "'class' .* twice"),
    ({'features': []}, 'no column left'),
  ],
)
def test_a_column_that_does_not_fit_is_named(tmp_path, options, message):
  table = tables.open_csv(_write(tmp_path, _TEXT))
  with pytest.raises(ValueError, match=message):
    tables.read_examples(table, **options)


@pytest.mark.parametrize(
  ('values', 'ids'),
  [
    (['1', '20', '3'], np.int64([1, 20, 3])),
    (['1', '007', '7'], np.array(['1', '007', '7'])),
    (['a', '2'], np.array(['a', '2'])),
    (np.uint8([1, 2]), np.int64([1, 2])),
  ],
)
def test_ids_are_numbers_only_if_nothing_is_lost(values, ids):
  found = tables.as_ids(values)
  assert found.dtype.kind == ids.dtype.kind
  np.testing.assert_array_equal(found, ids)
