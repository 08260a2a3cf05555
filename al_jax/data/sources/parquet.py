"""Reads the columns of Parquet files with pyarrow (the extra `parquet`)."""

from pathlib import Path

import numpy as np

from al_jax import errors
from al_jax.data.sources import cells
from al_jax.data.sources.tables import TableFile, as_float32


def open_parquet(path: Path) -> TableFile:
  """Reads the schema of a Parquet file.

  Args:
    path: the file.

  Returns:
    A TableFile. Nulls in numeric columns become NaN.

  Raises:
    ModuleNotFoundError: If pyarrow is not installed.
    ValueError: If it is not a Parquet file, or a name is there twice.
  """
  with errors.needs(f'Reading {path}'):
    import pyarrow
    from pyarrow import parquet
  try:
    schema = parquet.read_schema(path)
  except pyarrow.ArrowException as error:
    raise ValueError(f'{path} cannot be read as Parquet: {error}') from error

  names = tuple(schema.names)
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f'{path} has two columns named {name!r}.')

  def read(features, others):
    for at in features:
      _check_numeric(path, schema.field(at))
    wanted = [names[at] for at in (*features, *others)]
    table = parquet.read_table(path, columns=wanted)
    # By name, since pyarrow returns columns in the order of the file.
    inputs = np.empty((table.num_rows, len(features)), np.float32)
    for column, name in enumerate(wanted[: len(features)]):
      values = table.column(name).to_numpy()
      if values.dtype.kind == 'O':  # booleans with nulls
        values, _ = cells.as_numbers(values, is_text=False)
      inputs[:, column] = as_float32(values, f'{path}: the column {name!r}')
    return inputs, [
      table.column(name).to_numpy() for name in wanted[len(features) :]
    ]

  return TableFile(path, names, read)


def _check_numeric(path: Path, field) -> None:
  """Raises ValueError for a column whose schema type is not numeric."""
  from pyarrow import types

  kind = field.type
  allowed = (types.is_integer, types.is_floating, types.is_boolean)
  if not any(is_allowed(kind) for is_allowed in allowed):
    raise ValueError(
      f'{path}: the column {field.name!r} is of type {kind} where numbers '
      'are needed. The option categories turns text into numbers: '
      "'one_hot', or a dict by column; features and targets name the columns "
      'to use.'
    )
