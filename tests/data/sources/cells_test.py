"""Cells as numbers and as names of categories."""

import datetime
import decimal
import itertools

import numpy as np
import pytest

from al_jax.data.sources import cells

GAPS = [None, np.nan, '', '  ', np.float32('nan'), np.datetime64('NaT')]


def column(*values):
  found = np.empty(len(values), object)
  found[:] = values
  return found


def test_gaps_of_all_kinds():
  assert cells.gaps(column(*GAPS[:5], 0, False, 'nan', 'NA')).tolist() == (
    5 * [True] + 4 * [False]
  )
  assert cells.gaps(np.array([1.0, np.nan])).tolist() == [False, True]
  assert not cells.gaps(np.arange(3)).any()
  two = np.array([['a', None], ['b', 'c']], object)
  assert cells.gaps(two).tolist() == [True, False]


def test_what_pandas_calls_missing_is_a_gap():
  pandas = pytest.importorskip('pandas')
  assert cells.is_gap(pandas.NA) and cells.is_gap(pandas.NaT)


def test_typed_cells_are_numbers_and_text_is_not():
  values = column(1, True, None, 2.5, decimal.Decimal('3.5'), np.int8(4))
  found, row = cells.as_numbers(values, is_text=False)
  np.testing.assert_array_equal(found, [1, 1, np.nan, 2.5, 3.5, 4])
  assert row is None
  for wrong in ('7', 'a', datetime.date(2020, 1, 1)):
    assert cells.as_numbers(column(1, wrong), is_text=False)[1] == 1


def test_numbers_written_as_text():
  values = column(' 1', 'True', 'false', '', 'NA', '?', 'NaN', '-2e1')
  found, row = cells.as_numbers(values, is_text=True)
  np.testing.assert_array_equal(
    found, [1, 1, 0, np.nan, np.nan, np.nan, np.nan, -20]
  )
  assert row is None
  for wrong in ('1_000', 'a', '1,5'):
    assert cells.as_numbers(column('1', wrong), is_text=True)[1] == 1


def test_categories_are_called_alike_whatever_their_type():
  found = cells.as_categories(column(' a', 1, 1.0, '1', True, None, 1.5), None)
  assert found == ['a', '1', '1', '1', 'True', None, '1.5']
  with pytest.raises(KeyError):
    cells.as_categories(column('a', []), lambda row, cell: KeyError(row, cell))


def test_categories_sort_as_numbers_if_all_are():
  assert cells.in_order({'10', '9', '2'}) == ('2', '9', '10')
  assert cells.in_order({'10', '9', 'a'}) == ('10', '9', 'a')


@pytest.mark.parametrize('name', ['nan', 'inf'])
def test_a_category_that_is_no_finite_number_makes_all_of_them_text(name):
  names = ['3', name, '1', '2', '10', '7']
  # As a list: the order of a set of text differs from process to process.
  for order in itertools.permutations(names):
    assert cells.in_order(order) == ('1', '10', '2', '3', '7', name)
