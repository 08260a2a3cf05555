import math

import numpy as np
import pytest

from al_jax.analysis import curves, intervals
from tests.factories import two_systems


def test_resampled_means_are_means_of_drawn_rows(rng):
  values = rng.normal(size=(4, 3))
  means = intervals.resampled_means(values, seed=7, resamples=50)
  drawn = np.random.default_rng(7).integers(4, size=(50, 4))
  expected = [np.mean([values[row] for row in rows], axis=0) for rows in drawn]
  np.testing.assert_allclose(means, expected)


def test_the_draws_depend_on_the_seed_alone(rng):
  values = rng.normal(size=5)
  one, same = (intervals.resampled_means(values, seed=3) for _ in range(2))
  np.testing.assert_array_equal(one, same)
  assert np.any(one != intervals.resampled_means(values, seed=4))


def test_no_rows_are_refused():
  with pytest.raises(ValueError, match=r'values has shape \(0, 2\)'):
    intervals.resampled_means(np.zeros((0, 2)))


def test_the_interval_leaves_a_tail_on_either_side():
  # Of 0..99, in any order, a tenth is at or below 9 and a tenth above 89.
  draws = np.random.default_rng(0).permutation(100)
  found = intervals.interval(50, draws, level=0.8)
  assert found == (50, 9, 89)


def test_infinite_draws_are_the_largest():
  draws = np.array([1.0] * 10 + [np.inf] * 90)
  found = intervals.interval(np.inf, draws)
  assert found == (math.inf, 1.0, math.inf)


def test_a_single_seed_has_no_interval():
  found = intervals.mean_interval(np.array([0.5]))
  assert found.estimate == 0.5
  assert math.isnan(found.low) and math.isnan(found.high)


def test_five_seeds_are_a_little_too_sure_of_themselves(rng):
  covered = 0
  for _ in range(400):
    low, high = intervals.mean_interval(rng.normal(size=5), resamples=400)[1:]
    covered += low <= 0 <= high
  assert covered / 400 == pytest.approx(0.85, abs=0.06)


def test_the_areas_by_hand():
  # From 10 to 20 labels, which all have: random 0.55 and 0.6, margin 0.6 and
  # 0.75. Draws of two seeds give either of them, or both.
  runs = curves.runs(two_systems())
  assert intervals.areas_by_seed(runs) == {
    'random': {0: pytest.approx(0.55), 1: pytest.approx(0.6)},
    'margin': {0: pytest.approx(0.6), 1: pytest.approx(0.75)},
  }
  areas = intervals.areas(runs)
  assert areas['random'] == pytest.approx((0.575, 0.55, 0.6))
  assert areas['margin'] == pytest.approx((0.675, 0.6, 0.75))


def test_differences_of_areas_are_paired():
  runs = curves.runs(two_systems())
  less = intervals.areas(runs, baseline='random')
  assert less == {'margin': pytest.approx((0.1, 0.05, 0.15))}
  # The seeds differ much, the systems by the same in each: no uncertainty.
  runs['margin'] = {
    seed: {labels: value + 0.1 for labels, value in run.items()}
    for seed, run in runs['random'].items()
  }
  less = intervals.areas(runs, baseline='random')
  assert less == {'margin': pytest.approx((0.1, 0.1, 0.1))}


def test_runs_with_nothing_in_common_have_no_areas():
  apart = {'random': {0: {10: 0.5}}, 'margin': {0: {20: 0.5}}}
  assert intervals.areas(apart) == {}
  assert intervals.areas({'margin': {0: {10: 0.5}}}, baseline='random') == {}
  other_seeds = {'random': {0: {10: 0.5}}, 'margin': {1: {10: 0.5}}}
  assert intervals.areas(other_seeds, baseline='random') == {}


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
    found = intervals.first_reach(labels, values, np.array(target))
    assert found == pytest.approx(expected), target


def test_many_curves_agree_with_one_at_a_time(rng):
  labels = np.array([1, 2, 5, 6, 9])
  # Steps of a fifth: flat pieces, falls, and values that are met exactly.
  values = rng.integers(0, 6, size=(200, 5)) / 5
  targets = rng.integers(0, 7, size=200) / 5
  found = intervals.first_reach(labels, values, targets)
  expected = [
    reach(labels, row, target)
    for row, target in zip(values, targets, strict=True)
  ]
  np.testing.assert_allclose(found, expected)
  assert np.isinf(found).any() and np.isfinite(found).any()


def test_one_point_is_reached_or_not():
  one = np.array([10]), np.array([0.5])
  assert intervals.first_reach(*one, np.array(0.5)) == 10
  assert intervals.first_reach(*one, np.array(0.6)) == math.inf


def test_shapes_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match=r'\(2,\) and values \(3,\)'):
    intervals.first_reach(np.ones(2), np.ones(3), np.array(0.5))


def test_the_labels_of_mean_curves_with_their_interval():
  # The means: random ends at 0.6; the system has 0.5 at 10 and 0.7 at 20.
  random = {0: {10: 0.4, 30: 0.5}, 1: {10: 0.6, 30: 0.7}}
  system = {0: {10: 0.4, 20: 0.6}, 1: {10: 0.6, 20: 0.8}}
  found = intervals.labels_to_reach(system, random)
  # Of either seed alone it is the same: 0.1 of the way of 0.2.
  assert found == pytest.approx((15, 15, 15))


def test_an_error_is_reached_from_above():
  # The means: random ends at 4; the system has 5 at 10 and 3 at 20.
  random = {0: {10: 6.0, 30: 5.0}, 1: {10: 4.0, 30: 3.0}}
  system = {0: {10: 6.0, 20: 4.0}, 1: {10: 4.0, 20: 2.0}}
  found = intervals.labels_to_reach(system, random, larger_is_better=False)
  assert found == pytest.approx((15, 15, 15))
  found = intervals.labels_to_reach(random, system, larger_is_better=False)
  assert found.estimate == math.inf


def test_what_is_not_reached_is_infinite():
  random = {0: {10: 0.4, 20: 0.9}, 1: {10: 0.4, 20: 0.5}}
  system = {0: {10: 0.4, 20: 0.6}, 1: {10: 0.4, 20: 0.6}}
  found = intervals.labels_to_reach(system, random)
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
  found = intervals.labels_to_reach(system, random, seed=5, resamples=300)
  draws = []
  for seeds in np.random.default_rng(5).integers(4, size=(300, 4)):
    target = np.mean([random[seed][40] for seed in seeds])
    curve = [np.mean([system[seed][n] for seed in seeds]) for n in labels]
    draws.append(reach(labels, curve, target))
  expected = intervals.interval(found.estimate, np.array(draws))
  assert found == pytest.approx(expected)


def test_the_baseline_reaches_its_own_end(rng):
  random = {
    seed: {10: 0.1, 20: 0.5, 30: 0.5 + rng.random() / 3} for seed in range(7)
  }
  found = intervals.labels_to_reach(random, random)
  assert found == pytest.approx((30, 30, 30))


def test_one_seed_has_no_interval_and_no_seed_is_refused():
  found = intervals.labels_to_reach({0: {10: 1.0}}, {0: {10: 0.5}})
  assert found.estimate == 10 and math.isnan(found.low)
  with pytest.raises(ValueError, match='need a common one'):
    intervals.labels_to_reach({0: {10: 1.0}}, {1: {10: 0.5}})
  with pytest.raises(ValueError, match='no number of labels in common'):
    intervals.labels_to_reach(
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
  found = intervals.labels_to_reach(system, baseline)
  assert found.estimate == pytest.approx(40, abs=1e-3)


def test_a_value_that_is_not_finite_is_refused():
  system = shares((240, 313), 360)
  baseline = shares((240, np.nan), 360)
  with pytest.raises(ValueError, match='a value is nan'):
    intervals.labels_to_reach(system, baseline)
