"""CSV files, and what is no CSV file."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_jax.data.sources import delimited, tables


def _write(folder, text, encoding='utf-8'):
  path = folder / 'table.csv'
  path.write_text(text, encoding=encoding)
  return path


@pytest.mark.parametrize(
  ('text', 'names'),
  [
    ('a,b,class\n1,2,x\n', ('a', 'b', 'class')),
    ('1,2,x\n3,4,y\n', ('0', '1', '2')),
    ('a,b,c\nTrue,FALSE,x\n', ('a', 'b', 'c')),
    ('True,2,x\nFalse,4,y\n', ('0', '1', '2')),
    ('1,x\n', ('0', '1')),
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
  assert delimited.open_csv(_write(tmp_path, text)).names == names


def test_header_and_delimiter_can_be_said(tmp_path):
  path = _write(tmp_path, '0,1;class\n2,3;x\n')
  table = delimited.open_csv(path, header=True, delimiter=';')
  assert table.names == ('0,1', 'class')


def test_blank_lines_quotes_and_hashes_are_read(tmp_path):
  text = 'a,class\n\n1,"x, ""y"""\n   \n2,#z\n'
  found = tables.read_examples(delimited.open_csv(_write(tmp_path, text)))
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
  table = delimited.open_csv(path, header=True, delimiter=',')
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
    ('"a\nb",class\n1,x\n', 'a line break in the name of a column'),
    ('\n', 'is empty'),
    ('class\nx\ny\n', 'no column left for the inputs'),
  ],
)
def test_a_broken_table_says_where(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    tables.read_examples(delimited.open_csv(_write(tmp_path, text)))


@pytest.mark.parametrize('delimiter', ['ab', '', 'a', '"', 3])
def test_a_delimiter_is_one_mark(tmp_path, delimiter):
  with pytest.raises(ValueError, match=r'delimiter is .* one character'):
    delimited.open_csv(_write(tmp_path, 'a,b\n1,2\n'), delimiter=delimiter)


def test_a_header_alone_has_no_rows(tmp_path):
  for header in (True, None):
    table = delimited.open_csv(_write(tmp_path, 'a,class\n'), header=header)
    with pytest.raises(ValueError, match='has a header and no rows'):
      tables.read_examples(table)


def test_true_and_false_are_1_and_0(tmp_path):
  text = 'a,b,class\nTrue,1,x\nfalse,2,True\n FALSE ,3,y\n1,4,x\n'
  found = tables.read_examples(delimited.open_csv(_write(tmp_path, text)))
  np.testing.assert_array_equal(found.inputs, [[1, 1], [0, 2], [0, 3], [1, 4]])
  assert list(found.labels) == ['x', 'True', 'y', 'x']
  text = text.replace('FALSE', 'maybe')
  with pytest.raises(ValueError, match=r"row 2 .*'a' has ' maybe '"):
    tables.read_examples(delimited.open_csv(_write(tmp_path, text)))


@pytest.mark.parametrize(
  ('encoding', 'message'),
  [
    ('latin-1', '0xe9.* LATIN1 '),
    ('utf-16', ' UTF-16 '),
    ('utf-16-le', 'binary'),
  ],
)
@pytest.mark.parametrize('rows', [1, 3_000])
def test_another_encoding_names_file_and_cure(
  tmp_path, encoding, message, rows
):
  text = 'a,class\n' + '1,x\n' * rows + '2,caf\xe9\n'
  path = _write(tmp_path, text, encoding)
  with pytest.raises(ValueError, match=rf'table\.csv .*{message}'):
    tables.read_examples(delimited.open_csv(path))


def test_what_is_no_text_names_the_file(tmp_path):
  path = tmp_path / 'table.csv'
  path.write_bytes(bytes(range(256)) * 4)
  with pytest.raises(ValueError, match=r'table\.csv is not .* binary'):
    delimited.open_csv(path)


def test_a_label_with_a_nul_is_no_second_name_of_a_class(tmp_path):
  table = delimited.open_csv(_write(tmp_path, 'a,class\n1,c\n2,d\n3,c\0\n'))
  with pytest.raises(ValueError, match='has a NUL character'):
    tables.read_examples(table)
