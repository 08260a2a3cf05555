"""Reads named columns of a table as inputs, labels or numbers, and ids.

The readers are in `delimited.py`, `parquet.py` and `frames.py`.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data.sources import cells

# A column's name, or its position from 0 or, if negative, from the end.
Column = str | int

# pandas' names for an index without a name, in CSV and in Parquet.
_UNNAMED = re.compile(r'(Unnamed: \d+|__index_level_\d+__)?')


class Examples(NamedTuple):
  """Examples read from a table.

  Attributes:
    inputs: float32 [N, D]; from `read_columns`, D arrays [N].
    labels: labels as in the file, [N]; numbers to predict, [N, D], float32 or
      from `read_columns` float64.
    ids: [N], int64 or str; None if no column was named.
    features: names of the D input columns.
    targets: names of the label columns.
  """

  inputs: np.ndarray | list[np.ndarray]
  labels: np.ndarray
  ids: np.ndarray | None
  features: tuple[str, ...]
  targets: tuple[str, ...]


class TableFile(NamedTuple):
  """A table whose columns are known but not yet read.

  Attributes:
    path: path of the file, or another name of the table for messages.
    names: names of the columns, in order.
    read: `(features, others) -> ([N, D] float32, list of [N])`; columns are
      given by position, and the others keep the types of the table.
    is_text: whether the others are always text, even numbers.
  """

  path: Path | str
  names: tuple[str, ...]
  read: Callable[
    [Sequence[int], Sequence[int]], tuple[np.ndarray, list[np.ndarray]]
  ]
  is_text: bool = False


class Roles(NamedTuple):
  """Roles of the columns of a table, by position.

  Attributes:
    features: columns of inputs.
    targets: columns of labels or of numbers to predict; empty if there are
      none.
    are_numbers: whether the targets are numbers to predict.
    ids: column of ids, or None.
  """

  features: list[int]
  targets: list[int]
  are_numbers: bool
  ids: int | None


def roles_of(
  table: TableFile,
  *,
  target: Column | None = None,
  targets: Sequence[Column] | None = None,
  features: Sequence[Column] | None = None,
  ids: Column | None = None,
  index_col: Column | None = None,
) -> Roles:
  """Finds the positions of the requested columns.

  Args:
    table: result of `delimited.open_csv`, `parquet.open_parquet` or
      `frames.open_frame`.
    target: column of labels. If None, the last column.
    targets: columns of numbers to predict. If None, `target` applies.
    features: columns of inputs. If None, all but the targets, the ids and the
      index.
    ids: column of ids. If None, there is none.
    index_col: column that numbers the rows and is not read. If None, there is
      none.

  Returns:
    Roles.

  Raises:
    ValueError: If a column is unknown or has two roles; or if `features` is
      None and an input looks like an unnamed index that pandas wrote.
  """

  def position_of(option, column):
    return position(table.path, option, table.names, column)

  if targets is None:
    targets_at = [position_of('target', -1 if target is None else target)]
  else:
    targets_at = [position_of('targets', name) for name in targets]
  ids_at = None if ids is None else position_of('ids', ids)
  index_at = None
  if index_col is not None:
    index_at = position_of('index_col', index_col)
  if features is None:
    others = (*targets_at, ids_at, index_at)
    features_at = [at for at in range(len(table.names)) if at not in others]
    _refuse_index(table, features_at)
  else:
    features_at = [position_of('features', name) for name in features]
  _check_roles(table, targets_at, (ids_at, index_at), features_at)
  return Roles(features_at, targets_at, targets is not None, ids_at)


def read_examples(table: TableFile, **columns: Any) -> Examples:
  """Reads the requested columns, all inputs as numbers.

  Args:
    table: see `roles_of`.
    **columns: see `roles_of`.

  Returns:
    The examples, in the order of the file.

  Raises:
    ValueError: See `roles_of`; or a cell is not a number, or is empty.
  """
  roles = roles_of(table, **columns)
  others = [] if roles.ids is None else [roles.ids]
  if roles.are_numbers:
    both = [*roles.features, *roles.targets]
    numbers, found_ids = table.read(both, others)
    inputs, labels = np.split(numbers, [len(roles.features)], axis=1)
  else:
    inputs, (labels, *found_ids) = table.read(
      roles.features, [*roles.targets, *others]
    )
  found = _examples(table, roles, labels, found_ids)
  cells.refuse_gaps(table.path, found.features, np.isnan(inputs))
  return found._replace(inputs=np.ascontiguousarray(inputs))


def read_columns(table: TableFile, **columns: Any) -> Examples:
  """Reads the requested columns, inputs with the types of the table.

  Args:
    table: see `roles_of`.
    **columns: see `roles_of`.

  Returns:
    The examples, in the order of the file. Numbers to predict are float64
    [N, D], NaN in gaps.

  Raises:
    ValueError: See `roles_of`; or a value to predict is not a number.
  """
  roles = roles_of(table, **columns)
  ids = [] if roles.ids is None else [roles.ids]
  _, found = table.read([], [*roles.features, *roles.targets, *ids])
  inputs, labels, found_ids = (
    found[begin:end]
    for begin, end in itertools.pairwise(
      [0, len(roles.features), len(found) - len(ids), len(found)]
    )
  )
  if roles.are_numbers:
    numbers = [
      _numbers(table, table.names[at], values)
      for at, values in zip(roles.targets, labels, strict=True)
    ]
    # Without targets, column_stack still needs one array.
    empty = np.zeros((len(found[0]), 0))
    labels = [np.column_stack([empty, *numbers])]
  return _examples(table, roles, labels[0], found_ids)._replace(inputs=inputs)


def _examples(table, roles, labels, found_ids):
  """Makes Examples without inputs."""
  return Examples(
    inputs=[],
    labels=labels,
    ids=cells.as_ids(found_ids[0], table.path) if found_ids else None,
    features=tuple(table.names[at] for at in roles.features),
    targets=tuple(table.names[at] for at in roles.targets),
  )


def _numbers(table, name, values):
  """Reads numbers to predict; gaps become NaN."""
  found, row = cells.as_numbers(values, is_text=table.is_text)
  if row is not None:
    raise ValueError(
      f'{table.path}: the column {name!r} has {str(values[row])!r} in row '
      f'{row} (counted from 0) where a number to predict is needed.'
    )
  return found


def as_float32(values: np.ndarray, where: str) -> np.ndarray:
  """Rounds numbers to float32.

  Args:
    values: numbers of any type.
    where: place of the numbers, for messages.

  Returns:
    The numbers as float32.

  Raises:
    ValueError: If a finite number exceeds the range of float32.
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


def position(
  where: Path | str, option: str, names: Sequence[str], column: Column
) -> int:
  """Returns the position of a column.

  Args:
    where: place of the table, for messages.
    option: option that names the column, for messages.
    names: names of all columns, in order.
    column: name or position of the column.

  Raises:
    ValueError: If there is no such column; the message suggests the closest.
  """
  width = len(names)
  if isinstance(column, int) and not isinstance(column, bool):
    if not -width <= column < width:
      raise ValueError(
        f'{option}={column} is not a column of {where}, which has '
        f'{width}: 0 to {width - 1}, or -{width} to -1 from the end.'
      )
    return column % width
  if column not in names:
    several = [each.strip() for each in str(column).split(',')]
    if len(several) > 1 and set(several) <= set(names):
      raise ValueError(
        f'{option}: {where} has no column {column!r}; give several as a list: '
        f'{option}={tuple(several)!r}.'
      )
    raise errors.unknown_name(f'{option}: the column of {where}', column, names)
  return list(names).index(column)


def _refuse_index(table: TableFile, features: list[int]) -> None:
  """Raises ValueError if an input looks like an unnamed pandas index."""
  for at in features:
    name = table.names[at]
    if _UNNAMED.fullmatch(name):
      raise ValueError(
        f'{table.path}: column {at} is named {name!r}, as pandas names the '
        f'index of a table: index_col={at} leaves it out (x.drop(...) for a '
        'frame); if it is an input, list it in features.'
      )


def _check_roles(
  table: TableFile,
  targets: list[int],
  others: tuple[int | None, int | None],
  features: list[int],
) -> None:
  """Raises ValueError if a column has two roles, or none is an input."""
  if not features:
    named = ', '.join(repr(table.names[at]) for at in targets)
    raise ValueError(
      f'features: {table.path} has no column left for the inputs besides the '
      f'target {named}.'
    )
  roles = [*targets, *features, *(at for at in others if at is not None)]
  for at in roles:
    if roles.count(at) > 1:
      raise ValueError(
        f'The column {table.names[at]!r} of {table.path} is named twice among '
        'target, targets, ids, index_col and features.'
      )
