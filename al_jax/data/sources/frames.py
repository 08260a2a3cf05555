"""The columns of data frames in memory: pandas and polars."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from al_jax import sources
from al_jax.data.sources import cells
from al_jax.data.sources.tables import TableFile

# What frames call columns whose values are categories, numbers too.
_CATEGORICAL = ('category', 'Categorical', 'Enum')


def is_frame(value: Any) -> bool:
  """Tells whether a value is a data frame, without importing a package."""
  return all(hasattr(value, name) for name in ('columns', 'dtypes', 'to_numpy'))


def open_frame(frame: Any, called: str) -> TableFile:
  """Looks at the columns of a data frame.

  Args:
    frame: of pandas or polars. An index of pandas is not read.
    called: how messages call it.

  Returns:
    A TableFile whose columns are read by `tables.read_columns`.

  Raises:
    ValueError: a name is there twice, or there are no rows.
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
  """Returns the values of a column; those of a categorical one as text.

  Args:
    series: of pandas or polars.
  """
  values = np.asarray(series.to_numpy())
  if not str(series.dtype).startswith(_CATEGORICAL):
    return values
  text = [None if cells.is_gap(cell) else str(cell) for cell in values.tolist()]
  return np.array(text, object)


def labels_of(called: str, x: Any, y: Any) -> Any:
  """Returns labels as arrays of NumPy, in the form of y.

  Args:
    called: how messages call x.
    x: the inputs, of any form.
    y: an array, a column or a frame of labels; a dict of these; None: there are
      none.

  Raises:
    ValueError: the rows of y are in another order than those of x.
  """
  if y is None:
    return None
  if isinstance(y, Mapping):
    return {part: labels_of(called, x, value) for part, value in y.items()}
  index, of_y = (getattr(each, 'index', None) for each in (x, y))
  are_indexes = hasattr(index, 'equals') and hasattr(of_y, 'equals')
  if are_indexes and len(index) == len(of_y) and not index.equals(of_y):
    raise ValueError(
      f'the rows of {called} and of its labels have different indexes of '
      'pandas; put them in one order: y.loc[x.index].'
    )
  if is_frame(y):
    return np.column_stack([column_of(y[name]) for name in y.columns])
  return column_of(y) if hasattr(y, 'to_numpy') else sources.on_host('y', y)
