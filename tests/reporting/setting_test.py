"""What the page says of one setting."""

import json
import math

import pytest

from al_jax.commands import report
from al_jax.reporting import costs as report_costs
from al_jax.reporting import data as report_data
from al_jax.reporting import diagnostics as report_diagnostics
from al_jax.reporting import page as report_page
from al_jax.reporting import results as report_results
from al_jax.storage import records
from tests.factories import a_record
from tests.reporting.report_runs import (
  Reader,
  a_setting,
  a_workdir,
  rows_of,
  some_rows,
)


def test_the_results_of_a_setting_by_hand(tmp_path):
  # Means 0.5, 0.7 and 0.4, 0.6: the system gets to 0.6 half way.
  rows = [
    a_record(system, seed, labels, mean + shift)
    for system, means in (('random', (0.4, 0.6)), ('margin', (0.5, 0.7)))
    for labels, mean in zip((10, 20), means, strict=True)
    for seed, shift in ((0, -0.1), (1, 0.1))
  ]
  folder = a_workdir(tmp_path / 'run', rows, systems=['random', 'margin'])
  report.write_report(folder)
  random, margin = rows_of(folder / 'report' / 'run_results.csv')
  assert float(margin['accuracy']) == pytest.approx(0.7)
  assert float(margin['accuracy_se']) == pytest.approx(0.1)
  assert float(margin['area']) == pytest.approx(0.6)
  assert float(margin['area_low']) == pytest.approx(0.5)
  assert float(margin['area_minus_random']) == pytest.approx(0.1)
  assert float(margin['labels_needed']) == pytest.approx(15)
  assert float(random['labels_needed']) == pytest.approx(20)
  assert Reader(folder / 'report.html').says('60.00 [50.00, 70.00]')


def test_the_full_labels_are_a_mean_of_the_last_records(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows())
  rows = [a_record('x', seed, n, seed) for seed in (0, 1) for n in (10, 2000)]
  records.write_jsonl(folder / 'full_labels.jsonl', rows)
  (setting,) = report_data.read_workdir(folder)
  found = report_results.full_label_accuracies(setting)
  assert found == {'all 2,000 labels': pytest.approx((0.5, 0.5, 2))}


def test_final_values_are_where_all_runs_are():
  runs = {'a': {0: {10: 0.1, 20: 0.2}}, 'b': {0: {10: 0.3}}}
  assert report_results.final_values(runs) == {'a': {0: 0.1}, 'b': {0: 0.3}}
  assert report_results.final_values({'a': {0: {10: 1}, 1: {20: 1}}}) == {}


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
  (row,) = report_costs.timings(a_setting(tmp_path / 'run', rows))
  assert row['fit'] == pytest.approx((2 + 3) / 2)
  assert row['measure'] == pytest.approx(0.2)
  assert row['choose_max'] == 10
  assert row['run_total'] == pytest.approx(95 + 9.5 + 3)
  (row,) = report_costs.timings(a_setting(tmp_path / 'first', rows[:1]))
  assert (row['fit'], row['measure']) == (90, 9)
  (row,) = report_costs.timings(a_setting(tmp_path / 'last', rows[2:]))
  assert math.isnan(row['choose'])


def test_a_diagnostic_has_a_table_and_a_note(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows())
  diagnostic = {
    'x_label': 'samples',
    'y_label': 'agreement',
    'x': [5, 1000],
    'series': {
      'bald': {'mean': [0.51234, 0.9], 'standard_error': [0.01234, None]},
      'chance': {'mean': [None, 0.25]},
    },
    'note': 'Of two seeds.',
  }
  (folder / 'diagnostics.json').write_text(json.dumps({'name': diagnostic}))
  reader = Reader(report.write_report(folder))
  assert reader.says('samplesbaldchance50.512 ± 0.012-1,0000.90.25')
  assert reader.says('Of two seeds.')


def test_batches_and_calibration_are_shown_where_they_were_measured(tmp_path):
  test = {'accuracy': 0.5, 'log_loss': 1.0, 'calibration_error': 0.1}
  rows = [
    a_record(system, seed, labels, test=test | more, batch=batch)
    for system, more in (
      ('random', {}),
      ('badge', {'mc_log_loss': 0.9, 'mc_calibration_error': 0.05}),
    )
    for seed in range(2)
    for labels, batch in (
      (10, {'log_det': math.nan, 'near_duplicates': 0.25}),
      (20, {'log_det': 0.5, 'near_duplicates': 0.75}),
      (30, {}),
    )
  ]
  setting = a_setting(tmp_path / 'run', rows)
  page = report_page.Page('x', tmp_path / 'report')
  report_diagnostics.write(page, setting, order=['random', 'badge'])
  page.write(tmp_path / 'report.html')
  reader = Reader(tmp_path / 'report.html')
  assert reader.says('The picked batches') and reader.says('Calibration')
  means = rows_of(tmp_path / 'report' / 'run_batches_mean.csv')
  assert [row['batch.near_duplicates'] for row in means] == ['0.5', '0.5']
  assert [row['batch.log_det'] for row in means] == ['0.5', '0.5']
  last = rows_of(tmp_path / 'report' / 'run_calibration_last.csv')
  assert [row['test.mc_log_loss'] for row in last] == ['', '0.9']
  panels = (tmp_path / 'report' / 'run_calibration.svg').read_text()
  assert 'calibration error, MC-dropout' in panels


def test_balanced_accuracy_has_curves_where_it_differs(tmp_path):
  for balanced, count in ((0.5, 0), (0.3, 1)):
    rows = [
      a_record(labels=n, test={'accuracy': 0.5, 'balanced_accuracy': balanced})
      for n in (10, 20)
    ]
    folder = a_workdir(tmp_path / f'run{count}', rows)
    report.write_report(folder)
    found = list((folder / 'report').glob('*balanced_curves.csv'))
    assert len(found) == count
