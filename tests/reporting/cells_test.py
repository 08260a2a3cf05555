import math

import pytest

from al_jax.analysis import intervals
from al_jax.reporting import cells as report_cells

ACCURACY, LOSS = 'test.accuracy', 'test.log_loss'


def test_accuracies_are_in_percent_and_others_are_not():
  assert report_cells.mean(0.9361, 0.0012, ACCURACY) == '93.61 ± 0.12'
  assert report_cells.mean(1.5, 0.25, LOSS) == '1.5000 ± 0.2500'
  assert report_cells.mean(0.5, math.nan, ACCURACY) == '50.00'
  assert report_cells.mean(0.01, 0.001, ACCURACY, signed=True) == '+1.00 ± 0.10'
  assert report_cells.mean(math.nan, 0.1, ACCURACY) == '-'


def test_intervals_are_in_brackets():
  found = intervals.Interval(-0.01, -0.02, 0.0)
  assert report_cells.interval(found, ACCURACY, signed=True) == (
    '-1.00 [-2.00, +0.00]'
  )
  alone = intervals.Interval(0.5, math.nan, math.nan)
  assert report_cells.interval(alone, ACCURACY) == '50.00'
  assert report_cells.interval(None, ACCURACY) == '-'


def test_labels_are_whole_or_not_reached():
  found = intervals.Interval(1340.2, 1300.0, math.inf)
  assert report_cells.labels(found) == '1,341 [1,300, not reached]'
  never = intervals.Interval(math.inf, math.nan, math.nan)
  assert report_cells.labels(never) == 'not reached'
  never = intervals.Interval(math.inf, math.inf, math.inf)
  assert report_cells.labels(never) == 'not reached'
  assert report_cells.labels(None) == '-'
  # Rounding of the interpolation asks for no label more.
  assert report_cells.number_of_labels(20 + 1e-12) == '20'


@pytest.mark.parametrize(
  ('value', 'shown'), [(0.0499, '0.050'), (1e-5, '<0.001'), (math.nan, '-')]
)
def test_p_values(value, shown):
  assert report_cells.p_value(value) == shown


@pytest.mark.parametrize(
  ('value', 'shown'),
  [(0.001234, '0.00123'), (12.345, '12.3'), (12345.6, '12,346')],
)
def test_seconds(value, shown):
  assert report_cells.seconds(value) == shown


def test_names_of_metrics():
  assert report_cells.percent(ACCURACY) == 'accuracy %'
  assert report_cells.percent('test.mc_log_loss') == 'mc log loss'
