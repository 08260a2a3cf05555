"""Rates over the position in a stream."""

import numpy as np
import pytest

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


def a_stream(system, seed, shares):
  """Rounds that each passed more examples than the one before."""
  seen, rows = 0, []
  for number, share in enumerate(shares):
    passed = 10 * (number + 1)
    seen += passed
    batch = {'prequential_accuracy': share, 'label_rate': share / 10}
    rows.append(
      a_record(
        system,
        seed,
        round=number,
        batch={'seen': seen, 'passed': passed, **batch},
      )
    )
  return rows


def test_a_whole_stream_weighs_rounds_by_what_passed():
  rows = a_stream('margin', 3, [0.1, 0.4])
  found = streams.of_whole(rows, 'prequential_accuracy')
  assert found == {'margin': {3: pytest.approx((10 * 0.1 + 20 * 0.4) / 30)}}


def test_systems_are_compared_on_the_whole_stream():
  rows = [
    row
    for seed, better in enumerate([0.1, 0.2, 0.15])
    for system, less in (('margin', 0.0), ('random', better))
    for row in a_stream(system, seed, [0.6 - less, 0.8 - less])
  ]
  found = streams.against_baseline(rows, 'random')
  assert found['margin'].difference.mean == pytest.approx(0.15)
  table = streams.summary_table(rows)
  assert 'prequential accuracy %' in table and 'minus random' in table
  assert '+15.00 ± 2.89' in table and '73.33' in table
  alone = streams.summary_table(a_stream('margin', 0, [0.5]))
  assert 'minus' not in alone


def test_a_system_of_few_rounds_is_drawn_over_the_pieces_of_others():
  rows = [*a_stream('fixed', 0, [0.5]), *a_stream('variable', 0, [0.5] * 4)]
  found = streams.over_position(rows, 'label_rate')
  assert len(found['fixed'].mean) == len(found['variable'].mean) == 4
