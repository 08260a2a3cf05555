"""Named columns of a file -> inputs, labels or numbers to predict, and ids.

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

# A column by its name, or by its position, from 0 or, negative, from the end.
Column = str | int

# What pandas calls an index that has no name, in CSV and in Parquet.
_UNNAMED = re.compile(r'(Unnamed: \d+|__index_level_\d+__)?')


class Examples(NamedTuple):
  """What was asked of a table.

  Attributes:
    inputs: float32 [N, D]; of `read_columns` D arrays [N].
    labels: [N], as they stand in the file; float32 [N, D] if they are numbers.
    ids: [N], int64 or str; None if no column was named.
    features: names of the D columns.
    targets: names of the columns of labels.
  """

  inputs: np.ndarray | list[np.ndarray]
  labels: np.ndarray
  ids: np.ndarray | None
  features: tuple[str, ...]
  targets: tuple[str, ...]


class TableFile(NamedTuple):
  """A file whose columns are known and not yet read.

  Attributes:
    path: the file; or what else messages call a table.
    names: of its columns, in order.
    read: `(features, others) -> ([N, D] float32, list of [N])`, by position;
      the others as text or whatever type the file gives them.
    is_text: the others are text, numbers too.
  """

  path: Path | str
  names: tuple[str, ...]
  read: Callable[
    [Sequence[int], Sequence[int]], tuple[np.ndarray, list[np.ndarray]]
  ]
  is_text: bool = False


class Roles(NamedTuple):
  """What the columns of a table are for, by position.

  Attributes:
    features: the inputs.
    targets: the labels, or the numbers to predict; none if the table has none.
    are_numbers: whether the targets are numbers to predict.
    ids: the ids, if a column has them.
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
  """Finds the columns that are asked for.

  Args:
    table: from `delimited.open_csv`, `parquet.open_parquet` or
      `frames.open_frame`.
    target: the column of labels; None: the last.
    targets: the columns of numbers to predict. If None, `target` counts.
    features: the columns of inputs; None: all but the targets, the ids and the
      index.
    ids: the column of ids; None: there is none.
    index_col: a column that numbers the rows and is not read; None: there is
      none.

  Returns:
    Roles.

  Raises:
    ValueError: a column is unknown or named twice; or one of the inputs by
      default has no name, as the index has that pandas writes.
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
  """Reads the columns that are asked for, all inputs as numbers.

  Args:
    table: see `roles_of`.
    **columns: see `roles_of`.

  Returns:
    The examples, in the order of the file.

  Raises:
    ValueError: see `roles_of`; or a cell is no number, or there is none.
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
  """Reads the columns that are asked for, inputs as they stand there.

  Args:
    table: see `roles_of`.
    **columns: see `roles_of`.

  Returns:
    The examples, in the order of the file. Numbers to predict are float64
    [N, D], NaN in gaps.

  Raises:
    ValueError: see `roles_of`; or a number to predict is none.
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
    # Nothing to predict is an array too, of no columns.
    empty = np.zeros((len(found[0]), 0))
    labels = [np.column_stack([empty, *numbers])]
  return _examples(table, roles, labels[0], found_ids)._replace(inputs=inputs)


def _examples(table, roles, labels, found_ids):
  """Examples without their inputs."""
  return Examples(
    inputs=[],
    labels=labels,
    ids=cells.as_ids(found_ids[0], table.path) if found_ids else None,
    features=tuple(table.names[at] for at in roles.features),
    targets=tuple(table.names[at] for at in roles.targets),
  )


def _numbers(table, name, values):
  """Numbers to predict, NaN in gaps."""
  found, row = cells.as_numbers(values, is_text=table.is_text)
  if row is not None:
    raise ValueError(
      f'{table.path}: the column {name!r} has {str(values[row])!r} in row '
      f'{row} (counted from 0) where a number to predict is needed.'
    )
  return found


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


def position(
  where: Path | str, option: str, names: Sequence[str], column: Column
) -> int:
  """Returns where a column stands; an unknown one names the closest.

  Args:
    where: what holds the table, for messages.
    option: that names the column.
    names: of all columns, in order.
    column: by name or position.
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
        f'{option}: {where} has no column {column!r}; several are a list: '
        f'{option}={tuple(several)!r}.'
      )
    raise errors.unknown_name(f'{option}: the column of {where}', column, names)
  return list(names).index(column)


def _refuse_index(table: TableFile, features: list[int]) -> None:
  """Raises if a column of inputs has no name: it numbers the rows."""
  for at in features:
    name = table.names[at]
    if _UNNAMED.fullmatch(name):
      raise ValueError(
        f'{table.path}: column {at} is named {name!r}, as pandas names the '
        f'index of a table: index_col={at} leaves it out, of a frame '
        'x.drop(...); if it is an input, list it in features.'
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
