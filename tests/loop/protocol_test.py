import numpy as np
import pytest

from al_jax.loop.protocol import Protocol


@pytest.mark.parametrize(
  ('fields', 'budget'),
  [
    ({}, 100 + 9 * 100),
    ({'rounds': 1}, 100),
    ({'rounds': 3, 'labels_per_round': 7, 'first_size': 5}, 5 + 2 * 7),
    ({'rounds': 3, 'first_set': 'none', 'first_size': 0}, 200),
    ({'label_budget': 450}, 450),
    ({'label_budget': 100}, 100),
    ({'label_budget': 99_999}, 1000),
    ({'rounds': 1, 'first_set': 'none', 'first_size': 0}, 0),
  ],
)
def test_the_budget_is_what_the_rounds_need_and_no_more_than_allowed(
  fields, budget
):
  # R rounds are R fits: nothing is asked after the last.
  assert Protocol(**fields).budget == budget


@pytest.mark.parametrize(
  'first_set', ['uniform', 'balanced', 'first', 'k_center']
)
def test_first_sets_and_limits_are_kept(first_set):
  protocol = Protocol(
    first_set=first_set, target_accuracy=1.0, max_seconds=0.5, label_budget=100
  )
  assert protocol.first_set == first_set
  assert protocol.target_accuracy == 1.0


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'first_set': 'balance'}, "'balance' is not known. Did you mean 'balan"),
    ({'first_set': 'none'}, "'none' and first_size 100; 'none' goes with 0"),
    ({'first_size': 0}, "'uniform' and first_size 0; 'none' goes with 0"),
    ({'first_size': -3}, 'first_size is -3; .* at least 0'),
    ({'rounds': 0}, 'rounds is 0; it must be a whole number at least 1'),
    ({'labels_per_round': 0}, 'labels_per_round is 0; .* at least 1'),
    ({'save_every_steps': 0}, 'save_every_steps is 0; .* at least 1'),
    ({'label_budget': 99}, 'label_budget is 99; .* first set of 100'),
    ({'target_accuracy': 0}, 'target_accuracy is 0; .* above 0 and at most 1'),
    ({'target_accuracy': 95}, 'target_accuracy is 95; .* at most 1'),
    ({'target_accuracy': float('nan')}, 'target_accuracy is nan'),
    ({'test_accuracy': 95}, 'test_accuracy is 95; .* above 0 and at most 1'),
    ({'max_seconds': 0}, 'max_seconds is 0; it must be a number above 0'),
    ({'rounds': 2.5}, r'rounds is 2\.5; it must be a whole number'),
    ({'rounds': True}, 'rounds is True; it must be a whole number'),
    ({'labels_per_round': float('nan')}, 'labels_per_round is nan'),
    ({'labels_per_round': '7'}, "labels_per_round is '7'"),
    ({'label_budget': 200.5}, r'label_budget is 200\.5'),
    ({'save_every_steps': None}, 'save_every_steps is None'),
    ({'first_set': ['uniform']}, r"first_set \['uniform'\] is not known"),
    ({'max_seconds': float('nan')}, 'max_seconds is nan; .* above 0'),
  ],
)
def test_bad_fields_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    Protocol(**fields)


def test_a_target_needs_a_validation_split():
  protocol = Protocol(target_accuracy=0.9, test_accuracy=0.8)
  protocol.check(1000, has_validation=True)
  with pytest.raises(ValueError, match=r'is 0\.9; .*validation split'):
    protocol.check(1000, has_validation=False)
  Protocol(test_accuracy=0.9).check(1000, has_validation=False)


SPREAD = Protocol(first_set='k_center', first_size=3)


def test_features_become_float32_in_rows():
  pictures = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
  found = SPREAD.checked_features(pictures, 4)
  assert (found.dtype, found.shape) == (np.float32, (4, 6))
  np.testing.assert_array_equal(found[1], [6, 7, 8, 9, 10, 11])


@pytest.mark.parametrize(
  ('features', 'message'),
  [
    (np.zeros((5, 2)), r'float64\[5, 2\]; .* each of the 4 examples .* after'),
    (np.zeros(4), r'features are float64\[4\]; they must be numbers'),
    (np.array([['a']] * 4), 'they must be numbers'),
    (np.array([[1], [np.nan], [1], [1]]), 'example 1 have no finite length'),
    (np.array([[1], [1], [1], [1e30]]), 'example 3 have no finite length'),
  ],
)
def test_features_of_something_else_are_refused(features, message):
  with pytest.raises(ValueError, match=message):
    SPREAD.checked_features(features, 4)


def test_features_that_nobody_reads_are_refused():
  with pytest.raises(ValueError, match="'uniform'; only 'k_center' reads"):
    Protocol().checked_features(np.zeros((4, 2)), 4)
