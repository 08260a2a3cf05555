"""Transforms that pick examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_jax import tasks
from al_jax.data.dataset import RawData, Split
from al_jax.data.sources import files
from al_jax.data.transforms import subsets


def _raw(targets, *, num_classes=None, num_test=12):
  targets = np.asarray(targets, np.int32)
  num_classes = num_classes or int(targets.max()) + 1
  size = len(targets)
  ids = np.arange(size + num_test)
  inputs = np.stack([ids, ids], axis=1).astype(np.uint8)
  test_targets = (np.arange(num_test) % num_classes).astype(np.int32)
  return RawData(
    name='toy',
    train=Split(inputs[:size], targets, ids[:size]),
    test=Split(inputs[size:], test_targets, ids[size:]),
    task=tasks.Classes([f'class {number}' for number in range(num_classes)]),
    is_image=False,
  )


def _counts(split, num_classes):
  return np.bincount(split.targets, minlength=num_classes).tolist()


def _assert_sub_split(part, whole):
  """Some of the examples, unchanged, in their order, each once."""
  position = {name: at for at, name in enumerate(whole.ids.tolist())}
  rows = [position[name] for name in part.ids.tolist()]
  assert rows == sorted(set(rows))
  np.testing.assert_array_equal(part.inputs, whole.inputs[rows])
  np.testing.assert_array_equal(part.targets, whole.targets[rows])


def test_exponential_imbalance_has_the_counts_of_the_formula():
  raw = _raw(np.arange(3_000) % 3)
  thin = subsets.imbalance(raw, ratio=100)
  assert _counts(thin.train, 3) == [1_000, 100, 10]
  _assert_sub_split(thin.train, raw.train)
  assert thin.test is raw.test


def test_step_imbalance_thins_the_second_half_of_the_classes():
  raw = _raw(np.arange(500) % 5)
  thin = subsets.imbalance(raw, ratio=10, profile='step')
  assert _counts(thin.train, 5) == [100, 100, 100, 10, 10]


def test_classes_are_thinned_by_name_or_number():
  raw = _raw(np.arange(300) % 3)
  thin = subsets.imbalance(raw, classes={'class 0': 0.25, 2: 0.5})
  assert _counts(thin.train, 3) == [25, 100, 50]


@given(
  counts=st.lists(st.integers(1, 30), min_size=2, max_size=6),
  ratio=st.floats(1, 1e6),
  profile=st.sampled_from(['exponential', 'step']),
)
def test_imbalance_never_loses_a_class(counts, ratio, profile):
  raw = _raw(np.repeat(np.arange(len(counts)), counts))
  thin = subsets.imbalance(raw, ratio=ratio, profile=profile)
  left = _counts(thin.train, len(counts))
  assert left[0] == counts[0]
  assert all(1 <= n <= most for n, most in zip(left, counts, strict=True))


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({}, 'give ratio or classes'),
    ({'ratio': 2, 'classes': {0: 0.5}}, 'give ratio or classes'),
    ({'ratio': 0.5}, r'ratio is 0\.5; .* at least 1'),
    ({'ratio': float('nan')}, 'ratio is nan'),
    ({'ratio': 2, 'profile': 'exponental'}, "Did you mean 'exponential'"),
    ({'classes': {'class 7': 0.5}}, "Did you mean 'class"),
    ({'classes': {9: 0.5}}, 'the class 9 is not known'),
    ({'classes': {0: 0}}, r'classes\[0\] is 0'),
    ({'ratio': 2, 'seed': -1}, 'seed is -1'),
  ],
)
def test_imbalance_names_what_is_wrong(options, message):
  with pytest.raises(ValueError, match=message):
    subsets.imbalance(_raw([0, 1, 2] * 9), **options)


def test_a_cap_keeps_the_proportions_and_the_other_split():
  raw = _raw([0] * 600 + [1] * 300 + [2] * 100)
  capped = subsets.cap(raw, train=100)
  assert _counts(capped.train, 3) == [60, 30, 10]
  _assert_sub_split(capped.train, raw.train)
  assert capped.test is raw.test
  capped = subsets.cap(raw, test=6)
  assert _counts(capped.test, 3) == [2, 2, 2]
  assert capped.train is raw.train


@given(
  counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
  size=st.integers(1, 120),
  seed=st.integers(0, 3),
  stratified=st.booleans(),
)
def test_a_cap_is_met_exactly(counts, size, seed, stratified):
  raw = _raw(np.repeat(np.arange(len(counts)), counts))
  capped = subsets.cap(raw, train=size, seed=seed, stratified=stratified)
  assert len(capped.train) == min(size, sum(counts))
  _assert_sub_split(capped.train, raw.train)
  left = _counts(capped.train, len(counts))
  if stratified and size >= np.count_nonzero(counts):
    assert all(
      (n > 0) == (most > 0) for n, most in zip(left, counts, strict=True)
    )


def test_a_large_cap_changes_nothing():
  raw = _raw([0, 1] * 9)
  assert subsets.cap(raw, train=100, test=100) == raw


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({}, 'give train, test or both'),
    ({'train': 0}, 'train is 0; .* whole number at least 1'),
    ({'test': 2.5}, r'test is 2\.5'),
  ],
)
def test_cap_names_what_is_wrong(options, message):
  with pytest.raises(ValueError, match=message):
    subsets.cap(_raw([0, 1, 2] * 9), **options)


@given(
  counts=st.lists(st.integers(2, 40), min_size=1, max_size=6),
  size=st.integers(1, 120),
  stratified=st.booleans(),
)
def test_a_validation_split_parts_the_training_split(counts, size, stratified):
  raw = _raw(np.repeat(np.arange(len(counts)), counts))
  size = min(size, sum(counts) - len(counts))
  parted = subsets.validation_split(raw, size=size, stratified=stratified)
  assert len(parted.validation) == size
  for split in (parted.train, parted.validation):
    _assert_sub_split(split, raw.train)
  both = np.concatenate([parted.train.ids, parted.validation.ids])
  np.testing.assert_array_equal(np.sort(both), raw.train.ids)
  if stratified:
    assert min(_counts(parted.train, len(counts))) >= 1


def test_a_validation_split_can_be_a_fraction():
  parted = subsets.validation_split(_raw([0, 0, 0, 1] * 50), fraction=0.1)
  assert _counts(parted.validation, 2) == [15, 5]
  assert _counts(parted.train, 2) == [135, 45]


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({}, 'give size or fraction'),
    ({'size': 1, 'fraction': 0.5}, 'give size or fraction'),
    ({'size': 0}, 'size is 0'),
    ({'size': 25}, 'size=25 must be at most 24'),
    ({'fraction': 1.0}, r'fraction is 1\.0'),
  ],
)
def test_validation_split_names_what_is_wrong(options, message):
  with pytest.raises(ValueError, match=message):
    subsets.validation_split(_raw([0, 1, 2] * 9), **options)


def test_a_second_validation_split_is_refused():
  parted = subsets.validation_split(_raw([0, 1, 2] * 9), size=3)
  with pytest.raises(ValueError, match='has one already'):
    subsets.validation_split(parted, size=3, seed=1)


@pytest.mark.parametrize(
  'transform',
  [
    lambda raw, seed: subsets.imbalance(raw, ratio=10, seed=seed),
    lambda raw, seed: subsets.cap(raw, train=90, seed=seed),
    lambda raw, seed: subsets.validation_split(raw, size=90, seed=seed),
  ],
)
def test_the_seed_decides_what_is_picked(transform):
  raw = _raw(np.arange(300) % 3)
  one, again, other = (transform(raw, seed).train.ids for seed in (1, 1, 2))
  np.testing.assert_array_equal(one, again)
  assert not np.array_equal(one, other)


def test_memory_mapped_inputs_are_copied_only_where_kept(tmp_path):
  np.save(tmp_path / 'x.npy', np.zeros((30, 4), np.uint8))
  raw = _raw([0, 1, 2] * 10)
  mapped = np.load(tmp_path / 'x.npy', mmap_mode='r')
  raw = raw._replace(train=Split(mapped, raw.train.targets, raw.train.ids))
  kept = subsets.cap(raw, train=6).train.inputs
  assert kept.shape == (6, 4)
  assert not isinstance(kept, np.memmap)


def test_a_real_imbalanced_set_keeps_its_rare_classes(files_dir):
  raw = files.read(str(files_dir / 'shuttle' / 'shuttle.npz'))
  capped = subsets.cap(raw, train=500)
  assert len(capped.train) == 500
  assert min(_counts(capped.train, 7)) == 1
