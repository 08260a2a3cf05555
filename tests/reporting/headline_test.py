"""Reports of what is not accuracy: lower is better, and no percent."""

import re

import pytest

from al_jax import tasks
from al_jax.commands import report
from al_jax.reporting import conclusion, results
from tests.factories import a_record
from tests.reporting.report_runs import (
  Reader,
  a_workdir,
  an_experiment,
  rows_of,
  some_rows,
)

SKILL = {'random': 0.0, 'core_set': 1.0}
VECTOR = {
  'name': 'diabetes',
  'fingerprint': 'abc',
  'train': 300,
  'validation': 0,
  'test': 80,
  'task': tasks.to_json(tasks.Vector(1, scale=100.0)),
  'normalize': 'feature',
  'majority': {},
}
ABOUT = {'systems': list(SKILL), 'data': VECTOR}


def errors(split='test', *, picks=(1,), **changes):
  """Errors fall with the labels; those of core_set are lower, by seed."""
  return [
    a_record(
      system,
      seed,
      labels,
      **{
        'test': {},
        split: {
          'rmse': 60 - labels / 2 - skill * (4 + seed),
          'mae': 40 - labels / 2,
          'r2': labels / 100,
        },
      },
      seconds_select=0.5 + skill,
      picks=list(picks),
      pick_ids=list(picks),
      **changes,
    )
    for system, skill in SKILL.items()
    for seed in range(3)
    for labels in (10, 20, 30)
  ]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  """Two experiments on a vector."""
  folder = tmp_path_factory.mktemp('runs') / 'grid'
  for batch in ('10', '20'):
    a_workdir(folder / batch, errors(), axes={'batch': batch}, **ABOUT)
  return Reader(report.write_report(folder)), folder / 'report'


def test_nothing_of_an_error_is_in_percent(page):
  _, folder = page
  path = folder.parent / 'report.html'
  text = path.read_text(encoding='utf-8').partition('<body>')[2]
  # Levels of intervals, of a rule, and of nothing else.
  assert set(re.findall(r'[\d.]+%', text)) == {'95%', '99%', '5%'}
  assert 'accuracy' not in text and 'percentage' not in text
  for name in ('curves', 'time_rmse'):
    drawn = (folder / f'10_{name}.svg').read_text()
    assert '<!-- test RMSE -->' in drawn and '%' not in ''.join(
      re.findall(r'<!-- (.*?) -->', drawn)
    )


def test_the_lowest_error_is_the_best(page):
  reader, folder = page
  random, core_set = rows_of(folder / '10_results.csv')
  assert float(random['rmse']) == 45 and float(core_set['rmse']) == 40
  # The mean curve falls from 50 at 10 labels to 45 at 20.
  assert float(core_set['labels_needed']) == pytest.approx(20)
  assert float(random['labels_needed']) == pytest.approx(30)
  matrix = rows_of(folder / 'penalty_all.csv')
  assert [float(row['random']) for row in matrix[:2]] == [0, 2]
  ranks = rows_of(folder / 'ranks_last_RMSE.csv')
  assert [row['system'] for row in ranks] == ['core_set', 'random']
  found = rows_of(folder / 'normalised_errors.csv')
  assert min(float(row['normalised_error']) for row in found) < 1
  assert reader.says("random's RMSE is above its last")


def test_the_best_is_bold(page, tmp_path):
  del page
  experiment = an_experiment(tmp_path / 'run', errors(), **ABOUT)
  table, _ = results.parts(experiment, 'random')['Results']
  bold = [
    [row['system'] for row in table.rows if column.is_bold(row)]
    for column in table.columns
  ]
  assert bold[3:5] == [['core_set'], ['core_set']]
  assert table.columns[3].title == 'RMSE'


def test_the_conclusion_says_that_lower_is_better(tmp_path):
  experiment = an_experiment(
    tmp_path / 'run', errors(), **{**ABOUT, 'systems': []}
  )
  assert conclusion.sentence(experiment, 'random') == (
    'After 30 labels, over 3 seeds, core_set is 5 RMSE below random '
    '(p = 0.013). Lower is better.'
  )
  assert conclusion.sentence_of_grid([experiment], 'random') == (
    'At the last number of labels core_set is below random in 1 of 1 '
    'experiments. Lower is better.'
  )


def test_sections_of_classes_are_left_out(page):
  reader, _ = page
  for text in ('Calibration', 'Balanced', 'most frequent class'):
    assert not reader.says(text)
  assert reader.says('R²') and reader.says('MAE')
  assert reader.says('a number (scale 100)')


def test_different_headlines_share_no_table(tmp_path):
  folder = tmp_path / 'grid'
  a_workdir(folder / 'a', errors('validation'), axes={'data': 'a'}, **ABOUT)
  a_workdir(
    folder / 'b', errors(validation={'rmse': 1}), axes={'data': 'b'}, **ABOUT
  )
  rows = some_rows(validation={'accuracy': 0.5, 'log_loss': 1})
  a_workdir(folder / 'c', rows, axes={'data': 'c'})
  reader = Reader(report.write_report(folder))
  assert reader.says(
    'Experiments with different headlines are not compared: validation RMSE '
    '(a); test RMSE (b); test accuracy (c).'
  )
  assert reader.says('core_set is better than random in 2 of 2 experiments')
  found = {path.name for path in (folder / 'report').glob('validation*')}
  assert found == {
    'validation_test_rmse.csv',
    'validation_test_accuracy.csv',
  }
  assert not list((folder / 'report').glob('penalty*'))


def test_without_a_test_split_the_validation_split_is_reported(tmp_path):
  rows = errors('validation')
  folder = a_workdir(tmp_path / 'run', rows, **ABOUT)
  reader = Reader(report.write_report(folder))
  assert reader.says('There is no test split: all values are on the validation')
  assert (
    '<!-- validation RMSE -->'
    in (folder / 'report' / 'run_curves.svg').read_text()
  )
  assert not reader.says('On the validation split')


def test_without_any_split_there_is_nothing_to_draw(tmp_path):
  rows = [row for row in errors('validation')]
  rows = [
    a_record(row.system, row.seed, row.labels, test={}, seconds_fit=1)
    for row in rows
  ]
  folder = a_workdir(tmp_path / 'run', rows, **ABOUT)
  reader = Reader(report.write_report(folder))
  assert reader.says('so there is nothing to draw')
  assert reader.says('Nothing here can be compared with random.')
  assert reader.says('Time')
  names = {path.stem for path in (folder / 'report').glob('*.svg')}
  assert names == {'run_seconds'}
