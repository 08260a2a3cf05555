import numpy as np
import pytest
from sklearn import datasets

from al_jax.data.sources import digits


@pytest.fixture(scope='module')
def raw():
  return digits.read()


def test_ids_are_rows_of_the_source_and_nothing_is_lost(raw):
  source = datasets.load_digits()
  for split in (raw.train, raw.test):
    np.testing.assert_array_equal(
      np.round(split.inputs[..., 0] / 255 * 16), source.images[split.ids]
    )
    np.testing.assert_array_equal(split.targets, source.target[split.ids])
  ids = np.concatenate([raw.train.ids, raw.test.ids])
  np.testing.assert_array_equal(np.sort(ids), np.arange(1_797))


def test_pixels_are_bytes_from_0_to_255(raw):
  assert raw.train.inputs.dtype == np.uint8
  assert raw.train.inputs.shape == (1_438, 8, 8, 1)
  assert (raw.train.inputs.min(), raw.train.inputs.max()) == (0, 255)


def test_a_fifth_of_every_class_is_held_out(raw):
  held_out = np.bincount(raw.test.targets)
  total = held_out + np.bincount(raw.train.targets)
  np.testing.assert_array_equal(held_out, np.round(total / 5))


def test_the_split_never_changes(raw):
  assert raw.test.ids[:5].tolist() == [5, 9, 12, 14, 16]
  np.testing.assert_array_equal(raw.test.ids, digits.read().test.ids)


def test_there_is_only_one_such_set():
  with pytest.raises(ValueError, match=r"takes no name after it, got 'small'"):
    digits.read('small')
