"""Writes the files of a finished run: tables, curves, and galleries."""

import pathlib
import re
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from al_jax import plotting
from al_jax.analysis import curves, naming, streams, tables
from al_jax.data import Dataset, transforms
from al_jax.runner import queries
from al_jax.storage import manifest, metrics, records
from al_jax.tasks import Metric

# Rows and pictures per row of a gallery.
_GALLERY_ROWS = 10
_GALLERY_COLUMNS = 12
# Leaves room for a probability before it: `100%, -1.2e-4`.
_LONGEST_SCORE = 7


def write_pictures(
  folder: pathlib.Path,
  rows: Sequence[records.RoundRecord],
  dataset: Dataset,
  *,
  axes: Mapping[str, str],
) -> list[pathlib.Path]:
  """Writes the learning curves, and a gallery of queries per system.

  Without a test or a validation split there are no learning curves. A stream
  has curves of its prequential accuracy and its label rate.

  Args:
    folder: folder to write to.
    rows: all records.
    dataset: the data set; without pictures there is no gallery.
    axes: values of the grid's axes for these records.

  Returns:
    The written paths.
  """
  written = []
  metric = curves.headline_of(rows, dataset.task.headline)
  place = [f'{axis} {value}' for axis, value in axes.items()]
  title = ', '.join([dataset.name, *place])
  if streams.are_of_stream(rows):
    written.append(folder / 'stream.png')
    of_rates = streams.panels(naming.readable(rows))
    plotting.curve_panels(
      of_rates,
      written[-1],
      in_percent=list(of_rates),
      x_label=streams.POSITION,
      title=title,
    )
  if metric is not None:
    written.append(folder / 'curves.png')
    plotting.learning_curves(
      naming.readable(rows), written[-1], metric=metric, title=title
    )
  if dataset.has_pictures:
    said = queries.read(folder / queries.NAME)
    names = naming.short(dict.fromkeys(record.system for record in rows))
    for system, name in names.items():
      of_system = [record for record in rows if record.system == system]
      path = folder / f'gallery_{system}.png'
      if _write_gallery(path, name, of_system, dataset, said):
        written.append(path)
  return written


def _write_gallery(path, name, rows, dataset, said):
  """Draws a row per round of the first seed; False if there is none."""
  first_seed, num_examples = (
    min(record.seed for record in rows),
    len(dataset.train),
  )
  # Rounds with made examples alone are left out.
  asked = [
    record
    for record in rows
    if record.seed == first_seed
    and min(record.picks, default=num_examples) < num_examples
  ][:_GALLERY_ROWS]
  if not asked:
    return False
  shows_nothing = transforms.are_outliers(dataset.train.ids)
  images, titles, score, has_infinite = [], [], '', False
  true_marks, predicted_marks = [], []
  for record in asked:
    picks = [pick for pick in record.picks if pick < num_examples]
    picks = np.array(picks[:_GALLERY_COLUMNS], int)
    images.append(dataset.pictures_at(picks))
    targets = [_target(dataset, pick) for pick in picks]
    titles.append(
      [
        'nothing' if shows_nothing[pick] else _spelled(dataset.task, target)
        for pick, target in zip(picks, targets, strict=True)
      ]
    )
    true_marks.append([_marks(dataset.task, target) for target in targets])
    predicted_marks.append([])
    of_round = said.get((record.system, record.seed, record.round))
    if of_round is not None and of_round.picks[: len(picks)] == picks.tolist():
      score = of_round.score
      has_infinite |= not np.isfinite(of_round.values[: len(picks)]).all()
      predicted_marks[-1] = of_round.marks[: len(picks)]
      for row, told in enumerate(_told(of_round, len(picks))):
        titles[-1][row] += told
  plotting.gallery(
    images,
    titles,
    path,
    row_titles=[f'after {record.labels} labels' for record in asked],
    columns=_GALLERY_COLUMNS,
    title=f'{dataset.name}: queries of {name}, seed {first_seed}'
    f'{_shown_of(asked)}',
    subtitle=_legend(
      bool(said),
      score,
      has_infinite=has_infinite,
      has_marks=any(map(any, true_marks)),
      # Such a column exists only in runs in which a machine answers.
      is_answer=bool(said) and 'machine_right' in asked[0].ledger,
    ),
    true_marks=true_marks,
    predicted_marks=predicted_marks,
  )
  return True


def _shown_of(rows):
  """Describes how many queries of a round are shown, if not all."""
  most = max(len(row.picks) for row in rows)
  if most <= _GALLERY_COLUMNS:
    return ''
  return f', the first {_GALLERY_COLUMNS} of {most} per round'


def _legend(has_predictions, score, *, has_infinite, has_marks, is_answer):
  """Explains the text below each picture, and the marks on it."""
  legend = 'Below each picture: its true label'
  if has_predictions:
    legend += '; → what the model predicted, with which probability'
  none = ' (-: infinite, for the first query)' if has_infinite else ''
  legend += f', and the score{none}: {score}.' if score else '.'
  if has_marks:
    legend += ' On it: the true place in green'
    legend += ', the predicted one in orange.' if has_predictions else '.'
  if is_answer:
    legend += ' The prediction was taken as the answer.'
  return legend


def _told(said, number):
  """Yields the lines below a true target: prediction, probability, score."""
  for row in range(number):
    last = []
    if said.probabilities is not None:
      last.append(f'{said.probabilities[row]:.0%}')
    if said.score:
      last.append(_short(said.values[row]))
    yield '\n'.join(['', f'→ {said.predicted[row]}', ', '.join(last)])


def _short(value):
  """Formats a score to fit below a picture; a dash if it is infinite."""
  if not np.isfinite(value):
    return '-'
  if 10 <= abs(value) < 1e5:
    return f'{value:.0f}'
  for form in ('.2g', '.1e', '.0e'):
    text = re.sub(r'e\+?(-?)0*', r'e\1', f'{value:{form}}')
    if len(text) <= _LONGEST_SCORE:
      break
  return text


def _target(dataset, pick):
  """Returns the true target, which is only shown after the run."""
  return jax.tree.map(lambda part: part[pick], dataset.train.targets)


def _spelled(task, target):
  return '' if target is None else task.spell(target)


def _marks(task, target):
  return [] if target is None else task.marks(target)


class GridTable:
  """The last headline of every system in every cell so far, as text.

  Each headline has a table of its own.
  """

  def __init__(self, systems: Sequence[str]):
    """Starts without cells.

    Args:
      systems: names of the systems, the columns.
    """
    self._systems = list(systems)
    # Maps a headline to the rows of its cells.
    self._last: dict[Metric | None, dict[str, dict[str, str]]] = {}

  def add(self, cell: str, folder: pathlib.Path) -> None:
    """Adds a row from the records in the folder of a cell."""
    task = manifest.task_of(manifest.read(folder / 'manifest.json'))
    rows = records.read_jsonl(folder / 'records.jsonl')
    metric = curves.headline_of(rows, task.headline)
    last = {}
    if metric is not None:
      found = curves.runs(rows, column=metric.name)
      last = {
        system: tables.shown(*curves.mean_of_last(by_seed)[:2], metric)
        for system, by_seed in found.items()
      }
    self._last.setdefault(metric, {})[cell] = last

  def __str__(self) -> str:
    return '\n\n'.join(
      f'{_title(metric)}\n{self._table(cells)}'
      for metric, cells in self._last.items()
    )

  def _table(self, cells):
    rows = [['cell', *self._systems]]
    for cell, last in cells.items():
      rows.append([cell, *(last.get(name, '') for name in self._systems)])
    return tables.aligned(rows)


def _title(metric):
  if metric is None:
    return tables.NOTHING
  name = metrics.with_unit(metrics.spelled(metric.name), metric)
  return f'last {name}, mean ± standard error over seeds'


def summary(
  rows: Sequence[records.RoundRecord],
  headline: Metric,
  notes: Sequence[str] = (),
) -> str:
  """Describes the results: curves, a line per system, parts, and notes.

  Args:
    rows: all records.
    headline: headline of their task.
    notes: sentences at the end.
  """
  metric = curves.headline_of(rows, headline)
  notes = (*tables.parts_notes(rows), *notes)
  if metric is None:
    found = [tables.NOTHING]
  else:
    found = [tables.summary_table(rows, metric=metric)]
    # Seeds of a stream differ in the number of queries per round.
    if not streams.are_of_stream(rows):
      found.insert(0, tables.round_table(rows, metric=metric))
  if streams.are_of_stream(rows):
    found.insert(0, streams.summary_table(rows))
  return '\n\n'.join((*found, *notes))
