"""Labels to class numbers, and the split of sources that have none."""

import fractions
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_jax.data import splits


def _part(labels, ids=None):
  labels = np.asarray(labels)
  inputs = np.arange(len(labels), dtype=np.float32)[:, np.newaxis]
  return splits.Part(inputs, labels, ids)


_DEFAULT = splits.SplitProtocol()


def _assemble(parts, protocol=_DEFAULT, **options):
  return splits.assemble('toy', parts, protocol, is_image=False, **options)


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
  found, found_names = splits.encode_labels(labels, 'labels')
  assert found.dtype == np.int32
  np.testing.assert_array_equal(found, targets)
  assert found_names == names


@given(st.lists(st.sampled_from('abcde') | st.integers(0, 99).map(str)))
def test_the_name_of_the_number_is_the_label(labels):
  targets, names = splits.encode_labels(np.array(labels, object), 'labels')
  assert [names[target] for target in targets] == labels


def test_given_class_names_keep_numbers_and_place_names():
  names = ['z', 'y', 'x']
  found, _ = splits.encode_labels([0, 2], 'labels', class_names=names)
  np.testing.assert_array_equal(found, [0, 2])
  found, _ = splits.encode_labels(['x', 'z'], 'labels', class_names=names)
  np.testing.assert_array_equal(found, [2, 0])


@pytest.mark.parametrize(
  ('labels', 'class_names', 'message'),
  [
    ([0.5, 1], None, r"'0\.5' in row 0"),
    (['1', '0.25'], None, r"'0\.25' in row 1"),
    ([1.0, np.nan], None, "'nan' in row 1"),
    (np.array(['a', None], object), None, 'no label in row 1'),
    (['a', ' '], None, 'no label in row 1'),
    (np.zeros((2, 2)), None, r'shape is \[2, 2\]'),
    ([0, 3], ['a', 'b'], 'has 3 in row 1 .*from 0 to 1'),
    (['a', 'c'], ['a', 'b'], "label 'c' in row 1"),
  ],
)
def test_labels_that_are_no_classes_say_where(labels, class_names, message):
  with pytest.raises(ValueError, match=message):
    splits.encode_labels(labels, 'labels', class_names=class_names)


@given(
  size=st.integers(20, 200),
  fraction=st.sampled_from([0.1, 0.3, 0.5, 0.7]),
  max_train=st.none() | st.integers(15, 100),
  seed=st.integers(0, 9),
)
def test_the_split_is_a_shuffled_partition(size, fraction, max_train, seed):
  labels = np.arange(size) % 3
  protocol = splits.SplitProtocol(fraction, seed, max_train)
  raw = _assemble({'train': _part(labels)}, protocol)
  # In exact arithmetic, which the floats must not miss.
  num_rest = math.floor((1 - fractions.Fraction(str(fraction))) * size)
  assert len(raw.test) == size - num_rest
  assert len(raw.train) == min(num_rest, max_train or size)
  ids = np.concatenate([raw.train.ids, raw.test.ids])
  assert np.unique(ids).size == ids.size
  for split in (raw.train, raw.test):
    np.testing.assert_array_equal(split.inputs[:, 0], split.ids)
    np.testing.assert_array_equal(split.targets, split.ids % 3)


def test_the_seed_decides_the_split():
  parts = {'train': _part(np.arange(60) % 2)}
  one, again, other = (
    _assemble(parts, splits.SplitProtocol(split_seed=seed)).test.ids
    for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, again)
  assert not np.array_equal(one, other)


@given(seed=st.integers(0, 50))
def test_a_class_of_one_example_is_always_among_the_training(seed):
  protocol = splits.SplitProtocol(test_fraction=0.5, split_seed=seed)
  raw = _assemble({'train': _part([0] * 9 + [1])}, protocol)
  assert np.count_nonzero(raw.train.targets == 1) == 1


@pytest.mark.parametrize(
  ('labels', 'protocol', 'names', 'message'),
  [
    ([0, 1, 2] * 9, {'max_train': 2}, None, 'no draw .* of the 3 classes'),
    ([0] * 20, {}, ['a', 'b'], "rarest, 'b', has 0 of 20"),
    ([0] * 20, {'test_fraction': 1}, None, 'test_fraction is 1; .* below 1'),
    ([0] * 20, {'max_train': 0}, None, 'max_train is 0'),
    ([0] * 20, {'split_seed': -1}, None, 'split_seed is -1'),
    ([0] * 2, {'test_fraction': 0.9}, None, 'leaves 0 to train on'),
  ],
)
def test_a_split_that_cannot_be_is_refused(labels, protocol, names, message):
  protocol = splits.SplitProtocol(**protocol)
  with pytest.raises(ValueError, match=message):
    _assemble({'train': _part(labels)}, protocol, class_names=names)


def test_own_splits_share_one_encoding_and_rows_run_on():
  raw = _assemble(
    {
      'train': _part(['b', 'c']),
      'test': _part(['a', 'c']),
      'validation': _part(['b']),
    }
  )
  assert raw.task.names == ('a', 'b', 'c')
  np.testing.assert_array_equal(raw.train.targets, [1, 2])
  np.testing.assert_array_equal(raw.test.targets, [0, 2])
  np.testing.assert_array_equal(raw.test.ids, [2, 3])
  np.testing.assert_array_equal(raw.validation.ids, [4])


def test_options_of_the_split_are_refused_where_there_is_one():
  parts = {'train': _part([0, 1]), 'test': _part([0, 1])}
  with pytest.raises(ValueError, match='max_train=5 does not apply'):
    _assemble(parts, splits.SplitProtocol(max_train=5))


def test_unequal_lengths_are_named():
  broken = splits.Part(np.zeros((3, 1)), np.zeros(2))
  with pytest.raises(ValueError, match=r'\[3, 1\] and targets of shape \[2\]'):
    _assemble({'train': broken})
  broken = splits.Part(np.zeros((3, 1)), np.zeros(3), np.zeros(4))
  with pytest.raises(ValueError, match=r'ids of shape \[4\]'):
    _assemble({'train': broken})


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (np.array(['c', 'd', 'c\0'], object), r"label 'c\\x00' in row 2 .* NUL"),
    (np.array([b'c', b'\xe9']), 'encoding other than UTF-8'),
  ],
)
def test_text_that_would_change_is_refused(values, message):
  with pytest.raises(ValueError, match=message):
    splits.encode_labels(values, 'the target')
