"""Reads the columns of CSV and TSV files with NumPy."""

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from al_jax.data.sources import cells
from al_jax.data.sources.tables import TableFile

_DELIMITERS = ',;\t|'
_BOOLEANS = {'true': 1.0, 'false': 0.0}


def open_csv(
  path: Path, *, header: bool | None = None, delimiter: str | None = None
) -> TableFile:
  """Opens a CSV file and finds its columns from the first two lines.

  Args:
    path: the file, UTF-8.
    header: whether the first line holds the names of the columns. If None, it
      does if some column has a number in the second line and none in the first,
      or if neither line has any; True and False count as numbers. Without a
      header, columns are named '0', '1', ...
    delimiter: delimiter of cells. If None, the one of comma, semicolon, tab and
      bar that splits the first line into the most cells.

  Returns:
    A TableFile. Quotes are double quotes; blank lines are skipped. In a column
    whose first value is True or False, these are 1 and 0.

  Raises:
    ValueError: If the file is empty or not UTF-8 text, or a name is there
      twice.
  """
  top = list(itertools.islice(_lines(path, newline=''), 2))
  if not top:
    raise ValueError(f'{path} is empty.')
  if delimiter is not None and not _is_delimiter(delimiter):
    raise ValueError(
      f'delimiter is {delimiter!r}; it must be one character other than a '
      'quote, a letter, a digit or the end of a line.'
    )
  if delimiter is None:
    delimiter = max(
      _DELIMITERS, key=lambda mark: len(next(_cells(path, top, mark)))
    )
  rows = list(_cells(path, top, delimiter))
  if header is None:
    header = _looks_like_header(*rows)
  names = rows[0] if header else [str(at) for at in range(len(rows[0]))]
  names = tuple(name.strip() for name in names)
  for name in names:
    if '\n' in name or '\r' in name:
      raise ValueError(
        f'{path} has a line break in the name of a column, or a quote that is '
        f'not closed: {name!r}.'
      )
    if names.count(name) > 1:
      raise ValueError(f'{path} has two columns named {name!r}.')

  def read(features, others):
    if header and len(rows) == 1:
      raise ValueError(f'{path} has a header and no rows.')
    first = enumerate(rows[int(header)])
    booleans = {
      at for at, cell in first if at in features and _is_boolean(cell)
    }
    return _read_csv(path, delimiter, header, names, features, others, booleans)

  return TableFile(path, names, read, is_text=True)


def _is_delimiter(mark: str) -> bool:
  is_one = isinstance(mark, str) and len(mark) == 1
  return is_one and not mark.isalnum() and mark not in '"\r\n'


def _lines(path: Path, *, newline: str | None) -> Iterator[str]:
  """Yields the lines that are not blank; raises ValueError if not UTF-8."""
  try:
    with path.open(newline=newline, encoding='utf-8-sig') as file:
      for line in file:
        if '\0' in line:
          raise _no_text(path, 'a NUL character')
        if line.strip():
          yield line
  except UnicodeDecodeError as error:
    byte = f'the byte 0x{error.object[error.start]:02x}'
    raise _no_text(path, byte) from error


def _no_text(path: Path, found: str) -> ValueError:
  """Makes the error for a file that is not UTF-8, with a remedy."""
  with path.open('rb') as file:
    start = file.read(4096)
  message = f'{path} is not UTF-8 text: it has {found}.'
  if start[:2] in (b'\xff\xfe', b'\xfe\xff'):
    return ValueError(f'{message} Convert it by: iconv -f UTF-16 -t UTF-8')
  if b'\0' in start or 'NUL' in found:
    return ValueError(f'{message} It looks binary; a table is text.')
  return ValueError(
    f'{message} If it is a table in Latin-1, convert it by: '
    'iconv -f LATIN1 -t UTF-8'
  )


def _cells(
  path: Path, lines: Iterable[str], delimiter: str
) -> Iterator[list[str]]:
  """Yields the cells of each row."""
  try:
    yield from csv.reader(lines, delimiter=delimiter)
  except csv.Error as error:
    raise ValueError(f'{path} cannot be read as CSV: {error}.') from error


def _looks_like_header(first: list[str], second: Sequence[str] = ()) -> bool:
  """Returns whether the first line holds names rather than values."""
  above, below = ([_is_value(cell) for cell in row] for row in (first, second))
  if not any(above) and not any(below):
    return True
  return any(
    value and not name for name, value in zip(above, below, strict=False)
  )


def _is_value(text: str) -> bool:
  return _is_number(text) or _is_boolean(text)


def _is_boolean(text: str) -> bool:
  return text.strip().lower() in _BOOLEANS


def _is_number(text: str) -> bool:
  try:
    float(text)
  except ValueError:
    return False
  return True


def _as_number(text: str) -> float:
  """Reads a cell of a column whose first value is True or False."""
  return _BOOLEANS[text.strip().lower()] if _is_boolean(text) else float(text)


def _read_csv(
  path: Path,
  delimiter: str,
  header: bool,
  names: tuple[str, ...],
  features: Sequence[int],
  others: Sequence[int],
  booleans: set[int],
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Reads all columns in one pass of NumPy's C reader."""
  numeric = set(features)
  # The file's own names may be empty. Object fields hold text of any length.
  row_type = np.dtype(
    [
      (f'column {at}', np.float32 if at in numeric else object)
      for at in range(len(names))
    ]
  )
  try:
    rows = np.loadtxt(
      itertools.islice(_lines(path, newline=None), int(header), None),
      dtype=row_type,
      delimiter=delimiter,
      quotechar='"',
      comments=None,
      converters=dict.fromkeys(booleans, _as_number),
      ndmin=1,
    )
  except ValueError as error:
    _explain_bad_cell(path, delimiter, header, names, numeric, booleans)
    raise ValueError(f'{path} cannot be read as CSV: {error}') from error
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
  booleans: set[int],
) -> None:
  """Raises ValueError for a row of wrong length or with a bad number."""
  rows = _cells(path, _lines(path, newline=''), delimiter)
  for number, row in enumerate(itertools.islice(rows, int(header), None)):
    where = f'{path}, row {number} (counted from 0)'
    if len(row) != len(names):
      raise ValueError(
        f'{where} has {len(row)} cells; there are {len(names)} columns.'
      )
    for at in sorted(numeric):
      is_good = _is_value if at in booleans else _is_number
      if not is_good(row[at]):
        raise ValueError(
          f'{where}: the column {names[at]!r} has '
          f'{_said(row[at])} The options features, targets and ids name the '
          'columns to use.'
        )


def _said(cell: str) -> str:
  """Describes a cell that is not a number, and the option that helps."""
  if cell.strip().lower() in cells.NO_NUMBER:
    said = repr(cell) if cell.strip() else 'nothing'
    return (
      f'{said} where a number is needed. The option missing fills or drops '
      f"gaps: {cells.GAP_HINT}; targets allow 'drop' alone."
    )
  return (
    f'{cell!r} where a number is needed. The option categories turns text into '
    "numbers: 'one_hot', or a dict by column."
  )
