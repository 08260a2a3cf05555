import math

import pytest

from al_jax.reporting import costs as report_costs
from tests.factories import a_record
from tests.reporting.report_runs import an_experiment


def test_the_seconds_of_a_round_are_medians(tmp_path):
  rows = [
    a_record(
      'margin',
      0,
      labels,
      seconds_fit=fit,
      seconds_measure=fit / 10,
      seconds_select=1,
      picks=picks,
      pick_ids=picks,
    )
    # The first round compiles; the last one asks nothing.
    for labels, fit, picks in ((10, 90, [1]), (20, 2, [2]), (30, 3, []))
  ]
  (row,) = report_costs.timings(an_experiment(tmp_path / 'run', rows))
  assert row['fit'] == pytest.approx((2 + 3) / 2)
  assert row['measure'] == pytest.approx(0.2)
  assert row['choose_max'] == 10
  assert row['run_total'] == pytest.approx(95 + 9.5 + 3)
  (row,) = report_costs.timings(an_experiment(tmp_path / 'first', rows[:1]))
  assert (row['fit'], row['measure']) == (90, 9)
  (row,) = report_costs.timings(an_experiment(tmp_path / 'last', rows[2:]))
  assert math.isnan(row['choose'])
