"""Shows examples to annotators: pictures, or rows of a table."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from al_jax.data import Dataset
from al_jax.data.sources import delimited, files, parquet, tables

# Longest side of a shown picture, in pixels.
_LONGEST_SIDE = 512
# Further columns of a table are not shown.
_MOST_COLUMNS = 40


class Shown:
  """Pictures and rows of a pool, as annotators see them."""

  def __init__(self, dataset: Dataset, pool: Mapping[str, Any]):
    """Reads the table of the pool again, if any, for its text and all columns.

    Args:
      dataset: The pool.
      pool: Source and options of the pool.
    """
    self._dataset = dataset
    self.has_pictures = dataset.has_pictures
    self._table = None if self.has_pictures else _table_of(dataset, pool)
    source = str(pool['source']).removeprefix('embed:')
    scheme, _, location = source.partition(':')
    self._folder = pathlib.Path(location) if scheme == 'images' else None

  def rows(self, positions: Sequence[int]) -> list[dict[str, str]]:
    """Returns rows as dicts from column to cell; empty without a table.

    Args:
      positions: Pool indices of the examples.
    """
    if self._table is None:
      return [{} for _ in positions]
    names, columns = self._table
    return [
      {
        name: str(column[at])
        for name, column in zip(names, columns, strict=True)
      }
      for at in positions
    ]

  def described(self, positions: Sequence[int]) -> list[dict[str, str]]:
    """Returns the rows of examples; for picture files, their paths.

    Args:
      positions: Pool indices of the examples.
    """
    if self._folder is None:
      return self.rows(positions)
    names = self._dataset.train.ids[np.asarray(positions, int)].tolist()
    return [{'path': str(self._folder / str(name))} for name in names]

  def pictures(self, positions: Sequence[int]) -> list[bytes]:
    """Returns the pictures of examples, encoded as PNG.

    Args:
      positions: Pool indices of the examples.
    """
    pictures = self._dataset.pictures_at(np.asarray(positions, int))
    return [_as_png(picture) for picture in pictures]


def _table_of(dataset, pool):
  """Reads the names and cells of the columns; None if there is no table."""
  scheme, _, location = str(pool['source']).partition(':')
  path = pathlib.Path(location).expanduser()
  kind = files.kind_of(path) if scheme == 'file' else None
  if kind == '.parquet':
    table = parquet.open_parquet(path)
  elif kind in ('.csv', '.tsv'):
    delimiter = pool.get('delimiter') or ('\t' if kind == '.tsv' else None)
    table = delimited.open_csv(
      path, header=pool.get('header'), delimiter=delimiter
    )
  else:
    return None
  _, columns = table.read([], list(range(len(table.names))))
  rows = _rows_of(dataset, pool, table, columns)
  if rows is None:
    return None
  columns = [np.asarray(column)[rows] for column in columns]
  return table.names[:_MOST_COLUMNS], columns[:_MOST_COLUMNS]


def _rows_of(dataset, pool, table, columns):
  """Returns the row in the file of each example; None if not known."""
  number = len(columns[0])
  if pool.get('ids') is None:
    # Ids are the numbers of rows, unless some were left out.
    return np.arange(number) if number == len(dataset.train) else None
  at = tables.position(table.path, 'ids', table.names, pool['ids'])
  where = {str(name): row for row, name in enumerate(columns[at])}
  names = [str(name) for name in dataset.train.ids.tolist()]
  if not set(names) <= set(where):
    return None
  return np.array([where[name] for name in names])


def _as_png(picture):
  """Encodes a picture of the pool as PNG."""
  from PIL import Image

  if picture.dtype != np.uint8:
    picture = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
  if picture.shape[-1] == 1:
    picture = picture[..., 0]
  image = Image.fromarray(picture)
  image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
  content = io.BytesIO()
  image.save(content, format='png')
  return content.getvalue()
