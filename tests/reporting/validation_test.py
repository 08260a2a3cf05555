"""The table of the validation split."""

import pytest

from al_jax.reporting import page as report_page
from al_jax.reporting import validation as report_validation
from tests.factories import a_record
from tests.reporting.report_runs import Reader, a_setting, rows_of


def written(tmp_path, rows):
  page = report_page.Page('a', tmp_path / 'report')
  report_validation.write(page, [a_setting(tmp_path / 'run', rows)])
  page.write(tmp_path / 'report.html')
  return Reader(tmp_path / 'report.html')


def a_round(seed, labels, accuracy):
  validation = {'accuracy': accuracy, 'log_loss': 2 * accuracy}
  return a_record(seed=seed, labels=labels, validation=validation)


def test_it_has_the_first_and_the_last_common_number_of_labels(tmp_path):
  rows = [a_round(0, n, n / 100) for n in (10, 20, 30)]
  rows += [a_round(1, n, n / 50) for n in (10, 20)]
  page = written(tmp_path, rows)
  assert page.says('On the validation split')
  assert page.says('15.00 ± 5.00')
  found = rows_of(tmp_path / 'report' / 'validation.csv')
  assert [row['labels'] for row in found] == ['10', '20']
  for row, accuracy in zip(found, (0.15, 0.3), strict=True):
    assert row['seeds'] == '2'
    assert float(row['accuracy']) == pytest.approx(accuracy)
    assert float(row['accuracy_se']) == pytest.approx(accuracy / 3)
    assert float(row['log_loss']) == pytest.approx(2 * accuracy)


def test_without_such_a_split_there_is_no_table(tmp_path):
  assert not written(tmp_path, [a_record()]).says('validation')
  assert not (tmp_path / 'report' / 'validation.csv').exists()


def test_of_one_number_of_labels_there_is_one_row(tmp_path):
  written(tmp_path, [a_round(0, 10, 0.5)])
  assert len(rows_of(tmp_path / 'report' / 'validation.csv')) == 1
