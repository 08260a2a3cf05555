"""Labels to class numbers, and numbers to predict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_jax.data import encoding


@pytest.mark.parametrize(
  ('labels', 'targets', 'names'),
  [
    (['b', 'a', 'b'], [1, 0, 1], ('a', 'b')),
    (['10', '9', '2'], [2, 1, 0], ('2', '9', '10')),
    (['1', '1.0', '0'], [1, 1, 0], ('0', '1')),
    ([7, -1, 7], [1, 0, 1], ('-1', '7')),
    ([2.0, 1.0], [1, 0], ('1', '2')),
    ([[2], [1]], [1, 0], ('1', '2')),
    ([True, False], [1, 0], ('0', '1')),
    ([b'y', b'x'], [1, 0], ('x', 'y')),
    ([' a', 'a '], [0, 0], ('a',)),
    (['nan', 'a'], [1, 0], ('a', 'nan')),
  ],
)
def test_classes_are_numbered_in_sorted_order(labels, targets, names):
  found, found_names = encoding.encode_labels(labels, 'labels')
  assert found.dtype == np.int32
  np.testing.assert_array_equal(found, targets)
  assert found_names == names


@given(st.lists(st.sampled_from('abcde') | st.integers(0, 99).map(str)))
def test_the_name_of_the_number_is_the_label(labels):
  targets, names = encoding.encode_labels(np.array(labels, object), 'labels')
  assert [names[target] for target in targets] == labels


def test_given_class_names_keep_numbers_and_place_names():
  names = ['z', 'y', 'x']
  found, _ = encoding.encode_labels([0, 2], 'labels', class_names=names)
  np.testing.assert_array_equal(found, [0, 2])
  found, _ = encoding.encode_labels(['x', 'z'], 'labels', class_names=names)
  np.testing.assert_array_equal(found, [2, 0])


@pytest.mark.parametrize(
  ('labels', 'class_names', 'message'),
  [
    ([0.5, 1], None, r"'0\.5' in row 0"),
    (['1', '0.25'], None, r"'0\.25' in row 1"),
    ([1.0, np.nan], None, 'no value in row 1 .*never filled in'),
    (np.array(['a', np.nan], object), None, 'no label in row 1'),
    (np.array(['a', None], object), None, 'no label in row 1'),
    (['a', ' '], None, 'no label in row 1'),
    (np.zeros((2, 2)), None, r'shape is \[2, 2\]'),
    ([0, 3], ['a', 'b'], 'has 3 in row 1 .*from 0 to 1'),
    (['a', 'c'], ['a', 'b'], "label 'c' in row 1"),
  ],
)
def test_labels_that_are_no_classes_say_where(labels, class_names, message):
  with pytest.raises(ValueError, match=message):
    encoding.encode_labels(labels, 'labels', class_names=class_names)


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (np.array(['c', 'd', 'c\0'], object), r"label 'c\\x00' in row 2 .* NUL"),
    (np.array([b'c', b'\xe9']), 'encoding other than UTF-8'),
  ],
)
def test_text_that_would_change_is_refused(values, message):
  with pytest.raises(ValueError, match=message):
    encoding.encode_labels(values, 'the target')


@pytest.mark.parametrize('dtype', [np.float64, np.float16, np.int64, bool])
def test_numbers_become_float32_rows(dtype):
  found = encoding.encode_numbers(np.array([0, 1, 1], dtype), 'targets')
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, [[0], [1], [1]])
  rows = np.array([[0, 1], [1, 1], [0, 0]], dtype)
  np.testing.assert_array_equal(encoding.encode_numbers(rows, 'x'), rows)


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (np.array(['1', '2']), 'type <U1; with scale it must be numbers'),
    (np.array([1, None]), 'type object; with scale'),
    (np.zeros((2, 2, 2)), r'shape \[2, 2, 2\]; numbers to predict are'),
    (np.zeros((2, 0)), r'shape \[2, 0\]'),
    (np.array([1, 1e39]), r'has 1e\+39 at \[1\]; numbers become float32'),
  ],
)
def test_what_is_no_number_is_refused(values, message):
  with pytest.raises(ValueError, match=f'the targets.*{message}'):
    encoding.encode_numbers(values, 'the targets')


@pytest.mark.parametrize('values', [[0.5, 1], np.zeros((2, 2))])
def test_measurements_are_no_classes_and_the_message_says_what_reads_them(
  values,
):
  with pytest.raises(ValueError, match=r"targets=\('column',\).* scale=1\.0"):
    encoding.encode_labels(values, 'labels')
