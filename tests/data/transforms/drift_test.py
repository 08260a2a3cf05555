"""Orders of a stream."""

import numpy as np
import pytest

from al_jax.data import transforms
from al_jax.data.transforms.drift import KINDS
from tests.data.transforms.subsets_test import _raw

CLASSES = 4


def a_raw(size=4000):
  return _raw(np.arange(size) % CLASSES)


def drifted(**options):
  return transforms.drift(a_raw(), **options).train


@pytest.mark.parametrize('kind', KINDS)
def test_every_example_is_kept_once_with_its_id_and_target(kind):
  raw = a_raw()
  found = transforms.drift(raw, kind=kind)
  assert sorted(found.train.ids.tolist()) == raw.train.ids.tolist()
  np.testing.assert_array_equal(found.train.targets, found.train.ids % CLASSES)
  np.testing.assert_array_equal(
    found.train.inputs, raw.train.inputs[found.train.ids]
  )
  assert found.test is raw.test
  again = transforms.drift(raw, kind=kind).train.ids
  np.testing.assert_array_equal(found.train.ids, again)
  other = transforms.drift(raw, kind=kind, seed=1).train.ids
  assert np.any(other != again) == (kind != 'by_id')


def test_the_order_of_a_table_comes_back():
  shuffled = transforms.drift(a_raw(), kind='shuffled')
  found = transforms.drift(shuffled, kind='by_id').train
  np.testing.assert_array_equal(found.ids, np.arange(len(found.ids)))


def test_an_abrupt_change_brings_the_late_classes_at_once():
  targets = drifted(kind='abrupt', at=0.4).targets
  assert set(targets[:1600]) == {0, 1}
  # 400 early examples are left among 2,000 late ones.
  assert 0.1 < np.mean(targets[1600:2000] < 2) < 0.25
  assert set(drifted(kind='abrupt').targets[2000:]) == {2, 3}


def test_a_gradual_change_is_a_line():
  early = drifted(kind='gradual').targets < 2
  shares = early.reshape(10, -1).mean(axis=1)
  np.testing.assert_allclose(shares, 1 - np.arange(0.05, 1, 0.1), atol=0.07)


def test_a_new_class_comes_after_its_position():
  targets = drifted(kind='new_class', at=0.6, new='class 1').targets
  assert set(targets[:2400]) == {0, 2, 3}
  assert 0.5 < np.mean(targets[2400:] == 1) < 0.75
  assert 3 not in drifted(kind='new_class').targets[:2000]


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'kind': 'abupt'}, "Did you mean 'abrupt'"),
    ({'at': 0.5}, "kind 'shuffled' does not use it"),
    ({'kind': 'abrupt', 'new': 'class 1'}, 'does not use it; only new_class'),
    ({'kind': 'abrupt', 'at': 1.0}, 'at is 1.0'),
    ({'kind': 'abrupt', 'at': 0.6}, 'takes 2400 examples .* there are 2000'),
    ({'kind': 'new_class', 'new': 'class'}, "'class 1'|class 1"),
  ],
)
def test_what_cannot_be_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    drifted(**options)
