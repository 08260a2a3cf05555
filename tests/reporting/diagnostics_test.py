import json
import math

from al_jax.commands import report
from al_jax.reporting import diagnostics as report_diagnostics
from al_jax.reporting.page import Section
from tests.factories import a_record
from tests.reporting.report_runs import (
  Reader,
  a_page,
  a_workdir,
  an_experiment,
  rows_of,
  some_rows,
)


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
  at = reader.rows.index(['samples', 'bald', 'chance'])
  assert reader.rows[at + 1 : at + 3] == [
    ['5', '0.512 ± 0.012', '-'],
    ['1,000', '0.9', '0.25'],
  ]
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
  experiment = an_experiment(tmp_path / 'run', rows)
  parts = report_diagnostics.parts(experiment)
  assert list(parts) == ['Calibration', 'Queried batches']
  a_page(tmp_path, [Section(title, of) for title, of in parts.items()])
  means = rows_of(tmp_path / 'report' / 'run_batches_mean.csv')
  assert [row['batch.near_duplicates'] for row in means] == ['0.5', '0.5']
  assert [row['batch.log_det'] for row in means] == ['0.5', '0.5']
  last = rows_of(tmp_path / 'report' / 'run_calibration_last.csv')
  assert [row['test.mc_log_loss'] for row in last] == ['', '0.9']
  panels = (tmp_path / 'report' / 'run_calibration.svg').read_text()
  assert 'calibration error, MC-dropout' in panels
