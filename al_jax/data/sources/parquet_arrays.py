"""Reads arrays [N, D] from Parquet files into a temporary file."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from al_jax import errors, sources

# Rows decoded at a time.
_ROWS = 8192


def read(path: Path, column: str | None) -> np.ndarray:
  """Decodes numbers into a memory-mapped file that vanishes with the array.

  Only some rows are in memory at a time. The file holds N D numbers and lies in
  TMPDIR.

  Args:
    path: path of a Parquet file.
    column: name of a column whose cells are lists of length D. If None, all
      columns are numbers, or the only column holds such lists.

  Returns:
    [N, D], float16 or float32.

  Raises:
    ModuleNotFoundError: If pyarrow is not installed.
    ValueError: If the column is unknown, or the data are not numbers, have
      gaps, or hold lists of different lengths.
  """
  with errors.needs(f'Reading {path}'):
    import pyarrow
    from pyarrow import parquet
  try:
    with parquet.ParquetFile(path) as file:
      names = file.schema_arrow.names
      if column is not None:
        errors.check_name(f'{path}: the column', column, names)
      columns = names if column is None else [column]
      return _decoded(path, file, columns)
  except pyarrow.ArrowException as error:
    raise ValueError(f'{path} cannot be read as Parquet: {error}') from error


def _decoded(path, file, columns):
  num_rows, out = file.metadata.num_rows, None
  start = 0
  for batch in file.iter_batches(_ROWS, columns=columns):
    rows = _rows_of(path, [batch.column(name) for name in columns], columns)
    if out is None:
      shape = num_rows, rows.shape[1]
      out = sources.temporary(jax.ShapeDtypeStruct(shape, rows.dtype))
    if rows.shape[1:] != out.shape[1:]:
      raise ValueError(
        f'{path}: rows have {out.shape[1]} numbers and {rows.shape[1]}; they '
        'must have the same number.'
      )
    out[start : start + len(rows)] = rows
    start += len(rows)
  return np.zeros((0, len(columns)), np.float32) if out is None else out


def _rows_of(path: Path, found: list[Any], names: list[str]) -> np.ndarray:
  """Returns a column of lists, or columns of numbers, as an array [R, D]."""
  for column, name in zip(found, names, strict=True):
    if column.null_count:
      raise ValueError(f'{path}: the column {name!r} has gaps.')
  lists, size = found[0], len(found[0])
  if len(found) > 1 or not hasattr(lists.type, 'value_type'):
    columns = zip(found, names, strict=True)
    return np.stack([_numbers(path, name, each) for each, name in columns], 1)
  if len(lists.value_lengths().unique()) > 1:
    raise ValueError(
      f'{path}: the column {names[0]!r} has lists of different lengths.'
    )
  return _numbers(path, names[0], lists.flatten()).reshape(size, -1)


def _numbers(path, name, column):
  from pyarrow import types

  kind = column.type
  is_number = types.is_integer(kind) or types.is_floating(kind)
  if column.null_count or not is_number:
    raise ValueError(
      f'{path}: the column {name!r} is of type {kind}, or has gaps; it must be '
      f'numbers. {path}:COLUMN names a column of lists.'
    )
  values = column.to_numpy(zero_copy_only=False)
  return (
    values
    if kind.bit_width < 64 and values.dtype.kind == 'f'
    else (values.astype(np.float32))
  )
