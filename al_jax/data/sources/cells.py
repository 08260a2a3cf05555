"""Reads the cells of a column as numbers, categories or ids; finds gaps."""

import decimal
import numbers
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Spellings of a gap in a column of numbers written as text.
NO_NUMBER = ('', 'na', 'n/a', 'nan', 'null', 'none', '?')
# Values of the option missing, for messages.
GAP_HINT = (
  "'median' or 'mean' of the column, 'draw' from its values, 'drop' the row; "
  "or a dict by column: missing={'age': 'median'}"
)
_BOOLEANS = {'true': 1.0, 'false': 0.0}
# Types of None and of pandas' missing values.
_GAP_TYPES = ('NAType', 'NaTType', 'NoneType')


def is_gap(cell: Any) -> bool:
  """Returns whether a cell is None, NaN, NA, NaT or blank text."""
  if isinstance(cell, str):
    return not cell.strip()
  if type(cell).__name__ in _GAP_TYPES:
    return True
  return isinstance(cell, numbers.Real) and bool(cell != cell)


def gaps(values: np.ndarray) -> np.ndarray:
  """Returns a mask of the rows with a gap, bool[N].

  Args:
    values: [N] or [N, ...], of any type; one entry makes its row a gap.
  """
  if values.dtype.kind in 'biu':
    return np.zeros(len(values), bool)
  if values.dtype.kind == 'f':
    found = np.isnan(values)
  elif values.dtype.kind in 'mM':
    found = np.isnat(values)
  else:
    cells = (is_gap(cell) for cell in values.ravel().tolist())
    found = np.fromiter(cells, bool, values.size).reshape(values.shape)
  return found.any(axis=tuple(range(1, found.ndim)))


def refuse_gaps(
  where: Path | str, names: Sequence[str], is_gap: np.ndarray
) -> None:
  """Raises ValueError at the first gap, and lists the options for gaps.

  Args:
    where: place of the table, for the message.
    names: names of the D columns.
    is_gap: mask of gaps, bool[N, D].
  """
  if not is_gap.any():
    return
  row, at = (int(axis[0]) for axis in np.nonzero(is_gap))
  counts = np.count_nonzero(is_gap, axis=0)
  others = [
    f'{names[i]!r} ({counts[i]})' for i in np.flatnonzero(counts) if i != at
  ]
  also = f' Other columns with gaps: {", ".join(others)}.' if others else ''
  raise ValueError(
    f'{where}: the column {names[at]!r} has no value in row {row} (counted '
    f'from 0), and in {counts[at]} of {len(is_gap)} rows.{also} The option '
    f'missing fills or drops gaps: {GAP_HINT}.'
  )


def as_numbers(
  values: np.ndarray, *, is_text: bool
) -> tuple[np.ndarray, int | None]:
  """Reads the cells of a column as numbers.

  Args:
    values: [N], of any type. True and False are 1 and 0.
    is_text: whether numbers are written as text, as in a CSV file. If so, NA,
      N/A, NaN, null, None and ? are gaps too.

  Returns:
    float64[N], NaN in gaps; and the first row with anything but a number or a
    gap, or None.
  """
  if values.dtype.kind in 'biuf':
    return values.astype(np.float64), None
  found = np.full(len(values), np.nan)
  read = _text_as_number if is_text else _as_number
  for row, cell in enumerate(values.tolist()):
    if not is_gap(cell):
      try:
        found[row] = read(cell)
      except (ValueError, TypeError):
        return found, row
  return found, None


def _as_number(cell: Any) -> float:
  if isinstance(cell, numbers.Real | decimal.Decimal):
    return float(cell)
  raise ValueError(cell)


def _text_as_number(cell: Any) -> float:
  if not isinstance(cell, str):
    return _as_number(cell)
  text = cell.strip().lower()
  if text in NO_NUMBER:
    return np.nan
  # Python, unlike other readers, accepts 1_000 as a number; x makes it fail.
  return _BOOLEANS[text] if text in _BOOLEANS else float(text.replace('_', 'x'))


def as_categories(
  values: np.ndarray, refuse: Callable[[int, Any], Exception]
) -> list[str | None]:
  """Reads the cells of a column as names of categories.

  Args:
    values: [N], of any type.
    refuse: `(row, cell) -> error`, for a cell that is neither text nor number.

  Returns:
    N names, None in gaps. A whole number has one name, whatever its type.
  """
  found = []
  for row, cell in enumerate(values.tolist()):
    if is_gap(cell):
      found.append(None)
    elif isinstance(cell, str):
      found.append(cell.strip())
    elif isinstance(cell, numbers.Real):
      whole = not isinstance(cell, bool) and float(cell).is_integer()
      found.append(str(int(cell)) if whole else str(cell))
    else:
      raise refuse(row, cell)
  return found


def in_order(names: set[str]) -> tuple[str, ...]:
  """Sorts names, as numbers if all are finite numbers."""
  try:
    number_of = {name: float(name) for name in names}
  except ValueError:
    return tuple(sorted(names))
  # NaN has no order, so the result would depend on the order of the set.
  if not np.isfinite(list(number_of.values())).all():
    return tuple(sorted(names))
  return tuple(sorted(names, key=lambda name: (number_of[name], name)))


def levels(column: str | int, given: Sequence[Any]) -> tuple[str, ...]:
  """Returns the names of a column's declared categories, in order.

  Args:
    column: name of the column, for messages.
    given: the categories, text or numbers.

  Raises:
    ValueError: If a category is neither text nor number, or is there twice.
  """

  def refuse(_, level):
    return ValueError(
      f'categories: the column {column!r} has the level {level!r}; a level is '
      'text or a number.'
    )

  names = as_categories(np.fromiter(given, object, len(given)), refuse)
  for level, name in zip(given, names, strict=True):
    if name is None:
      raise refuse(None, level)
    if names.count(name) > 1:
      raise ValueError(
        f'categories: the column {column!r} has the level {name!r} twice.'
      )
  return tuple(names)


def as_ids(values: np.ndarray, where: Path | str = 'ids') -> np.ndarray:
  """Reads ids as int64 if all are whole numbers that fit, else as text.

  Args:
    values: [N], of any type.
    where: place of the ids, for messages.

  Raises:
    ValueError: If ids have another shape, one is missing, or a whole float is
      so large that it may be rounded.
  """
  values = np.asarray(values)
  if values.ndim != 1:
    raise ValueError(
      f'{where}: the shape is {list(values.shape)}; it must be [N], one id per '
      'example.'
    )
  missing = np.flatnonzero(gaps(values))
  if missing.size:
    raise ValueError(
      f'{where}: there is no id in row {missing[0]} (counted from 0), and in '
      f'{missing.size} of {len(values)} rows; every example needs one.'
    )
  if values.dtype.kind == 'O' and all(isinstance(at, float) for at in values):
    values = values.astype(np.float64)
  if values.dtype.kind == 'f' and np.array_equal(values, np.round(values)):
    values = _whole(values, where)
  if values.dtype.kind in 'bi':
    return values.astype(np.int64)
  text = values.astype(str)
  # '007' and '7' are two ids, so text that int64 would change stays text.
  try:
    numbers = text.astype(np.int64)
  except (ValueError, OverflowError):
    return text
  return numbers if np.array_equal(numbers.astype(str), text) else text


def _whole(values, where):
  """Converts to int64; raises ValueError where floats skip whole numbers."""
  limit = 2 ** (np.finfo(values.dtype).nmant + 1)
  beyond = np.flatnonzero(np.abs(values) >= limit)
  if beyond.size:
    raise ValueError(
      f'{where}: the id in row {beyond[0]} (counted from 0) is '
      f'{values[beyond[0]]}; as {values.dtype} it must be below {limit}, where '
      'rounding begins: give integers or text.'
    )
  return values.astype(np.int64)
