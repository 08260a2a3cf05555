"""The tables over all experiments: differences, validation, pseudo-labels."""

import numpy as np
import pytest

from al_jax.reporting import across
from tests.factories import a_record
from tests.reporting.report_runs import a_page, an_experiment, rows_of


def of_start(
  tmp_path, start, gain, *, labels=(10, 20), source='digits', **axes
):
  rows = [
    a_record('random', seed, count, 0.5 + gain * (1 + seed) + count / 100)
    for seed in range(3)
    for count in labels
  ]
  return an_experiment(
    tmp_path / '-'.join([start, *axes.values()]),
    rows,
    axes={'start': start, **axes},
    config={'data': {'source': source}},
  )


def test_experiments_are_compared_by_seed(tmp_path):
  fresh, warm = (
    of_start(tmp_path, name, gain) for name, gain in (('a', 0), ('b', 0.01))
  )
  page = a_page(tmp_path, across.between([fresh, warm]))
  assert page.says('Between experiments')
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
def test_experiments_of_another_task_are_not_compared(changes, tmp_path):
  one = of_start(
    tmp_path, 'a', 0, **({'batch': '8'} if 'batch' in changes else {})
  )
  other = of_start(tmp_path, 'b', 0.01, **changes)
  assert across.between([one, other]) == []


def test_pseudo_labels_are_shown_with_how_many_are_right(tmp_path):
  rows = [
    a_record(
      'ceal',
      seed,
      labels,
      train={
        'loss': 0.1,
        'pseudo_labels': float(number),
        'pseudo_label_accuracy': right,
      },
    )
    for seed, right in ((0, 0.5), (1, 0.7))
    for labels, number, right in ((10, 0, np.nan), (20, 1500, right))
  ]
  rows.append(a_record('random', 0, 10))
  experiment = an_experiment(tmp_path / 'run', rows)
  page = a_page(tmp_path, across.pseudo_labels([experiment]))
  assert page.says('1,500') and page.says('60.00 ± 10.00')
  found = rows_of(tmp_path / 'report' / 'pseudo_labels.csv')
  assert [(row['system'], row['labels']) for row in found] == [
    ('ceal', '10'),
    ('ceal', '20'),
  ]
  empty = an_experiment(tmp_path / 'plain', [a_record('random', 0, 10)])
  assert across.pseudo_labels([empty]) == []


def validated(tmp_path, rows):
  experiment = an_experiment(tmp_path / 'run', rows)
  return a_page(tmp_path, across.validation([experiment]))


def a_round(seed, labels, accuracy):
  validation = {'accuracy': accuracy, 'log_loss': 2 * accuracy}
  return a_record(seed=seed, labels=labels, validation=validation)


def test_validation_has_the_first_and_the_last_common_number_of_labels(
  tmp_path,
):
  rows = [a_round(0, n, n / 100) for n in (10, 20, 30)]
  rows += [a_round(1, n, n / 50) for n in (10, 20)]
  page = validated(tmp_path, rows)
  assert page.says('On the validation split')
  assert page.says('15.00 ± 5.00')
  found = rows_of(tmp_path / 'report' / 'validation.csv')
  assert [row['labels'] for row in found] == ['10', '20']
  for row, accuracy in zip(found, (0.15, 0.3), strict=True):
    assert row['seeds'] == '2'
    assert float(row['accuracy']) == pytest.approx(accuracy)
    assert float(row['accuracy_se']) == pytest.approx(accuracy / 3)
    assert float(row['log_loss']) == pytest.approx(2 * accuracy)


def test_without_a_validation_split_there_is_no_table(tmp_path):
  assert not validated(tmp_path, [a_record()]).says('validation')
  assert not (tmp_path / 'report' / 'validation.csv').exists()


def test_of_one_number_of_labels_there_is_one_row(tmp_path):
  validated(tmp_path, [a_round(0, 10, 0.5)])
  assert len(rows_of(tmp_path / 'report' / 'validation.csv')) == 1
