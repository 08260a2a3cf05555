import math

import pytest

from al_jax.analysis import tables
from al_jax.tasks import Metric
from tests.factories import a_record, two_systems

LOSS = Metric('test.log_loss', '', False)


def test_the_summary_by_hand():
  # margin less random at 20 labels: 0.1 and 0.2, so 0.15 ± 0.05 and t = 3 with
  # one degree of freedom: p = 1 - 2 / pi * atan(3) = 0.205. The areas are over
  # 10 to 20 labels, which all four runs have.
  table = tables.summary_table(two_systems()).splitlines()
  assert [' '.join(line.split()) for line in table] == [
    'system seeds labels test accuracy % area % minus random at labels pairs p',
    'random 2 20 65.00 ± 5.00 57.50 ± 2.50',
    'margin 2 30 85.00 ± 5.00 67.50 ± 7.50 +15.00 ± 5.00 20 2 0.205',
    '± is one standard error over seeds.',
    'area: mean of the curve from 10 to 20 labels.',
    'p: two-sided paired t-test by seed.',
  ]


def test_the_tables_of_an_error_have_no_percent_and_say_what_is_better():
  rows = [
    a_record(system, seed, labels, test={'rmse': 100 / labels + seed})
    for system in ('random', 'margin')
    for seed in range(2)
    for labels in (10, 20)
  ]
  rmse = Metric('test.rmse', '', False)
  title, header, first, _ = tables.round_table(rows, metric=rmse).splitlines()
  assert title == 'test RMSE, mean ± standard error; lower is better'
  assert first.split()[:4] == ['10', '10.5000', '±', '0.5000']
  summary = tables.summary_table(rows, metric=rmse)
  assert 'test RMSE' in summary and '%' not in summary + header


def test_the_columns_of_the_summary_line_up():
  header, *rows = tables.summary_table(two_systems()).splitlines()[:3]
  end = header.index('area %') + len('area %')
  assert all(row[:end].endswith('0') for row in rows)
  assert all(row[end : end + 2] in ('', '  ') for row in rows)


def test_the_summary_of_one_system_and_one_seed_has_no_comparison():
  rows = [a_record('margin', 0, 10, 0.5), a_record('margin', 0, 20, 0.75)]
  table = tables.summary_table(rows)
  assert table.splitlines()[1].split() == [
    'margin',
    '1',
    '20',
    '75.00',
    '62.50',
  ]
  assert 'minus' not in table


def test_the_summary_without_common_labels_leaves_cells_empty():
  rows = [a_record('random', 0, 10, 0.5), a_record('margin', 0, 20, 0.75)]
  lines = tables.summary_table(rows).splitlines()
  assert lines[2].split() == ['margin', '1', '20', '75.00']


def test_the_summary_compares_with_any_baseline_and_metric():
  table = tables.summary_table(two_systems(), baseline='margin', metric=LOSS)
  assert 'minus margin' in table
  assert '+0.1500 ± 0.0500' in table
  assert '%' not in table


def test_systems_are_compared_where_all_runs_have_been():
  # badge ends at 20 labels, so that margin is compared at 20 as well.
  badge = [a_record('badge', seed, 20, 0.75 + seed / 5) for seed in range(2)]
  margin, other = tables.summary_table([*two_systems(), *badge]).splitlines()[
    2:4
  ]
  assert margin.split()[-5:] == ['+15.00', '±', '5.00', '20', '2', '0.205'][-5:]
  # 0.15 and 0.25: t = 4 with one degree of freedom.
  assert other.split()[-3:] == ['20', '2', '0.156']


def test_a_single_pair_has_no_p():
  rows = [a_record(system, 0, 10, 0.5) for system in ('random', 'margin')]
  line = tables.summary_table(rows).splitlines()[2]
  assert line.split()[-4:] == ['+0.00', '10', '1', '-']


def test_a_difference_without_variance_has_no_p_and_says_why():
  # Wine of raw columns: both networks answered one class in every seed.
  rows = [
    a_record(system, seed, 10, accuracy)
    for system, accuracy in (('random', 0.2222), ('margin', 0.6667))
    for seed in range(3)
  ]
  lines = tables.summary_table(rows).splitlines()
  assert lines[2].split()[-6:] == ['+44.45', '±', '0.00', '10', '3', '-']
  assert lines[-1] == 'p -: no test, the difference is the same for every seed.'


def test_runs_that_stay_at_the_most_frequent_class_are_named():
  rows = [
    a_record(system, seed, labels, accuracy, train={'accuracy': accuracy + 0.1})
    for system, seed, labels, accuracy in (
      ('random', 0, 10, 0.4),
      ('random', 0, 20, 0.2),
      ('random', 1, 10, 0.4),
      ('random', 1, 20, 0.9),
      ('margin', 0, 10, 0.5),
    )
  ]
  shares = {'test': 0.4, 'train': 0.5}
  test, train = tables.majority_notes(rows, shares)
  assert '40.00%' in test
  assert test.startswith('The test accuracy never exceeds')
  assert ': random (1 of 2 seeds). ' in test
  assert train.startswith('The training accuracy never exceeds 50.00%')
  assert tables.majority_notes(rows, {'test': 0.3}) == []
  assert tables.majority_notes(rows, {}) == []


def test_systems_that_asked_fewer_made_queries_than_wanted_are_named():
  asked = {'bgadl': ([1, 2], [3], [], []), 'bda': ([1, 2], [3, 4], [5], [])}
  rows = [
    a_record(system, 0, 10, round=number, picks=picks, pick_ids=picks)
    for system, rounds in asked.items()
    for number, picks in enumerate(rounds)
  ]
  protocol = {'rounds': 4, 'labels_per_round': 2, 'label_budget': None}
  config = {'synthesis': {'name': 'prior'}, 'protocol': protocol}
  bgadl, bda = tables.short_notes(rows, config)
  assert bgadl.startswith('bgadl asked fewer queries')
  assert '2, in 2 of 3 rounds, and none at all in 1:' in bgadl
  assert bgadl.endswith('synthesis.min_distance.')
  assert '2, in 1 of 3 rounds, and none at all in 0:' in bda
  # The last query of a budget is short without a reason to worry.
  spent = {**protocol, 'label_budget': 11}
  assert tables.short_notes(rows[6:7], {**config, 'protocol': spent}) == []
  assert tables.short_notes(rows, {**config, 'synthesis': {}}) == []
  assert tables.short_notes(rows, {}) == []


def test_seeds_that_ended_apart_show_a_span():
  rows = [*two_systems(), a_record('margin', 0, 40, 0.95)]
  assert ' 30-40 ' in tables.summary_table(rows)


def test_a_small_p_is_not_shown_as_zero():
  rows = [
    a_record(system, seed, 10, 0.5 + shift + shift * seed / 1000)
    for system, shift in (('random', 0.0), ('margin', 0.3))
    for seed in range(5)
  ]
  assert tables.summary_table(rows).splitlines()[2].endswith('<0.001')


@pytest.mark.parametrize(
  ('value', 'shown'), [(0.0499, '0.050'), (1e-5, '<0.001'), (math.nan, '-')]
)
def test_p_values(value, shown):
  assert tables.p_value(value) == shown


def test_the_round_table_by_hand():
  table = tables.round_table(two_systems()).splitlines()
  assert [' '.join(line.split()) for line in table] == [
    'test accuracy %, mean ± standard error',
    'labels random margin',
    '10 50.00 ± 0.00 55.00 ± 5.00',
    '20 65.00 ± 5.00 80.00 ± 10.00',
    '30 85.00 ± 5.00',
  ]


@pytest.mark.parametrize('table', [tables.summary_table, tables.round_table])
def test_a_table_of_nothing_is_refused(table):
  with pytest.raises(ValueError, match='records is empty'):
    table([])
