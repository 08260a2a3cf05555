"""The test split of sources that have none."""

import fractions
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_jax import tasks
from al_jax.data import splits


def _part(labels, ids=None):
  labels = np.asarray(labels)
  inputs = np.arange(len(labels), dtype=np.float32)[:, np.newaxis]
  return splits.Part(inputs, labels, ids)


_DEFAULT = splits.SplitProtocol()


def _assemble(parts, protocol=_DEFAULT, **options):
  return splits.assemble('toy', parts, protocol, is_image=False, **options)


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


def test_numbers_are_split_by_the_first_draw_whatever_they_are():
  values = np.random.default_rng(0).normal(size=(30, 2))
  protocol = splits.SplitProtocol(0.2, 5, 20)
  raw = _assemble({'train': _part(values)}, protocol, scale=2.0)
  assert raw.task == tasks.Vector(2, scale=2.0)
  order = np.random.default_rng(5).permutation(30)
  np.testing.assert_array_equal(raw.train.ids, order[:20])
  np.testing.assert_array_equal(raw.test.ids, order[24:])
  for split in (raw.train, raw.test):
    np.testing.assert_array_equal(
      split.targets, values[split.ids].astype(np.float32)
    )
  poisoned = _assemble({'train': _part(0 * values)}, protocol, scale=2.0)
  np.testing.assert_array_equal(poisoned.train.ids, raw.train.ids)


def test_own_splits_of_numbers_may_come_as_rows_or_columns():
  parts = {'train': _part([0.5, 1.5]), 'test': _part([[2.5]])}
  raw = _assemble(parts, scale=1.0)
  np.testing.assert_array_equal(raw.train.targets, [[0.5], [1.5]])
  np.testing.assert_array_equal(raw.test.targets, [[2.5]])


def test_names_of_classes_and_a_scale_exclude_each_other():
  with pytest.raises(ValueError, match=r'scale=1\.0 is for numbers'):
    _assemble({'train': _part([0, 1])}, scale=1.0, class_names=['a', 'b'])
