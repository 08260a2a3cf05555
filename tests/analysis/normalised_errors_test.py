import numpy as np
import pytest

from al_jax.analysis import normalised_errors, penalty


def setting(**curves):
  """One seed; a curve is a list of accuracies at 10, 20, ... labels."""
  return penalty.Setting(
    {
      system: {0: {10 * (i + 1): value for i, value in enumerate(values)}}
      for system, values in curves.items()
    }
  )


def test_the_distribution_by_hand():
  settings = [
    # Checkpoints 10 and 20: ratios 1 and 0.5, of weight 1/2 each.
    setting(random=[0.5, 0.6, 0.9], a=[0.5, 0.8, 0.9]),
    # Checkpoint 10: ratio 0.75, of weight 1.
    setting(random=[0.6, 0.6], a=[0.7, 0.7]),
  ]
  found = normalised_errors.normalised_errors(settings)
  np.testing.assert_allclose(found['a'].values, [0.5, 0.75, 1])
  np.testing.assert_allclose(found['a'].cumulative, [0.25, 0.75, 1])
  np.testing.assert_array_equal(found['random'].values, [1, 1, 1])


def test_seeds_are_averaged_before_the_ratio_is_taken():
  runs = {
    'random': {0: {10: 0.2}, 1: {10: 0.8}},
    'a': {0: {10: 0.6}, 1: {10: 0.9}},
  }
  found = normalised_errors.normalised_errors([penalty.Setting(runs)])
  np.testing.assert_allclose(found['a'].values, [0.25 / 0.5])


def test_a_checkpoint_without_errors_of_random_counts_on_neither_side():
  settings = [
    setting(random=[1.0, 1.0], a=[0.5, 1.0]),
    setting(random=[0.5, 0.6, 0.9], a=[0.5, 0.8, 0.9]),
  ]
  found = normalised_errors.normalised_errors(settings)
  np.testing.assert_allclose(found['a'].values, [0.5, 1])
  np.testing.assert_allclose(found['a'].cumulative, [0.5, 1])
  assert normalised_errors.normalised_errors(settings[:1]) == {}


def test_a_checkpoint_without_a_record_counts_on_neither_side():
  short = setting(random=[0.5, 0.6, 0.9], a=[0.75])
  found = normalised_errors.normalised_errors([short])
  np.testing.assert_allclose(found['a'].values, [0.5])
  np.testing.assert_allclose(found['a'].cumulative, [1])
  assert len(found['random'].values) == 2


def test_the_distribution_agrees_with_counting(rng):
  values, weights = rng.random(20), rng.random(20)
  found = normalised_errors.weighted_cdf(values, weights)
  for value, share in zip(*found, strict=True):
    below = weights[values <= value].sum() / weights.sum()
    assert share == pytest.approx(below)
  with pytest.raises(ValueError, match=r'\(0,\) and weights \(0,\)'):
    normalised_errors.weighted_cdf([], [])


def test_a_setting_without_the_baseline_is_refused():
  with pytest.raises(ValueError, match="System 'random' is not known"):
    normalised_errors.normalised_errors([setting(a=[0.5])])
