"""Reads the columns of a table as numbers, gaps and categories included.

The user declares the treatment of gaps and categories; it is never guessed.
Columns are first read as numbers, with NaN in gaps and codes for categories;
then the splits are drawn; then `filling.py` fills the gaps from the training
split.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data import named, splits
from al_jax.data.sources import cells, tables

FILLS = ('median', 'mean', 'draw', 'drop')
ONE_HOT = 'one_hot'


class Declared(NamedTuple):
  """A user's options for gaps and categories in the columns of a table.

  Attributes:
    missing: `'median'`, `'mean'`, `'draw'` (from the values in the training
      split) or `'drop'` (the row); or a dict of these by column. If None, a gap
      raises an error.
    categories: `'one_hot'` turns every column of text into a column of 0 and 1
      per category. A list of columns does so for these, text or not. A dict by
      column holds `'one_hot'`, or a list of the categories in order, which
      become 0, 1, ... If None, text raises an error.
  """

  missing: Any = None
  categories: Any = None

  @property
  def anything(self) -> bool:
    """Whether any option is given."""
    return self.missing is not None or self.categories is not None

  def check(self) -> None:
    """Raises ValueError unless both options have one of the forms above."""
    by_column = isinstance(self.missing, Mapping)
    for fill in self.missing.values() if by_column else [self.missing]:
      if by_column or fill is not None:
        errors.check_name('missing', fill, FILLS)
    ways = self.categories
    if isinstance(ways, Mapping):
      for column, way in ways.items():
        if _is_list(way) and len(way) > 1:
          cells.levels(column, way)
        elif not _is_one_hot(way):
          raise ValueError(
            f'categories: the column {column!r} has {way!r}; it must be '
            f"'{ONE_HOT}', or a list of two or more categories in order."
          )
    elif not (ways is None or _is_one_hot(ways) or _is_list(ways)):
      raise ValueError(
        f"categories is {ways!r}; it must be '{ONE_HOT}', a list of columns, "
        'or a dict by column.'
      )

  def refuse(self, where: str) -> None:
    """Raises ValueError if an option is given for data other than a table."""
    for option, value in self._asdict().items():
      if value is not None:
        raise ValueError(
          f'{where}: {option}={value!r} is for tables, including arrays '
          '[N, D], and not for pictures or modalities.'
        )


class Column(NamedTuple):
  """A column of inputs with its options.

  Attributes:
    name: name of the column.
    fill: one of FILLS. If None, the column has no gaps.
    levels: names of the categories in all splits, by code; None for numbers.
    is_ordered: whether the codes themselves are the inputs.
  """

  name: str
  fill: str | None
  levels: tuple[str, ...] | None = None
  is_ordered: bool = False

  @property
  def is_one_hot(self) -> bool:
    """Whether the column becomes one column of 0 and 1 per category."""
    return self.levels is not None and not self.is_ordered


class Table(NamedTuple):
  """A table as numbers, before splits are drawn and gaps filled.

  Attributes:
    parts: splits by name; inputs are float32[N, D], NaN in gaps and codes for
      categories.
    columns: the D input columns.
    remarks: sentences on the rows that were left out.
  """

  parts: dict[str, splits.Part]
  columns: tuple[Column, ...]
  remarks: tuple[str, ...]


def prepare(
  where: str,
  parts: Mapping[str, splits.Part],
  names: Sequence[str],
  declared: Declared,
  *,
  targets: Sequence[str] = (),
  is_text: bool = False,
) -> Table:
  """Reads columns as numbers and drops rows as declared.

  Args:
    where: place of the table, for messages.
    parts: splits by name; inputs are a list of D arrays [N], or an array
      [N, D], of any type.
    names: names of the D columns.
    declared: options for gaps and categories.
    targets: names of the label columns, if any.
    is_text: whether numbers are written as text, as in a CSV file.

  Returns:
    A Table.

  Raises:
    ValueError: If there is a gap or text without an option for it (the message
      names row and column), or an option does not fit the table.
  """
  declared.check()
  fills = _fills(where, declared.missing, names, targets)
  ways = _ways(where, declared.categories, names)
  given = {split: part.inputs for split, part in parts.items()}
  columns, inputs = [], {split: [] for split in parts}
  for at, name in enumerate(names):
    cells_of = {
      split: inputs[at] if isinstance(inputs, list) else inputs[:, at]
      for split, inputs in given.items()
    }
    column = Column(name, fills.get(name))
    if name not in ways:
      numbers = _as_numbers(where, name, cells_of, is_text, declared.categories)
    if name in ways or numbers is None:
      way = ways.get(name, ONE_HOT)
      column, numbers = _as_codes(where, column, cells_of, way)
    columns.append(column)
    for split, values in numbers.items():
      inputs[split].append(values)
  parts = {
    split: part._replace(inputs=np.column_stack(inputs[split]))
    for split, part in parts.items()
  }
  for split, part in parts.items():
    splits.check_lengths(where, split, part)
  drops_targets = 'drop' in (fills.get(name) for name in targets)
  drops_targets |= declared.missing == 'drop'
  parts, remarks = _without_gaps(where, parts, columns, drops_targets)
  return Table(parts, tuple(columns), remarks)


def of_arrays(
  where: str, parts: Mapping[str, splits.Part], declared: Declared
) -> Table | None:
  """Prepares arrays [N, D] as a table if any option is given.

  Args:
    where: place of the arrays, for messages.
    parts: splits by name; inputs are uint8 or float32 [N, ...].
    declared: options for gaps and categories, by position of the column.

  Returns:
    A Table, or None if no option is given.

  Raises:
    ValueError: See `prepare`; or an option is given for arrays of another rank.
  """
  shape = parts['train'].inputs.shape
  if len(shape) != 2:
    declared.refuse(where)
    return None
  names = tuple(str(at) for at in range(shape[1]))
  if declared.anything:
    return prepare(where, parts, names, declared)
  for split, part in parts.items():
    if part.inputs.dtype.kind == 'f':
      is_gap = np.isnan(part.inputs)
      cells.refuse_gaps(f'{where}, {split} split', names, is_gap)
  return None


def _is_one_hot(value: Any) -> bool:
  # Comparing a NumPy array with text does not give one truth value.
  return isinstance(value, str) and value == ONE_HOT


def _is_list(value: Any) -> bool:
  return isinstance(value, Sequence) and not isinstance(value, str)


def _by_name(where, option, names, given):
  """Returns the given options by column name; columns may be positions."""
  found, called = {}, {}
  for column, value in given.items():
    name = names[tables.position(where, option, names, column)]
    if name in found:
      raise ValueError(
        f'{option} names the column {name!r} twice: {called[name]!r} and '
        f'{column!r}.'
      )
    found[name], called[name] = value, column
  return found


def _fills(where, missing, names, targets):
  """Returns the filling of gaps by column name."""
  if not isinstance(missing, Mapping):
    return {} if missing is None else dict.fromkeys(names, missing)
  fills = _by_name(where, 'missing', (*names, *targets), missing)
  for name in targets:
    if fills.get(name, 'drop') != 'drop':
      raise ValueError(
        f'missing: {name!r} is {fills[name]!r}; a target is never filled, so '
        "it must be 'drop', which leaves out the rows without one."
      )
  return fills


def _ways(where, categories, names):
  """Returns the option of each column declared as categories, by name."""
  if categories is None or categories == ONE_HOT:
    return {}
  if not isinstance(categories, Mapping):
    categories = dict.fromkeys(categories, ONE_HOT)
  return _by_name(where, 'categories', names, categories)


def _as_numbers(where, name, cells_of, is_text, categories):
  """Returns float32 by split, or None for text that is to be one-hot."""
  found = {}
  for split, values in cells_of.items():
    if values.dtype.kind not in 'biufOSUT':
      raise _no_number(where, split, name, f'values of type {values.dtype}')
    found[split], row = cells.as_numbers(values, is_text=is_text)
    if row is None:
      called = f'{where}: the column {name!r}'
      found[split] = tables.as_float32(found[split], called)
    elif categories == ONE_HOT:
      return None
    else:
      said = f'{str(values[row])!r} in row {row} (counted from 0)'
      raise _no_number(where, split, name, said)
  return found


def _no_number(where, split, name, said):
  return ValueError(
    f'{where}, {split} split: the column {name!r} has {said} where a number is '
    f"needed. categories='{ONE_HOT}' turns text into columns of 0 and 1; a "
    "dict gives the order: categories={'size': ['S', 'M', 'L']}; features "
    'names the columns to use.'
  )


def _as_codes(where, column, cells_of, way):
  """Returns the column with its levels, and float32 codes or NaN by split."""

  def refuse(row, cell):
    return ValueError(
      f'{where}: the column {column.name!r} has {cell!r} in row {row} (counted '
      'from 0); categories are text or numbers.'
    )

  said = {
    split: cells.as_categories(values, refuse)
    for split, values in cells_of.items()
  }
  there = {name for names in said.values() for name in names} - {None}
  levels = cells.in_order(there)
  if way != ONE_HOT:
    ordered = cells.levels(column.name, way)
    for name in levels:
      errors.check_name(
        f'{where}: in the column {column.name!r} the category', name, ordered
      )
    levels = ordered
  code = {name: number for number, name in enumerate(levels)} | {None: np.nan}
  column = column._replace(levels=levels, is_ordered=way != ONE_HOT)
  return column, {
    split: np.array([code[name] for name in names], np.float32)
    for split, names in said.items()
  }


def _without_gaps(where, parts, columns, drops_targets):
  """Drops rows as declared; raises ValueError for gaps without a filling."""
  names = [column.name for column in columns]
  dropping = np.array([column.fill == 'drop' for column in columns])
  undeclared = np.array([column.fill is None for column in columns])
  kept, remarks, start = {}, [], 0
  for split, part in parts.items():
    size = len(part.inputs)
    rows = np.arange(start, start + size)
    start += size
    is_gap = np.isnan(part.inputs)
    drop = (is_gap & dropping).any(axis=1)
    if drops_targets:
      for _, labels in named.arrays(part.labels).items():
        drop |= cells.gaps(np.asarray(labels))
    cells.refuse_gaps(
      f'{where}, {split} split', names, is_gap & undeclared & ~drop[:, None]
    )
    # Ids are row numbers in the whole table, so they precede dropping.
    if part.ids is None:
      part = part._replace(ids=rows)
    if drop.all():
      raise ValueError(
        f"{where}, {split} split: 'drop' would leave out all {size} rows."
      )
    if drop.any():
      remarks.append(
        f'left out {drop.sum()} of {size} rows of the {split} split, which '
        'have gaps.'
      )
      part = _taken(part, ~drop)
    kept[split] = part
  return kept, tuple(remarks)


def _taken(part, keep):
  """Returns the rows of a part where `keep` is True."""
  labels = part.labels
  if labels is not None:
    labels = named.mapped(lambda _, each: np.asarray(each)[keep], labels)
  return splits.Part(part.inputs[keep], labels, part.ids[keep])
