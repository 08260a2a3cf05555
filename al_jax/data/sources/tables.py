"""Named columns of a file -> inputs, labels and ids; and the CSV reader.

The Parquet reader is in `parquet.py`.
"""

import csv
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from al_jax import errors

# A column by its name, or by its position, from 0 or, negative, from the end.
Column = str | int

_DELIMITERS = ',;\t|'


class Examples(NamedTuple):
  """What was asked of a table.

  Attributes:
    inputs: float32 [N, D].
    labels: [N], as they stand in the file.
    ids: [N], int64 or str; None if no column was named.
    features: names of the D columns.
  """

  inputs: np.ndarray
  labels: np.ndarray
  ids: np.ndarray | None
  features: tuple[str, ...]


class TableFile(NamedTuple):
  """A file whose columns are known and not yet read.

  Attributes:
    path: the file.
    names: of its columns, in order.
    read: `(features, others) -> ([N, D] float32, list of [N])`, by position;
      the others as text or whatever type the file gives them.
  """

  path: Path
  names: tuple[str, ...]
  read: Callable[
    [Sequence[int], Sequence[int]], tuple[np.ndarray, list[np.ndarray]]
  ]


def read_examples(
  table: TableFile,
  *,
  target: Column | None = None,
  features: Sequence[Column] | None = None,
  ids: Column | None = None,
) -> Examples:
  """Reads the columns that are asked for, and no others.

  Args:
    table: from `open_csv` or `parquet.open_parquet`.
    target: the column of labels; None: the last.
    features: the columns of inputs; None: all but the target and the ids.
    ids: the column of ids; None: there is none.

  Returns:
    The examples, in the order of the file.

  Raises:
    ValueError: a column is unknown, named twice, or not numeric.
  """
  target_at = _position(table, 'target', -1 if target is None else target)
  ids_at = None if ids is None else _position(table, 'ids', ids)
  if features is None:
    features_at = [
      at for at in range(len(table.names)) if at not in (target_at, ids_at)
    ]
  else:
    features_at = [_position(table, 'features', name) for name in features]
  _check_roles(table, target_at, ids_at, features_at)
  others = [target_at] if ids_at is None else [target_at, ids_at]
  inputs, (labels, *rest) = table.read(features_at, others)
  return Examples(
    inputs=inputs,
    labels=labels,
    ids=as_ids(rest[0]) if rest else None,
    features=tuple(table.names[at] for at in features_at),
  )


def as_float32(values: np.ndarray, where: str) -> np.ndarray:
  """Numbers as float32.

  Args:
    values: of any numeric type.
    where: what holds them, for messages.

  Returns:
    The same numbers, rounded.

  Raises:
    ValueError: a finite number is beyond what float32 can hold.
  """
  with np.errstate(over='ignore', invalid='ignore'):
    rounded = np.asarray(values).astype(np.float32)
  if not np.isinf(rounded).any():
    return rounded
  beyond = np.isinf(rounded) & np.isfinite(values)
  if beyond.any():
    position = tuple(int(axis[0]) for axis in np.nonzero(beyond))
    raise ValueError(
      f'{where} has {values[position]} at {list(position)}; inputs become '
      f'float32, whose largest is {np.finfo(np.float32).max:.4g}.'
    )
  return rounded


def as_ids(values: np.ndarray) -> np.ndarray:
  """Ids as int64 where all are whole numbers, else as text."""
  values = np.asarray(values)
  if values.dtype.kind in 'biu':
    return values.astype(np.int64)
  text = values.astype(str)
  # '007' and '7' are two ids: text that int64 would not give back stays text.
  try:
    numbers = text.astype(np.int64)
  except ValueError:
    return text
  return numbers if np.array_equal(numbers.astype(str), text) else text


def _position(table: TableFile, option: str, column: Column) -> int:
  """Where a column stands; an unknown one names the closest."""
  width = len(table.names)
  if isinstance(column, int) and not isinstance(column, bool):
    if not -width <= column < width:
      raise ValueError(
        f'{option}={column} is not a column of {table.path}, which has '
        f'{width}: 0 to {width - 1}, or -{width} to -1 from the end.'
      )
    return column % width
  if column not in table.names:
    raise errors.unknown_name(
      f'{option}: the column of {table.path}', column, table.names
    )
  return table.names.index(column)


def _check_roles(
  table: TableFile, target: int, ids: int | None, features: list[int]
) -> None:
  """Raises if a column has two roles, or none is left for the inputs."""
  if not features:
    raise ValueError(
      f'features: {table.path} has no column left for the inputs beside the '
      f'target {table.names[target]!r}.'
    )
  roles = [target, *features] + ([] if ids is None else [ids])
  for at in roles:
    if roles.count(at) > 1:
      raise ValueError(
        f'The column {table.names[at]!r} of {table.path} is asked for twice '
        'among target, ids and features.'
      )


def open_csv(
  path: Path, *, header: bool | None = None, delimiter: str | None = None
) -> TableFile:
  """Looks at the first two lines of a CSV file.

  Args:
    path: the file, UTF-8.
    header: whether the first line holds the names of the columns. None: it does
      if some column has a number in the second line and none in the first, or
      if neither line has any. Columns without a header are '0', '1', ...
    delimiter: between cells; None: the one of comma, semicolon, tab and bar
      that makes most cells of the first line.

  Returns:
    A TableFile. Quotes are double quotes; blank lines are skipped.

  Raises:
    ValueError: the file is empty, or a name is there twice.
  """
  with path.open(newline='', encoding='utf-8-sig') as lines:
    top = list(itertools.islice((line for line in lines if line.strip()), 2))
  if not top:
    raise ValueError(f'{path} is empty.')
  if delimiter is None:
    delimiter = max(
      _DELIMITERS, key=lambda mark: len(next(csv.reader(top, delimiter=mark)))
    )
  rows = list(csv.reader(top, delimiter=delimiter))
  if header is None:
    header = _looks_like_header(*rows) if len(rows) > 1 else False
  names = rows[0] if header else [str(at) for at in range(len(rows[0]))]
  names = tuple(name.strip() for name in names)
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f'{path} has two columns named {name!r}.')

  def read(features, others):
    return _read_csv(path, delimiter, header, names, features, others)

  return TableFile(path, names, read)


def _looks_like_header(first: list[str], second: list[str]) -> bool:
  """Whether a line of names stands above a line of values."""
  above, below = ([_is_number(cell) for cell in row] for row in (first, second))
  if not any(above) and not any(below):
    return True
  return any(
    value and not name for name, value in zip(above, below, strict=False)
  )


def _is_number(text: str) -> bool:
  try:
    float(text)
  except ValueError:
    return False
  return True


def _read_csv(
  path: Path,
  delimiter: str,
  header: bool,
  names: tuple[str, ...],
  features: Sequence[int],
  others: Sequence[int],
) -> tuple[np.ndarray, list[np.ndarray]]:
  """One pass of NumPy's C reader over all columns."""
  numeric = set(features)
  # Field names of our own: a file's may be empty. Object fields keep text of
  # any length.
  row_type = np.dtype(
    [
      (f'column {at}', np.float32 if at in numeric else object)
      for at in range(len(names))
    ]
  )
  with path.open(encoding='utf-8-sig') as lines:
    kept = (line for line in lines if line.strip())
    try:
      rows = np.loadtxt(
        itertools.islice(kept, int(header), None),
        dtype=row_type,
        delimiter=delimiter,
        quotechar='"',
        comments=None,
        ndmin=1,
      )
    except ValueError as error:
      _explain_bad_cell(path, delimiter, header, names, numeric)
      raise ValueError(f'{path} cannot be read as CSV: {error}') from error
  if not rows.size:
    raise ValueError(f'{path} has a header and no rows.')
  inputs = np.empty((len(rows), len(features)), np.float32)
  for column, at in enumerate(features):
    inputs[:, column] = rows[f'column {at}']
  return inputs, [rows[f'column {at}'] for at in others]


def _explain_bad_cell(
  path: Path,
  delimiter: str,
  header: bool,
  names: tuple[str, ...],
  numeric: set[int],
) -> None:
  """Raises for the first row that is too short, too long or not numeric."""
  with path.open(newline='', encoding='utf-8-sig') as lines:
    rows = (row for row in csv.reader(lines, delimiter=delimiter) if row)
    for number, row in enumerate(itertools.islice(rows, int(header), None)):
      where = f'{path}, row {number} (counted from 0)'
      if len(row) != len(names):
        raise ValueError(
          f'{where} has {len(row)} cells; there are {len(names)} columns.'
        )
      for at in sorted(numeric):
        if not _is_number(row[at]):
          said = repr(row[at]) if row[at].strip() else 'nothing'
          raise ValueError(
            f'{where}: the column {names[at]!r} has {said} where a number is '
            "needed. The option 'features' names the columns to use."
          )
