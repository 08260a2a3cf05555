"""Cells of a column as numbers or names of categories; gaps in either."""

import decimal
import numbers
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# What stands for no number in a column of numbers that are written as text.
NO_NUMBER = ('', 'na', 'n/a', 'nan', 'null', 'none', '?')
# What the option missing may be, for messages.
GAP_HINT = (
  "'median' or 'mean' of the column, 'draw' from its values, 'drop' the row; "
  "or a dict by column: missing={'age': 'median'}"
)
_BOOLEANS = {'true': 1.0, 'false': 0.0}
# How pandas calls what is not there, whatever its type.
_GAP_TYPES = ('NAType', 'NaTType', 'NoneType')


def is_gap(cell: Any) -> bool:
  """Tells whether a cell is None, NaN, NA, NaT or blank text."""
  if isinstance(cell, str):
    return not cell.strip()
  if type(cell).__name__ in _GAP_TYPES:
    return True
  return isinstance(cell, numbers.Real) and bool(cell != cell)


def gaps(values: np.ndarray) -> np.ndarray:
  """Returns which rows are gaps: bool[N].

  Args:
    values: [N] or [N, ...], of any type; a row has a gap if one entry is one.
  """
  if values.dtype.kind in 'biu':
    return np.zeros(len(values), bool)
  if values.dtype.kind == 'f':
    found = np.isnan(values)
  else:
    cells = (is_gap(cell) for cell in values.ravel().tolist())
    found = np.fromiter(cells, bool, values.size).reshape(values.shape)
  return found.any(axis=tuple(range(1, found.ndim)))


def refuse_gaps(
  where: Path | str, names: Sequence[str], is_gap: np.ndarray
) -> None:
  """Raises ValueError at the first gap, and says what may become of it.

  Args:
    where: what holds the table, for the message.
    names: of the D columns.
    is_gap: bool[N, D].
  """
  if not is_gap.any():
    return
  row, at = (int(axis[0]) for axis in np.nonzero(is_gap))
  count = np.count_nonzero(is_gap[:, at])
  raise ValueError(
    f'{where}: the column {names[at]!r} has no value in row {row} (counted '
    f'from 0), and in {count} of {len(is_gap)} rows. The option missing says '
    f'what becomes of gaps: {GAP_HINT}.'
  )


def as_numbers(
  values: np.ndarray, *, is_text: bool
) -> tuple[np.ndarray, int | None]:
  """Reads the cells of a column as numbers.

  Args:
    values: [N], of any type. True and False are 1 and 0.
    is_text: numbers are written as text, as in a CSV file. Then also NA, NaN,
      null, None and ? are gaps.

  Returns:
    float64[N], NaN in gaps; and the first row that holds something else, or
    None if there is none.
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
  # Python reads 1_000 as a number; no other reader does.
  return _BOOLEANS[text] if text in _BOOLEANS else float(text.replace('_', 'x'))


def as_categories(
  values: np.ndarray, refuse: Callable[[int, Any], Exception]
) -> list[str | None]:
  """Reads the cells of a column as the names of categories.

  Args:
    values: [N], of any type.
    refuse: `(row, cell) -> error`, for a cell that is neither text nor number.

  Returns:
    N names, None in gaps. Whole numbers are named alike whatever their type.
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
  """Returns names sorted; as numbers if all are finite numbers."""
  try:
    number_of = {name: float(name) for name in names}
  except ValueError:
    return tuple(sorted(names))
  # NaN has no place in an order: sorted() would depend on that of the set.
  if not np.isfinite(list(number_of.values())).all():
    return tuple(sorted(names))
  return tuple(sorted(names, key=lambda name: (number_of[name], name)))
