import numpy as np
import pytest
from sklearn import datasets

from al_jax import data, tasks
from al_jax.data.sources import diabetes


@pytest.fixture(scope='module')
def raw():
  return diabetes.read()


def test_rows_are_those_of_the_source_and_nothing_is_lost(raw):
  inputs, targets = datasets.load_diabetes(return_X_y=True, scaled=False)
  for split in (raw.train, raw.test):
    assert split.inputs.dtype == split.targets.dtype == np.float32
    np.testing.assert_array_equal(
      split.inputs, inputs[split.ids].astype(np.float32)
    )
    np.testing.assert_array_equal(split.targets[:, 0], targets[split.ids])
    assert (np.diff(split.ids) > 0).all()
  ids = np.concatenate([raw.train.ids, raw.test.ids])
  np.testing.assert_array_equal(np.sort(ids), np.arange(442))


def test_a_fifth_is_held_out_and_the_same_always(raw):
  assert (len(raw.train), len(raw.test)) == (354, 88)
  assert raw.test.ids[:5].tolist() == [2, 5, 18, 19, 27]


def test_it_is_loaded_by_its_name():
  found = data.load('diabetes')
  assert found.task == tasks.Vector(1, scale=100.0)
  assert found.normalize == 'feature'
  assert found.fingerprint == data.load('diabetes').fingerprint


def test_there_is_only_one_such_set():
  with pytest.raises(ValueError, match=r"takes no name after it, got 'small'"):
    diabetes.read('small')
