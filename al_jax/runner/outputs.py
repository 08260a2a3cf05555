"""The files of a finished run: tables, curves, and what was asked."""

import pathlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from al_jax import plotting, sources
from al_jax.analysis import curves, tables
from al_jax.data import Dataset
from al_jax.storage import records

# Rows and pictures per row of a gallery.
_GALLERY_ROWS = 10
_GALLERY_COLUMNS = 12


def write_pictures(
  folder: pathlib.Path,
  rows: Sequence[records.RoundRecord],
  dataset: Dataset,
  *,
  axes: Mapping[str, str],
) -> list[pathlib.Path]:
  """Learning curves, and per system a gallery of what was asked.

  Args:
    folder: where to.
    rows: all records.
    dataset: for the pictures; data that are not images have no gallery.
    axes: what sets these records apart from the others of a grid.

  Returns:
    What was written.
  """
  picture = folder / 'curves.png'
  place = [f'{axis} {value}' for axis, value in axes.items()]
  plotting.learning_curves(
    rows, picture, title=', '.join([dataset.name, *place])
  )
  written = [picture]
  if dataset.is_image:
    for system in dict.fromkeys(record.system for record in rows):
      of_system = [record for record in rows if record.system == system]
      path = folder / f'gallery_{system}.png'
      if _write_gallery(path, of_system, dataset):
        written.append(path)
  return written


def _write_gallery(path, rows, dataset):
  """A row per round of the first seed; False if nothing was asked."""
  first_seed = min(record.seed for record in rows)
  asked = [
    record for record in rows if record.seed == first_seed and record.picks
  ][:_GALLERY_ROWS]
  if not asked:
    return False
  images, titles = [], []
  for record in asked:
    picks = np.array(record.picks[:_GALLERY_COLUMNS])
    images.append(list(sources.gather_on_host(dataset.train.inputs, picks)))
    titles.append([_caption(dataset, pick) for pick in picks])
  plotting.gallery(
    images,
    titles,
    path,
    row_titles=[f'after {record.labels} labels' for record in asked],
    columns=_GALLERY_COLUMNS,
    title=f'{dataset.name}: what {asked[0].system} asked, seed {first_seed}',
  )
  return True


def _caption(dataset, pick):
  """The true target: the run is over, and this is for people."""
  targets = dataset.train.targets
  if targets is None:
    return ''
  return dataset.task.spell(jax.tree.map(lambda part: part[pick], targets))


class GridTable:
  """The last accuracy of every system in every cell so far, as text."""

  def __init__(self, systems: Sequence[str]):
    """Begins without cells.

    Args:
      systems: the columns.
    """
    self._systems = list(systems)
    self._last: dict[str, dict[str, str]] = {}

  def add(self, cell: str, folder: pathlib.Path) -> None:
    """Adds a row from the records in the folder of a cell."""
    found = curves.curve(records.read_jsonl(folder / 'records.jsonl'))
    self._last[cell] = {
      system: tables.shown(
        curve.mean[-1], curve.standard_error[-1], curves.ACCURACY
      )
      for system, curve in found.items()
    }

  def __str__(self) -> str:
    rows = [['cell', *self._systems]]
    for cell, last in self._last.items():
      rows.append([cell, *(last.get(name, '') for name in self._systems)])
    return (
      'last test accuracy %, mean ± standard error over seeds\n'
      + tables.aligned(rows)
    )


def summary(
  rows: Sequence[records.RoundRecord], notes: Sequence[str] = ()
) -> str:
  """Describes the results: a table of curves, a line per system, and notes."""
  parts = (tables.round_table(rows), tables.summary_table(rows), *notes)
  return '\n\n'.join(parts)
