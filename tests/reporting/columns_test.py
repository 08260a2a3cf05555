import math

import pytest

from al_jax.reporting import columns
from al_jax.reporting.columns import Column
from al_jax.storage.metrics import ACCURACY
from al_jax.tasks import Metric

LOSS = Metric('test.log_loss', '', False)


def test_a_cell_shows_one_value_or_several_or_a_dash():
  row = {'system': 'margin', 'a': 1, 'b': 2}
  assert Column('', 'system').text(row) == 'margin'
  assert Column('', ('a', 'b'), '{}/{}'.format).text(row) == '1/2'
  assert Column('', ('c', 'd'), '{}/{}'.format).text(row) == '-'


def test_a_cell_stands_out_where_its_row_does_and_has_a_value():
  column = Column('', 'a', bold=lambda row: row['b'] > 1)
  assert column.is_bold({'a': 1, 'b': 2})
  assert not column.is_bold({'a': 1, 'b': 1})
  assert not column.is_bold({'b': 2})


def test_words_and_numbers_look_different():
  rows = [{'a': 'x', 'b': 1}, {'b': 2}]
  assert Column('', 'a').look(rows) == 'words'
  assert Column('', ('b', 'a')).look(rows) == 'number'


def test_accuracies_are_in_percent_and_others_are_not():
  assert columns.mean(ACCURACY)(0.9361, 0.0012) == '93.61 ± 0.12'
  assert columns.mean(LOSS)(1.5, 0.25) == '1.5000 ± 0.2500'
  assert columns.mean(ACCURACY)(0.5, math.nan) == '50.00'
  assert columns.mean(ACCURACY, signed=True)(0.01, 0.001) == '+1.00 ± 0.10'
  assert columns.mean(ACCURACY)(math.nan, 0.1) == '-'


def test_intervals_are_in_brackets():
  assert columns.interval(ACCURACY, signed=True)(-0.01, -0.02, 0.0) == (
    '-1.00 [-2.00, +0.00]'
  )
  assert columns.interval(ACCURACY)(0.5, math.nan, math.nan) == '50.00'


def test_labels_are_whole_or_not_reached():
  shown = columns.labels_needed(1340.2, 1300.0, math.inf)
  assert shown == '1,341 [1,300, not reached]'
  for low in (math.nan, math.inf):
    assert columns.labels_needed(math.inf, low, math.inf) == 'not reached'
  # Rounding of the interpolation asks for no label more.
  assert columns.number_of_labels(20 + 1e-12) == '20'


@pytest.mark.parametrize(
  ('value', 'shown'),
  [(0.001234, '0.00123'), (12.345, '12.3'), (12345.6, '12,346')],
)
def test_seconds(value, shown):
  assert columns.seconds(value) == shown


def test_names_of_metrics():
  assert columns.title(ACCURACY) == 'accuracy %'
  assert columns.title(LOSS._replace(name='test.mc_log_loss')) == 'mc log loss'
