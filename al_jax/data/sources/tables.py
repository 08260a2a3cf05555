"""Named columns of a file -> inputs, labels or numbers to predict, and ids.

The readers are in `delimited.py` and `parquet.py`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from al_jax import errors

# A column by its name, or by its position, from 0 or, negative, from the end.
Column = str | int

# What pandas calls an index that has no name, in CSV and in Parquet.
_UNNAMED = re.compile(r'(Unnamed: \d+|__index_level_\d+__)?')


class Examples(NamedTuple):
  """What was asked of a table.

  Attributes:
    inputs: float32 [N, D].
    labels: [N], as they stand in the file; float32 [N, D] if they are numbers.
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
  targets: Sequence[Column] | None = None,
  features: Sequence[Column] | None = None,
  ids: Column | None = None,
  index_col: Column | None = None,
) -> Examples:
  """Reads the columns that are asked for, and no others.

  Args:
    table: from `delimited.open_csv` or `parquet.open_parquet`.
    target: the column of labels; None: the last.
    targets: the columns of numbers to predict. If None, `target` counts.
    features: the columns of inputs; None: all but the targets, the ids and the
      index.
    ids: the column of ids; None: there is none.
    index_col: a column that numbers the rows and is not read; None: there is
      none.

  Returns:
    The examples, in the order of the file.

  Raises:
    ValueError: a column is unknown, named twice, or not numeric; or one of the
      inputs by default has no name, as the index has that pandas writes.
  """
  if targets is None:
    targets_at = [_position(table, 'target', -1 if target is None else target)]
  else:
    targets_at = [_position(table, 'targets', name) for name in targets]
  ids_at = None if ids is None else _position(table, 'ids', ids)
  index_at = None
  if index_col is not None:
    index_at = _position(table, 'index_col', index_col)
  if features is None:
    others = (*targets_at, ids_at, index_at)
    features_at = [at for at in range(len(table.names)) if at not in others]
    _refuse_index(table, features_at)
  else:
    features_at = [_position(table, 'features', name) for name in features]
  _check_roles(table, targets_at, (ids_at, index_at), features_at)
  others = [] if ids_at is None else [ids_at]
  if targets is None:
    inputs, (labels, *found_ids) = table.read(
      features_at, [*targets_at, *others]
    )
  else:
    numbers, found_ids = table.read([*features_at, *targets_at], others)
    inputs, labels = np.split(numbers, [len(features_at)], axis=1)
  return Examples(
    inputs=np.ascontiguousarray(inputs),
    labels=labels,
    ids=as_ids(found_ids[0]) if found_ids else None,
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
      f'{where} has {values[position]} at {list(position)}; numbers become '
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


def _refuse_index(table: TableFile, features: list[int]) -> None:
  """Raises if a column of inputs has no name: it numbers the rows."""
  for at in features:
    name = table.names[at]
    if _UNNAMED.fullmatch(name):
      raise ValueError(
        f'{table.path}: column {at} is named {name!r}, as pandas names the '
        f'index of a table: index_col={at} leaves it out; if it is an input, '
        'list it in features.'
      )


def _check_roles(
  table: TableFile,
  targets: list[int],
  others: tuple[int | None, int | None],
  features: list[int],
) -> None:
  """Raises if a column has two roles, or none is left for the inputs."""
  if not features:
    named = ', '.join(repr(table.names[at]) for at in targets)
    raise ValueError(
      f'features: {table.path} has no column left for the inputs beside the '
      f'target {named}.'
    )
  roles = [*targets, *features, *(at for at in others if at is not None)]
  for at in roles:
    if roles.count(at) > 1:
      raise ValueError(
        f'The column {table.names[at]!r} of {table.path} is asked for twice '
        'among target, targets, ids, index_col and features.'
      )
