import math

import numpy as np
import pytest

from al_jax.analysis import bootstrap, labels_needed


def reach(labels, values, target):
  """The same for one curve, point by point."""
  if values[0] >= target:
    return labels[0]
  for i in range(1, len(labels)):
    if values[i] >= target:
      share = (target - values[i - 1]) / (values[i] - values[i - 1])
      return labels[i - 1] + share * (labels[i] - labels[i - 1])
  return math.inf


def test_the_first_crossing_by_hand():
  labels = np.array([10, 20, 40])
  values = np.array([0.5, 0.6, 0.8])
  for target, expected in (
    (0.4, 10),
    (0.5, 10),
    (0.55, 15),
    (0.6, 20),
    (0.7, 30),
    (0.8, 40),
    (0.81, math.inf),
  ):
    found = labels_needed.first_reach(labels, values, np.array(target))
    assert found == pytest.approx(expected), target


def test_many_curves_agree_with_one_at_a_time(rng):
  labels = np.array([1, 2, 5, 6, 9])
  # Steps of a fifth: flat pieces, falls, and values that are met exactly.
  values = rng.integers(0, 6, size=(200, 5)) / 5
  targets = rng.integers(0, 7, size=200) / 5
  found = labels_needed.first_reach(labels, values, targets)
  expected = [
    reach(labels, row, target)
    for row, target in zip(values, targets, strict=True)
  ]
  np.testing.assert_allclose(found, expected)
  assert np.isinf(found).any() and np.isfinite(found).any()


def test_one_point_is_reached_or_not():
  one = np.array([10]), np.array([0.5])
  assert labels_needed.first_reach(*one, np.array(0.5)) == 10
  assert labels_needed.first_reach(*one, np.array(0.6)) == math.inf


def test_shapes_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match=r'\(2,\) and values \(3,\)'):
    labels_needed.first_reach(np.ones(2), np.ones(3), np.array(0.5))


def test_the_labels_of_mean_curves_with_their_interval():
  # The means: random ends at 0.6; the system has 0.5 at 10 and 0.7 at 20.
  random = {0: {10: 0.4, 30: 0.5}, 1: {10: 0.6, 30: 0.7}}
  system = {0: {10: 0.4, 20: 0.6}, 1: {10: 0.6, 20: 0.8}}
  found = labels_needed.labels_to_reach(system, random)
  # Of either seed alone it is the same: 0.1 of the way of 0.2.
  assert found == pytest.approx((15, 15, 15))


def test_what_is_not_reached_is_infinite():
  random = {0: {10: 0.4, 20: 0.9}, 1: {10: 0.4, 20: 0.5}}
  system = {0: {10: 0.4, 20: 0.6}, 1: {10: 0.4, 20: 0.6}}
  found = labels_needed.labels_to_reach(system, random)
  # The second seed alone: half of the way. The first, or both: never.
  assert found == (math.inf, pytest.approx(15), math.inf)


def test_the_interval_agrees_with_draws_one_by_one(rng):
  labels = [10, 20, 30, 40]
  random, system = (
    {
      seed: dict(zip(labels, np.sort(rng.random(4)) * scale, strict=True))
      for seed in range(4)
    }
    for scale in (0.8, 1.0)
  )
  found = labels_needed.labels_to_reach(system, random, seed=5, resamples=300)
  draws = []
  for seeds in np.random.default_rng(5).integers(4, size=(300, 4)):
    target = np.mean([random[seed][40] for seed in seeds])
    curve = [np.mean([system[seed][n] for seed in seeds]) for n in labels]
    draws.append(reach(labels, curve, target))
  expected = bootstrap.interval(found.estimate, np.array(draws))
  assert found == pytest.approx(expected)


def test_the_baseline_reaches_its_own_end(rng):
  random = {
    seed: {10: 0.1, 20: 0.5, 30: 0.5 + rng.random() / 3} for seed in range(7)
  }
  found = labels_needed.labels_to_reach(random, random)
  assert found == pytest.approx((30, 30, 30))


def test_one_seed_has_no_interval_and_no_seed_is_refused():
  found = labels_needed.labels_to_reach({0: {10: 1.0}}, {0: {10: 0.5}})
  assert found.estimate == 10 and math.isnan(found.low)
  with pytest.raises(ValueError, match='need a common one'):
    labels_needed.labels_to_reach({0: {10: 1.0}}, {1: {10: 0.5}})
  with pytest.raises(ValueError, match='no number of labels in common'):
    labels_needed.labels_to_reach(
      {0: {10: 1.0}, 1: {20: 1.0}}, {0: {10: 0.5}, 1: {10: 0.5}}
    )


def shares(counts, size, at=40):
  """Of a metric that was computed in float32, by seed, then labels."""
  return {
    seed: {20: 0.1, at: float(np.float32(count) / np.float32(size))}
    for seed, count in enumerate(counts)
  }


def test_means_that_differ_by_rounding_are_reached():
  system = shares((240, 313, 226, 215), 360)
  baseline = shares((240, 319, 220, 215), 360)
  found = labels_needed.labels_to_reach(system, baseline)
  assert found.estimate == pytest.approx(40, abs=1e-3)


def test_a_value_that_is_not_finite_is_refused():
  system = shares((240, 313), 360)
  baseline = shares((240, np.nan), 360)
  with pytest.raises(ValueError, match='a value is nan'):
    labels_needed.labels_to_reach(system, baseline)
