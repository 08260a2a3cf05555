"""Redundancy, label noise, and chains of transforms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import datasets

from al_jax import tasks
from al_jax.data import transforms
from al_jax.data.dataset import RawData, Split


@pytest.fixture(scope='module')
def digits():
  found = datasets.load_digits()
  images = found.images.astype(np.uint8)[..., np.newaxis]
  targets, ids = found.target.astype(np.int32), np.arange(len(images))
  return RawData(
    name='digits',
    train=Split(images[:1500], targets[:1500], ids[:1500]),
    test=Split(images[1500:], targets[1500:], ids[1500:]),
    task=tasks.numbered(10),
    is_image=True,
  )


def test_redundancy_repeats_with_noise_in_units_of_the_spread(digits):
  raw = transforms.redundancy(digits, copies=3, noise=0.1)
  clean = digits.train.inputs.astype(np.float32)
  assert raw.train.inputs.dtype == raw.test.inputs.dtype == np.float32
  assert raw.train.inputs.shape == (4_500, 8, 8, 1)
  np.testing.assert_array_equal(
    raw.train.targets, np.tile(digits.train.targets, 3)
  )
  np.testing.assert_array_equal(raw.test.inputs, digits.test.inputs)
  noise = raw.train.inputs.reshape(3, *clean.shape) - clean
  # 96,000 draws a copy: the standard error of a std is 0.0023 of it.
  np.testing.assert_allclose(
    noise.std(axis=(1, 2, 3, 4)), 0.1 * clean.std(), rtol=0.01
  )
  flat = noise.reshape(3, -1)
  assert np.abs(np.corrcoef(flat) - np.eye(3)).max() < 0.02
  assert len(set(raw.train.ids)) == 4_500
  assert raw.train.ids[[0, 1500, 4499]].tolist() == ['0#0', '0#1', '1499#2']


def test_redundancy_scales_the_noise_by_column_in_tables(rng):
  scales = np.float32([1, 1_000, 0])
  inputs = 7 + scales * rng.standard_normal((5_000, 3), np.float32)
  split = Split(inputs, np.zeros(5_000, np.int32), np.arange(5_000))
  raw = RawData('table', split, tasks.numbered(1), False)
  noise = transforms.redundancy(raw, copies=1, noise=0.5).train.inputs - inputs
  np.testing.assert_allclose(noise.std(axis=0), 0.5 * scales, rtol=0.05)


def test_redundancy_without_noise_makes_exact_copies(digits):
  raw = transforms.redundancy(digits, copies=2, noise=0)
  assert raw.train.inputs.dtype == np.uint8
  for copy in np.split(raw.train.inputs, 2):
    np.testing.assert_array_equal(copy, digits.train.inputs)


def test_redundancy_makes_a_validation_split_of_one_type(digits):
  raw = digits._replace(validation=digits.test)
  raw = transforms.redundancy(raw)
  assert raw.validation.inputs.dtype == np.float32
  assert len(raw.validation) == len(digits.test)


@given(rate=st.floats(0, 1), seed=st.integers(0, 3))
def test_label_noise_flips_the_stated_part(digits, rate, seed):
  raw = transforms.label_noise(digits, rate=rate, seed=seed)
  flipped = raw.train.targets != digits.train.targets
  assert np.count_nonzero(flipped) == round(rate * 1_500)
  assert raw.train.targets.dtype == np.int32
  assert raw.train.targets.min() >= 0
  assert raw.train.targets.max() <= 9
  assert raw.test is digits.test


def test_label_noise_is_uniform_over_the_other_classes(digits):
  raw = transforms.label_noise(digits, rate=1.0)
  steps = (raw.train.targets - digits.train.targets) % 10
  counts = np.bincount(steps, minlength=10)
  assert counts[0] == 0
  # 1,500 draws over 9 classes: 166.7 each, standard deviation 12.2.
  assert np.abs(counts[1:] - 1_500 / 9).max() < 5 * 12.2


def test_transforms_leave_what_they_are_given_alone(digits):
  before = digits.train.targets.copy(), digits.train.inputs.copy()
  transforms.label_noise(digits, rate=0.5)
  transforms.redundancy(digits)
  np.testing.assert_array_equal(digits.train.targets, before[0])
  np.testing.assert_array_equal(digits.train.inputs, before[1])


def test_a_chain_is_the_composition_of_its_transforms(digits):
  specs = [
    {'name': 'cap', 'train': 600, 'test': 100},
    {'name': 'imbalance', 'ratio': 10, 'seed': 3},
    {'name': 'validation_split', 'size': 50},
    {'name': 'label_noise', 'rate': 0.2},
    {'name': 'redundancy', 'copies': 2},
  ]
  raw = transforms.apply_transforms(digits, specs)
  by_hand = transforms.cap(digits, train=600, test=100)
  by_hand = transforms.imbalance(by_hand, ratio=10, seed=3)
  by_hand = transforms.validation_split(by_hand, size=50)
  by_hand = transforms.label_noise(by_hand, rate=0.2)
  by_hand = transforms.redundancy(by_hand, copies=2)
  for split, expected in zip(
    raw.parts().values(), by_hand.parts().values(), strict=True
  ):
    for field in ('inputs', 'targets', 'ids'):
      np.testing.assert_array_equal(
        getattr(split, field), getattr(expected, field)
      )


def test_transforms_of_different_options_draw_independently(digits):
  flipped = [
    transforms.label_noise(digits, rate=rate).train.targets
    != digits.train.targets
    for rate in (0.5, 0.5000001)
  ]
  # 750 of 1,500 each: 375 in common, standard deviation 9.7.
  assert abs(np.count_nonzero(flipped[0] & flipped[1]) - 375) < 5 * 9.7


def test_no_transforms_change_nothing(digits):
  assert transforms.apply_transforms(digits, []) is digits


@pytest.mark.parametrize(
  ('specs', 'message'),
  [
    ([{'name': 'imbalanse'}], "Did you mean 'imbalance'"),
    ([{'name': 'cap', 'trian': 5}], "cap: .*Did you mean 'train'"),
    ([{'name': 'cap', 'raw': 5}], "the option 'raw' is not known"),
    ([{'name': 'label_noise'}], "'rate' must be given"),
    ([{'name': 'label_noise', 'rate': 1.5}], r'rate is 1\.5; .* at most 1'),
    ([{'name': 'redundancy', 'copies': 0}], 'copies is 0'),
    ([{'name': 'redundancy', 'noise': -1}], 'noise is -1'),
    ([{'name': 'label_noise', 'rate': 'x'}], "rate is 'x'; .* a number"),
    ([{'name': ['cap']}], r"transform \['cap'\] is not known"),
    (3, 'transforms: 3 must be a list'),
    ([{'rate': 0.5}], "must be a dict with a 'name'"),
    (['cap'], "must be a dict with a 'name'"),
    ([{'name': 'cap', 'train': 5}] * 2, 'is there twice'),
  ],
)
def test_a_spec_that_does_not_fit_is_named(digits, specs, message):
  with pytest.raises(ValueError, match=message):
    transforms.apply_transforms(digits, specs)


def test_label_noise_needs_a_second_class(digits):
  with pytest.raises(ValueError, match='only one class'):
    transforms.label_noise(
      digits._replace(task=tasks.Classes(('a',))), rate=0.1
    )
