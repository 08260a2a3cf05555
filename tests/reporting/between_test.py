"""The table of differences between settings, and that of labels by machine."""

import numpy as np
import pytest

from al_jax.reporting import between as report_between
from al_jax.reporting import machine_labels as report_machine_labels
from al_jax.reporting import page as report_page
from tests.factories import a_record
from tests.reporting.report_runs import Reader, a_setting, rows_of


def written(tmp_path, write, settings):
  page = report_page.Page('a', tmp_path / 'report')
  write(page, settings)
  page.write(tmp_path / 'report.html')
  return Reader(tmp_path / 'report.html')


def of_start(
  tmp_path, start, gain, *, labels=(10, 20), source='digits', **axes
):
  rows = [
    a_record('random', seed, count, 0.5 + gain * (1 + seed) + count / 100)
    for seed in range(3)
    for count in labels
  ]
  return a_setting(
    tmp_path / '-'.join([start, *axes.values()]),
    rows,
    axes={'start': start, **axes},
    config={'data': {'source': source}},
  )


def test_settings_are_compared_by_seed(tmp_path):
  fresh, warm = (
    of_start(tmp_path, name, gain) for name, gain in (('a', 0), ('b', 0.01))
  )
  page = written(tmp_path, report_between.write, [fresh, warm])
  assert page.says('Between settings')
  # 1, 2 and 3 points: t = 2 / (1 / sqrt(3)).
  assert page.says('+2.00 ± 0.58')
  (row,) = rows_of(tmp_path / 'report' / 'between_settings.csv')
  assert row['setting'] == warm.title and row['minus'] == fresh.title
  assert row['pairs'] == '3'
  assert float(row['difference']) == pytest.approx(0.02)
  assert float(row['t_p']) == pytest.approx(0.0742, abs=1e-4)
  assert row['t_p_holm'] == row['t_p']


@pytest.mark.parametrize(
  'changes',
  [{'labels': (10, 30)}, {'source': 'letter'}, {'batch': '9'}],
)
def test_settings_of_another_task_are_not_compared(changes, tmp_path):
  one = of_start(
    tmp_path, 'a', 0, **({'batch': '8'} if 'batch' in changes else {})
  )
  other = of_start(tmp_path, 'b', 0.01, **changes)
  page = written(tmp_path, report_between.write, [one, other])
  assert not page.says('Between settings')


def test_labels_by_machine_are_told_with_how_many_are_right(tmp_path):
  rows = [
    a_record(
      'ceal',
      seed,
      labels,
      train={
        'loss': 0.1,
        'machine_labels': float(number),
        'machine_accuracy': right,
      },
    )
    for seed, right in ((0, 0.5), (1, 0.7))
    for labels, number, right in ((10, 0, np.nan), (20, 1500, right))
  ]
  rows.append(a_record('random', 0, 10))
  setting = a_setting(tmp_path / 'run', rows)
  page = written(tmp_path, report_machine_labels.write, [setting])
  assert page.says('1,500') and page.says('60.00 ± 10.00')
  found = rows_of(tmp_path / 'report' / 'machine_labels.csv')
  assert [(row['system'], row['labels']) for row in found] == [
    ('ceal', '10'),
    ('ceal', '20'),
  ]
  empty = a_setting(tmp_path / 'plain', [a_record('random', 0, 10)])
  page = written(tmp_path / 'other', report_machine_labels.write, [empty])
  assert not page.says('Labels by machine')
