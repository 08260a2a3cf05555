"""Rates over the position in a stream."""

import numpy as np

from al_jax.analysis import streams
from tests.factories import a_record


def a_round(number, seen, passed, rate, **changes):
  batch = {'seen': seen, 'passed': passed, 'label_rate': rate}
  return a_record(round=number, batch=batch, **changes)


def test_each_example_counts_with_the_rate_of_its_round():
  rows = [a_round(0, 30, 20, 0.5), a_round(1, 110, 80, 0.1), a_record(round=2)]
  assert streams.are_of_stream(rows)
  curve = streams.over_position(rows, 'label_rate')['margin']
  np.testing.assert_array_equal(curve.labels, [60, 110])
  np.testing.assert_allclose(curve.mean, [(20 * 0.5 + 30 * 0.1) / 50, 0.1])
  assert np.isnan(curve.standard_error).all()


def test_a_curve_ends_where_the_first_seed_does():
  rows = [
    a_round(0, 100, 100, 0.2),
    a_round(0, 60, 60, 0.4, seed=1),
  ]
  curve = streams.over_position(rows, 'label_rate')['margin']
  np.testing.assert_array_equal(curve.labels, [60])
  np.testing.assert_allclose(curve.mean, [0.3])
  assert curve.n == [2]


def test_other_records_have_no_rates():
  rows = [a_record()]
  assert not streams.are_of_stream(rows)
  assert not streams.over_position(rows, 'label_rate')
