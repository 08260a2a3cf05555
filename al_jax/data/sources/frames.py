"""Reads the columns of pandas and polars data frames in memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from al_jax import sources
from al_jax.data.sources import cells
from al_jax.data.sources.tables import TableFile

# Names of frames' categorical types; their values may be numbers.
_CATEGORICAL = ('category', 'Categorical', 'Enum')


def is_frame(value: Any) -> bool:
  """Returns whether a value is a data frame, without importing a package."""
  return all(hasattr(value, name) for name in ('columns', 'dtypes', 'to_numpy'))


def open_frame(frame: Any, called: str) -> TableFile:
  """Opens a data frame as a table.

  Args:
    frame: a pandas or polars frame. A pandas index is ignored.
    called: name of the frame in messages.

  Returns:
    A TableFile for `tables.read_columns`.

  Raises:
    ValueError: If a name is there twice, or there are no rows.
  """
  labels = list(frame.columns)
  names = tuple(str(label).strip() for label in labels)
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f'{called} has two columns named {name!r}.')
  if not len(frame):
    raise ValueError(f'{called} is a frame without rows.')

  def read(_, others):
    return np.empty((len(frame), 0), np.float32), [
      column_of(frame[labels[at]]) for at in others
    ]

  return TableFile(called, names, read)


def column_of(series: Any) -> np.ndarray:
  """Returns the values of a column; categories become text.

  Args:
    series: a pandas or polars series.
  """
  values = np.asarray(series.to_numpy())
  if not str(series.dtype).startswith(_CATEGORICAL):
    return values
  text = [None if cells.is_gap(cell) else str(cell) for cell in values.tolist()]
  return np.array(text, object)


def labels_of(called: str, x: Any, y: Any) -> Any:
  """Returns labels as NumPy arrays, in the form of y.

  Args:
    called: name of x in messages.
    x: the inputs, in any form.
    y: an array, a column or a frame of labels; a dict of these; or None.

  Raises:
    ValueError: If x and y have different pandas indexes.
  """
  if y is None:
    return None
  if isinstance(y, Mapping):
    return {part: labels_of(called, x, value) for part, value in y.items()}
  index, of_y = (getattr(each, 'index', None) for each in (x, y))
  are_indexes = hasattr(index, 'equals') and hasattr(of_y, 'equals')
  if are_indexes and len(index) == len(of_y) and not index.equals(of_y):
    raise ValueError(
      f'the rows of {called} and of its labels have different pandas indexes; '
      'put them in one order: y.loc[x.index].'
    )
  if is_frame(y):
    return np.column_stack([column_of(y[name]) for name in y.columns])
  return column_of(y) if hasattr(y, 'to_numpy') else sources.on_host('y', y)
