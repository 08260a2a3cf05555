import json
import math

from al_jax import tasks
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


def test_points_are_a_picture_and_a_csv_without_a_table(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows())
  diagnostic = {
    'x_label': 'predicted loss',
    'y_label': 'true loss',
    'logarithmic_y': True,
    'points': {'badge': {'x': [-1, 2], 'y': [0.5, 10]}},
    'note': 'Of two examples.',
  }
  (folder / 'diagnostics.json').write_text(json.dumps({'a name': diagnostic}))
  reader = Reader(report.write_report(folder))
  assert reader.says('A name: a point for each example')
  assert reader.says('Of two examples.')
  assert not any('true loss' in row for row in reader.rows)
  assert rows_of(folder / 'report' / 'run_a_name.csv') == [
    {'system': 'badge', 'x': '-1.0', 'y': '0.5'},
    {'system': 'badge', 'x': '2.0', 'y': '10.0'},
  ]
  drawn = (folder / 'report' / 'run_a_name.svg').read_text()
  for text in ('badge', 'predicted loss', 'true loss'):
    assert f'<!-- {text} -->' in drawn, text


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
  page = a_page(tmp_path, [Section(title, of) for title, of in parts.items()])
  assert page.says('Log det: ') and page.says('Near duplicates: ')
  for absent in ('Gradient norm', 'Outliers', 'Probe', 'Made', 'Invalid'):
    assert not page.says(f'{absent}: '), absent
  means = rows_of(tmp_path / 'report' / 'run_batches_mean.csv')
  assert [row['batch.near_duplicates'] for row in means] == ['0.5', '0.5']
  assert [row['batch.log_det'] for row in means] == ['0.5', '0.5']
  last = rows_of(tmp_path / 'report' / 'run_calibration_last.csv')
  assert [row['test.mc_log_loss'] for row in last] == ['', '0.9']
  panels = (tmp_path / 'report' / 'run_calibration.svg').read_text()
  assert 'calibration error, MC-dropout' in panels


def facts_of(task):
  facts = {'name': 'd', 'fingerprint': '', 'train': 1, 'test': 1}
  return {**facts, 'task': tasks.to_json(task)}


DECLARED = {
  'ranking_accuracy': {
    'unit': '%',
    'larger_is_better': True,
    'meaning': 'share of pairs ranked right',
    'chance': 0.5,
  },
  'loss_gap': {'unit': '', 'larger_is_better': False},
}


def test_what_learners_report_has_curves_where_it_was_measured(tmp_path):
  own = {'ranking_accuracy': 0.75, 'loss_gap': 0.25, 'undeclared': 1}
  rows = [
    a_record(
      system, seed, labels, test={'accuracy': 0.5, **more}, seconds_fit=1
    )
    for system, more in (('random', {}), ('mine+badge', own))
    for seed in range(2)
    for labels in (10, 20)
  ]
  experiment = an_experiment(tmp_path / 'run', rows, report_metrics=DECLARED)
  parts = report_diagnostics.parts(experiment)
  assert list(parts) == ['Reports of learners']
  picture, table, words = parts['Reports of learners']
  assert picture.caption.endswith('Lower is better: loss gap.')
  reader = a_page(tmp_path, [Section('Reports', [picture, table, words])])
  assert reader.rows == [
    ['system', 'ranking accuracy %', 'loss gap'],
    ['mine+badge', '75.00 ± 0.00', '0.2500 ± 0.0000'],
  ]
  drawn = (tmp_path / 'report' / 'run_reports.svg').read_text()
  assert '<!-- ranking accuracy -->' in drawn and '<!-- 75% -->' in drawn
  assert drawn.count('<!-- chance -->') == 1
  page = (tmp_path / 'report.html').read_text()
  assert 'Ranking accuracy: share of pairs ranked right.' in page
  curve = rows_of(tmp_path / 'report' / 'run_reports.csv')
  assert [row['labels'] for row in curve] == ['10', '20', '10', '20']
  assert {row['system'] for row in curve} == {'mine+badge'}


def test_without_a_test_split_reports_are_of_the_validation_split(tmp_path):
  validation = {'accuracy': 0.5, 'loss_gap': 0.25}
  rows = [a_record('mine', test={}, validation=validation)]
  experiment = an_experiment(tmp_path / 'run', rows, report_metrics=DECLARED)
  parts = report_diagnostics.parts(experiment)
  _, table, words = parts['Reports of learners']
  assert [column.title for column in table.columns] == [
    'system',
    'validation loss gap',
  ]
  assert words.value == ('validation', {})


def test_metrics_of_a_box_are_no_calibration(tmp_path):
  parts = {'digit': tasks.numbered(3), 'box': tasks.Box(scale=64)}
  task = tasks.Mixed(parts)
  test = {metric.name: 0.5 for metric in task.metrics}
  test['mc_digit.log_loss'] = 0.25
  rows = [a_record(test=test, labels=labels) for labels in (10, 20)]
  experiment = an_experiment(tmp_path / 'run', rows, data=facts_of(task))
  found = report_diagnostics.parts(experiment)
  columns = {
    title: [column.title for column in of[1].columns]
    for title, of in found.items()
  }
  assert columns == {
    'Metrics': [
      'system',
      'digit accuracy %',
      'digit balanced accuracy %',
      'box IoU %',
      'box IoU above 0.5 %',
      'box RMSE',
      'box MAE',
      'box R²',
    ],
    'Calibration': [
      'system',
      'digit log loss',
      'mc digit log loss',
      'digit calibration error',
    ],
  }
  # The headline is drawn elsewhere.
  drawn = {row['metric'] for row in found['Metrics'][0].rows}
  assert 'test.digit.accuracy' not in drawn and 'test.box.iou' in drawn
