import math

import numpy as np
import pytest

from al_jax.analysis import bootstrap, stats
from tests.factories import two_systems


def test_resampled_means_are_means_of_drawn_rows(rng):
  values = rng.normal(size=(4, 3))
  means = bootstrap.resampled_means(values, seed=7, resamples=50)
  drawn = np.random.default_rng(7).integers(4, size=(50, 4))
  expected = [np.mean([values[row] for row in rows], axis=0) for rows in drawn]
  np.testing.assert_allclose(means, expected)


def test_the_draws_depend_on_the_seed_alone(rng):
  values = rng.normal(size=5)
  one, same = (bootstrap.resampled_means(values, seed=3) for _ in range(2))
  np.testing.assert_array_equal(one, same)
  assert np.any(one != bootstrap.resampled_means(values, seed=4))


def test_no_rows_are_refused():
  with pytest.raises(ValueError, match=r'values has shape \(0, 2\)'):
    bootstrap.resampled_means(np.zeros((0, 2)))


def test_the_interval_leaves_a_tail_on_either_side():
  # Of 0..99, in any order, a tenth is at or below 9 and a tenth above 89.
  draws = np.random.default_rng(0).permutation(100)
  found = bootstrap.interval(50, draws, level=0.8)
  assert found == (50, 9, 89)


def test_infinite_draws_are_the_largest():
  draws = np.array([1.0] * 10 + [np.inf] * 90)
  found = bootstrap.interval(np.inf, draws)
  assert found == (math.inf, 1.0, math.inf)


def test_a_single_seed_has_no_interval():
  found = bootstrap.mean_interval(np.array([0.5]))
  assert found.estimate == 0.5
  assert math.isnan(found.low) and math.isnan(found.high)


def test_five_seeds_are_a_little_too_sure_of_themselves(rng):
  covered = 0
  for _ in range(400):
    low, high = bootstrap.mean_interval(rng.normal(size=5), resamples=400)[1:]
    covered += low <= 0 <= high
  assert covered / 400 == pytest.approx(0.85, abs=0.06)


def test_the_areas_by_hand():
  # From 10 to 20 labels, which all have: random 0.55 and 0.6, margin 0.6 and
  # 0.75. Draws of two seeds give either of them, or both.
  runs = stats.runs(two_systems())
  assert bootstrap.areas_by_seed(runs) == {
    'random': {0: pytest.approx(0.55), 1: pytest.approx(0.6)},
    'margin': {0: pytest.approx(0.6), 1: pytest.approx(0.75)},
  }
  areas = bootstrap.areas(runs)
  assert areas['random'] == pytest.approx((0.575, 0.55, 0.6))
  assert areas['margin'] == pytest.approx((0.675, 0.6, 0.75))


def test_differences_of_areas_are_paired():
  runs = stats.runs(two_systems())
  less = bootstrap.areas(runs, baseline='random')
  assert less == {'margin': pytest.approx((0.1, 0.05, 0.15))}
  # The seeds differ much, the systems by the same in each: no uncertainty.
  runs['margin'] = {
    seed: {labels: value + 0.1 for labels, value in run.items()}
    for seed, run in runs['random'].items()
  }
  less = bootstrap.areas(runs, baseline='random')
  assert less == {'margin': pytest.approx((0.1, 0.1, 0.1))}


def test_runs_with_nothing_in_common_have_no_areas():
  apart = {'random': {0: {10: 0.5}}, 'margin': {0: {20: 0.5}}}
  assert bootstrap.areas(apart) == {}
  assert bootstrap.areas({'margin': {0: {10: 0.5}}}, baseline='random') == {}
  other_seeds = {'random': {0: {10: 0.5}}, 'margin': {1: {10: 0.5}}}
  assert bootstrap.areas(other_seeds, baseline='random') == {}
