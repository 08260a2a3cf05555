import math

import numpy as np
import pytest
import scipy.stats

from al_jax.analysis import curves
from tests.factories import a_record, two_systems


def test_mean_and_standard_error_by_hand():
  # Deviations -1, 0, 1: s = 1.
  mean, error, n = curves.mean_and_standard_error([1, 2, 3])
  assert (mean, n) == (2, 3)
  assert error == pytest.approx(1 / math.sqrt(3))


def test_one_value_has_no_standard_error():
  estimate = curves.mean_and_standard_error([4.0])
  assert estimate.mean == 4.0
  assert math.isnan(estimate.standard_error)


def test_no_values_are_refused():
  with pytest.raises(ValueError, match='values is empty'):
    curves.mean_and_standard_error([])


def test_a_curve_says_how_many_seeds_each_point_has():
  rows = [*two_systems(), a_record('margin', 0, 40, 0.95)]
  found = curves.curve(rows)
  assert list(found) == ['random', 'margin']
  labels, mean, error, n = found['margin']
  assert labels.tolist() == [10, 20, 30, 40]
  np.testing.assert_allclose(mean, [0.55, 0.8, 0.85, 0.95])
  np.testing.assert_allclose(error, [0.05, 0.1, 0.05, np.nan])
  assert n.tolist() == [2, 2, 2, 1]


def test_any_column_can_be_a_curve():
  found = curves.curve(two_systems(), column='test.log_loss')
  np.testing.assert_allclose(found['random'].mean, [0.5, 0.35])


def test_an_unknown_metric_names_the_closest():
  with pytest.raises(ValueError, match=r"mean 'test\.accuracy'"):
    curves.curve(two_systems(), column='test.acuracy')


def test_the_same_round_twice_is_refused():
  rows = two_systems()
  with pytest.raises(ValueError, match="'random', seed 0, are of round 1"):
    curves.runs([*rows, rows[0]])


def test_the_paired_test_agrees_with_scipy():
  generator = np.random.default_rng(0)
  for n in (2, 3, 5, 20):
    a = dict(enumerate(generator.normal(0.5, 1, n)))
    b = dict(enumerate(generator.normal(0, 1, n)))
    expected = scipy.stats.ttest_rel(list(a.values()), list(b.values()))
    difference = curves.paired_difference(a, b)
    assert difference.n == n
    assert difference.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert difference.mean / difference.standard_error == pytest.approx(
      expected.statistic
    )


def test_only_common_seeds_are_paired():
  difference = curves.paired_difference({0: 3.0, 1: 5.0, 7: 9.0}, {1: 1, 0: 1})
  assert difference.mean == 3.0
  assert difference.n == 2


def test_equal_differences_have_no_p_value():
  # 0.3 - 0.2 and 0.2 - 0.1 differ in the last bit.
  assert 0.3 - 0.2 != 0.2 - 0.1
  same = curves.paired_difference({0: 0.3, 1: 0.2}, {0: 0.2, 1: 0.1})
  assert same.mean == pytest.approx(0.1)
  assert same.standard_error == 0
  assert math.isnan(same.p_value)
  none = curves.paired_difference({0: 0.1 + 0.2, 1: 0.5}, {0: 0.3, 1: 0.5})
  assert (none.mean, none.standard_error) == (0.0, 0.0)
  assert math.isnan(none.p_value)


def test_one_pair_has_no_p_value_and_no_pair_is_refused():
  difference = curves.paired_difference({0: 2.0}, {0: 1.0})
  assert difference.mean == 1.0
  assert math.isnan(difference.p_value)
  with pytest.raises(ValueError, match=r'a has seeds \[0\] and b has \[1\]'):
    curves.paired_difference({0: 2.0}, {1: 1.0})


def test_the_area_is_the_mean_height():
  # Trapezoids 10 * 0.55 and 20 * 0.7 over a budget of 30.
  area = curves.area_under_curve([10, 20, 40], [0.5, 0.6, 0.8])
  assert area == pytest.approx((5.5 + 14) / 30)
  assert curves.area_under_curve([10], [0.5]) == 0.5


def test_labels_that_do_not_increase_are_refused():
  with pytest.raises(ValueError, match='must increase'):
    curves.area_under_curve([10, 10], [0.5, 0.6])
  with pytest.raises(ValueError, match=r'\(2,\) and values \(1,\)'):
    curves.area_under_curve([10, 20], [0.5])


def test_a_constant_difference_of_rounded_shares_has_no_error():
  counts = (216, 224, 223, 219, 216)
  a, b = (
    {
      seed: float(np.float32(count + more) / np.float32(360))
      for seed, count in enumerate(counts)
    }
    for more in (5, 0)
  )
  found = curves.paired_difference(a, b)
  assert found.standard_error == 0
  assert math.isnan(found.p_value)


def test_values_that_differ_by_rounding_are_tied():
  found = curves.tied([0.5, 0.25, 0.5 + 1e-8, 0.7, 0.25])
  assert found.tolist() == [1, 0, 1, 2, 0]
  assert curves.tied([]).tolist() == []


def test_last_values_are_where_all_runs_are():
  runs = {'a': {0: {10: 0.1, 20: 0.2}}, 'b': {0: {10: 0.3}}}
  assert curves.last_values(runs) == {'a': {0: 0.1}, 'b': {0: 0.3}}
  assert curves.last_values({'a': {0: {10: 1}, 1: {20: 1}}}) == {}


def test_of_rounds_with_as_many_labels_the_last_one_counts():
  rows = [
    a_record(labels=10, round=0, accuracy=0.5),
    a_record(labels=10, round=1, accuracy=0.7),
  ]
  for some in (rows, rows[::-1]):
    assert curves.runs(some) == {'margin': {0: {10: 0.7}}}
