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


@pytest.mark.parametrize(
  ('values', 'ids'),
  [
    (['1', '20', '3'], np.int64([1, 20, 3])),
    (['1', '007', '7'], np.array(['1', '007', '7'])),
    (['a', '2'], np.array(['a', '2'])),
    (np.uint8([1, 2]), np.int64([1, 2])),
    (np.uint64([1, 2**63 - 1]), np.int64([1, 2**63 - 1])),
    (np.uint64([1, 2**63]), np.array(['1', str(2**63)])),
    ([1, 2**65], np.array(['1', str(2**65)])),
    (['1', str(2**65)], np.array(['1', str(2**65)])),
    ([str(-(2**63) - 1)], np.array([str(-(2**63) - 1)])),
    ([3.0, -1.0], np.int64([3, -1])),
    (np.array([3.0, 1.0], object), np.int64([3, 1])),
    (np.float32([2**24 - 1]), np.int64([2**24 - 1])),
    ([1.5, 2.0], np.array(['1.5', '2.0'])),
    (['1.0', '2'], np.array(['1.0', '2'])),
  ],
)
def test_ids_are_numbers_only_if_nothing_is_lost(values, ids):
  found = cells.as_ids(values)
  assert found.dtype.kind == ids.dtype.kind
  np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    ([1.0, np.nan, np.nan], 'x: there is no id in row 1 .* in 2 of 3 rows'),
    (np.array(['a', 2, None], object), 'there is no id in row 2'),
    (['a', ' '], 'there is no id in row 1'),
    ([1.0, np.inf], 'the id in row 1 .* is inf'),
    (np.array(['2020-01-01', 'NaT'], 'M8[ns]'), 'there is no id in row 1'),
    ([1, 2.0**53], 'x: the id in row 1 .* as float64 it must be below 9007199'),
    (np.float32([2**24]), 'as float32 it must be below 16777216'),
    ([-1, 2**63], 'give integers or text'),
    ([[1, 2], [3, 4]], r'x: the shape is \[2, 2\]; it must be \[N\]'),
  ],
)
def test_ids_that_are_missing_or_rounded_are_refused(values, message):
  with pytest.raises(ValueError, match=message):
    cells.as_ids(values, 'x')
