"""Follows work directories, and derives the events to send to a page."""

import contextlib
import pathlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from al_jax import errors
from al_jax.analysis import naming
from al_jax.pages import rows
from al_jax.pages.experiment import Experiment
from al_jax.pages.manifest_file import ManifestFile
from al_jax.pages.query_sheets import MOST_PICTURES
from al_jax.pages.tail import Place
from al_jax.plotting import style
from al_jax.reporting import costs
from al_jax.storage import manifest, metrics, workdir

# Name and JSON values of an event.
Event = tuple[str, dict[str, Any]]

# Maximal number of sample sheets that a page lists.
_MOST_SHEETS = 24


class Watch:
  """The experiments of some work directories.

  Attributes:
    experiments: Experiments in the order in which they were found. The position
      of an experiment is its number, which never changes.
  """

  def __init__(self, folders: Sequence[pathlib.Path]):
    """Reads nothing yet.

    Args:
      folders: Work directories of runs or grids, or folders of these. A folder
        may not exist yet if its parent does.

    Raises:
      ValueError: If a folder cannot exist, or is named twice.
    """
    for folder in folders:
      can_begin = not folder.exists() and folder.parent.is_dir()
      if not (folder.is_dir() or can_begin):
        raise ValueError(
          f'WORKDIR is {str(folder)!r}, which is not a folder; name the folder '
          'of a run.'
        )
    self._folders = tuple(folders)
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
      raise ValueError(
        f'WORKDIR names a folder twice: {", ".join(map(str, folders))}.'
      )
    self.experiments: list[Experiment] = []
    self._numbers: dict[pathlib.Path, int] = {}
    # Folders that turned out to hold several experiments.
    self._superseded: set[pathlib.Path] = set()
    self._colours: dict[str, int] = {}
    self._manifests: dict[pathlib.Path, ManifestFile] = {}
    self.lock = threading.RLock()

  def refresh(self) -> None:
    """Reads new content of all files, under the lock."""
    with self.lock:
      for folder in self._folders:
        found = list(self._found(folder))
        paths = {path for path, _, _ in found}
        self._superseded -= paths
        if paths and folder in self._numbers.keys() - paths:
          self._superseded.add(folder)
        for path, title, is_held in found:
          if path not in self._numbers:
            self._numbers[path] = len(self.experiments)
            self.experiments.append(Experiment(path, title))
          experiment = self.experiments[self._numbers[path]]
          # A damaged folder must not hide the others.
          try:
            experiment.refresh(is_held=is_held)
          except (OSError, ValueError, LookupError, TypeError) as error:
            experiment.notes = [errors.in_one_line(error)]
      for experiment in self.experiments:
        for system in experiment.systems:
          self._colours.setdefault(system, len(self._colours))

  def _found(self, folder):
    """Yields path, title, and whether a process works on its grid."""
    about = self._about(folder)
    inner = []
    if names := about.get('settings'):
      is_held = workdir.is_in_use(folder)
      for name in names:
        # `below` raises if a manifest names a folder outside of its own.
        with contextlib.suppress(workdir.WorkdirError):
          yield workdir.below(folder, name), f'{folder}: {name}', is_held
      return
    is_run = about or (folder / 'records.jsonl').exists()
    if folder.is_dir() and not is_run:
      inner = [
        path
        for path in sorted(folder.iterdir())
        if (path / 'manifest.json').is_file() and not path.is_symlink()
      ]
    if not inner:
      yield folder, str(folder), False
    for path in inner:
      yield from self._found(path)

  def _about(self, folder):
    path = folder / 'manifest.json'
    return self._manifests.setdefault(path, ManifestFile(path)).read()

  def cells(self) -> dict[str, Any]:
    """Returns the state of each experiment."""
    return {
      'cells': [
        self._cell(number, experiment)
        for number, experiment in enumerate(self.experiments)
        if experiment.folder not in self._superseded
      ]
    }

  def details(self) -> Iterator[dict[str, Any]]:
    """Yields the ledger, sample sheets and queries of each experiment."""
    for number, experiment in enumerate(self.experiments):
      yield {
        'cell': number,
        'ledger': _ledger(experiment),
        'sheets': _sheets(experiment.folder / 'pictures'),
        'queries': [
          {
            'system': experiment.systems.index(point.system),
            'seed': point.seed,
            'round': point.round,
            'labels': point.labels,
            'shown': min(point.num_picks, MOST_PICTURES),
          }
          for point in experiment.newest_queries()
        ],
      }

  def _cell(self, number, experiment):
    metric = experiment.headline
    split = 'test' if experiment.has_test else 'validation'
    names = experiment.systems
    short = naming.short(names)
    left = experiment.seconds_left()
    return {
      'number': number,
      'title': experiment.title,
      'data': str(experiment.about.get('data', {}).get('name', '')),
      'state': experiment.state,
      'done': experiment.num_done,
      'total': experiment.total,
      'seeds': experiment.num_seeds,
      'rounds': experiment.num_rounds,
      'left': None if left is None else round(left),
      'finished': experiment.finished,
      'message': experiment.message,
      'notes': [*self._absent(experiment.folder), *experiment.notes],
      # With --overwrite, resuming would delete the run.
      'command': manifest.without_flag(
        str(experiment.about.get('command', '')), 'overwrite'
      ),
      'systems': [
        {
          'name': name,
          'short': short[name],
          'colour': self._colours.get(name, 0),
        }
        for name in names
      ],
      'score': metrics.spelled(f'{split}.{metric.name}'),
      'unit': metric.unit,
      'larger_is_better': metric.larger_is_better,
      'watched': metrics.spelled(experiment.watched or ''),
      'watched_unit': experiment.watched_unit,
    }

  def _absent(self, folder):
    """Yields a note if a folder that the user named does not exist."""
    # Not for cells of a grid, whose folders are created when they begin.
    if folder in self._folders and not folder.is_dir():
      yield 'There is no such folder yet; its run is shown once it begins.'


class Reader:
  """An open page: the events sent so far, and the new ones."""

  def __init__(self, watch: Watch):
    """Begins with nothing sent.

    Args:
      watch: Experiments to watch.
    """
    self._watch = watch
    self._cells: dict[str, Any] | None = None
    self._details: dict[int, dict[str, Any]] = {}
    self._places: dict[tuple[int, str], Place] = {}

  def news(self) -> list[Event]:
    """Reads the files, and returns the changes since the last call."""
    with self._watch.lock:
      self._watch.refresh()
      return list(self._news())

  def _news(self) -> Iterator[Event]:
    if self._cells is None:
      yield 'look', {'colours': list(style.COLOURS)}
    cells = self._watch.cells()
    if cells != self._cells:
      self._cells = cells
      yield 'cells', cells
    for number, experiment in enumerate(self._watch.experiments):
      index = {name: at for at, name in enumerate(experiment.systems)}
      watched = experiment.watched
      yield from self._rows(
        number,
        'records',
        experiment.points,
        lambda point, index=index: _point(point, index),
      )
      yield from self._rows(
        number,
        'progress',
        experiment.progress,
        lambda each, index=index, watched=watched: _progress(
          each, index, watched
        ),
      )
    for details in self._watch.details():
      if self._details.get(details['cell']) != details:
        self._details[details['cell']] = details
        yield 'details', details

  def _rows(self, number, name, series, shown):
    """Yields the new rows of a series as one event."""
    before = self._places.get((number, name), Place())
    is_anew, new, reached = series.since(before)
    self._places[number, name] = reached
    if new or (is_anew and before != Place()):
      yield (
        name,
        {
          'cell': number,
          'anew': is_anew,
          'rows': [row for row in map(shown, new) if row is not None],
        },
      )


def _point(point, index):
  """Returns a row of the event `records`."""
  return [
    index[point.system],
    point.seed,
    point.round,
    point.labels,
    rows.rounded(point.score),
    rows.rounded(point.loss),
    rows.rounded(point.seconds),
  ]


def _progress(each, index, watched):
  """Returns a row of the event `progress`; None if the system is unknown."""
  progress = each.progress
  if progress.system not in index:
    return None
  return [
    index[progress.system],
    progress.seed,
    progress.round,
    progress.labels,
    progress.step,
    each.time,
    rows.rounded(progress.metrics.get('loss')),
    rows.rounded(progress.metrics.get(watched)),
  ]


def _ledger(experiment):
  """Returns the ledger as texts, titles and rows; None if there is none."""
  found = [
    costs.ledger_row(system, last)
    for system, last in experiment.ledgers().items()
  ]
  if not found:
    return None
  columns = costs.ledger_columns(found)
  return {
    'titles': [column.title for column in columns],
    'rows': [[column.text(row) for column in columns] for row in found],
  }


def sheet_names(folder: pathlib.Path) -> dict[str, int]:
  """Lists sample sheets with the time they were written, the newest first.

  Args:
    folder: Folder `pictures` of an experiment, which may not exist.

  Returns:
    Nanoseconds since 1970 by file name. Links are left out.
  """
  if folder.is_symlink() or not folder.is_dir():
    return {}
  found = {
    path.name: path.stat().st_mtime_ns
    for path in folder.iterdir()
    if path.suffix == '.png' and path.is_file() and not path.is_symlink()
  }
  return dict(sorted(found.items(), key=lambda item: -item[1]))


def _sheets(folder):
  newest = list(sheet_names(folder).items())[:_MOST_SHEETS]
  return [{'name': name, 'written': str(when)} for name, when in newest]
