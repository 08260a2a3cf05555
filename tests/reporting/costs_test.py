import math

import pytest

from al_jax.reporting import costs as report_costs
from al_jax.reporting.page import Explanation, Section
from tests.factories import a_record
from tests.reporting.report_runs import a_page, an_experiment


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


def test_a_ledger_has_means_at_the_end_and_how_right_pseudo_labels_are(
  tmp_path,
):
  def ledger(labels, right):
    return {
      'person': labels,
      'unanswered': 0.0,
      'machine': 0.0,
      'pseudo_labels': 50.0,
      'pseudo_labels_right': right,
      'price': labels / 4,
    }

  rows = [
    a_record('ceal', seed, labels, ledger=ledger(labels, right))
    for seed, right in ((0, 40), (1, 45))
    for labels in (10, 20)
  ] + [a_record('margin', 0, 10)]
  experiment = an_experiment(tmp_path / 'run', rows)
  (row,) = report_costs.ledgers(experiment)
  assert row['system'] == 'ceal'
  assert (row['person'], row['price']) == (20, 5)
  assert row['right'] == pytest.approx(0.85)
  table, words = report_costs.parts(experiment)['Ledger']
  titles = [column.title for column in table.columns]
  assert titles == [
    'system',
    'seeds',
    'labels',
    'answered by people',
    'pseudo-labels',
    'of these right',
    'price',
  ]
  assert [column.text(row) for column in table.columns][-3:] == [
    '50',
    '85.0%',
    '5.00',
  ]
  assert 'seconds' not in words.value[0]


def test_a_ledger_says_at_how_many_labels_and_at_which_prices(tmp_path):
  rows = [
    a_record(system, seed, labels, ledger={'person': 10, 'machine': labels})
    for system, seed, labels in (
      ('ceal', 0, 20),
      ('ceal', 1, 31),
      ('joint', 0, 9),
    )
  ]
  prices = {'person': 0.01, 'person_seconds': 2, 'machine': 0.001}
  experiment = an_experiment(tmp_path / 'run', rows, config={'prices': prices})
  table, words = report_costs.parts(experiment)['Ledger']
  texts = [[column.text(row) for column in table.columns] for row in table.rows]
  assert texts == [
    ['ceal', '2', '25.5', '10', '25.5'],
    ['joint', '1', '9', '10', '9'],
  ]
  assert words.value[1] == 'a person 0.01 and 2 seconds, the model 0.001'
  shown = a_page(tmp_path, [Section('Ledger', [table, words])])
  assert shown.says('Answers of the model are kept.')
  free = Explanation('ledger', ({'machine', 'price'}, 'a person 0.01'))
  shown = a_page(tmp_path, [Section('Ledger', [free])])
  assert shown.says('Answers of the model are kept, and cost nothing.')
  assert shown.says('Price: total of all answers. Per answer: a person 0.01.')


def test_without_a_ledger_there_is_no_section(tmp_path):
  experiment = an_experiment(tmp_path / 'run', [a_record('margin', 0, 10)])
  assert 'Ledger' not in report_costs.parts(experiment)
