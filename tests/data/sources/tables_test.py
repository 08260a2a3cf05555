"""Named columns as inputs, labels and ids."""

import numpy as np
import pytest

from al_jax.data.sources import delimited, tables

_TEXT = 'name,width,height,class\na,1,2.5,cat\nb,-3,4e2,dog\n'


def _write(folder, text, name='table.csv'):
  path = folder / name
  path.write_text(text, encoding='utf-8')
  return path


def test_named_columns_become_inputs_labels_and_ids(tmp_path):
  table = delimited.open_csv(_write(tmp_path, _TEXT))
  found = tables.read_examples(
    table, target='class', features=['height', 'width'], ids='name'
  )
  assert found.inputs.dtype == np.float32
  np.testing.assert_array_equal(found.inputs, [[2.5, 1], [400, -3]])
  assert list(found.labels) == ['cat', 'dog']
  assert list(found.ids) == ['a', 'b']
  assert found.features == ('height', 'width')


def test_the_last_column_is_the_target_and_all_others_are_features(tmp_path):
  table = delimited.open_csv(_write(tmp_path, _TEXT))
  found = tables.read_examples(table, ids=0)
  assert found.features == ('width', 'height')
  assert list(found.labels) == ['cat', 'dog']


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
  table = delimited.open_csv(_write(tmp_path, _TEXT))
  with pytest.raises(ValueError, match=message):
    tables.read_examples(table, **options)


_PANDAS = ',width,class\n0,1,cat\n1,-3,dog\n'


@pytest.mark.parametrize('name', ['', 'Unnamed: 0', '__index_level_0__'])
def test_an_index_without_a_name_is_no_input(tmp_path, name):
  table = delimited.open_csv(_write(tmp_path, name + _PANDAS))
  with pytest.raises(ValueError, match=r'column 0 .*index_col=0 leaves it out'):
    tables.read_examples(table)
  for options in ({'index_col': 0}, {'index_col': name}, {'ids': 0}):
    found = tables.read_examples(table, **options)
    assert found.features == ('width',)
  # Who names the inputs means them.
  assert tables.read_examples(table, features=[0, 1]).inputs.shape == (2, 2)
  with pytest.raises(ValueError, match='twice'):
    tables.read_examples(table, index_col=0, features=[0, 1])
