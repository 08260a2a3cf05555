"""Reads work directories into the results of experiments."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from al_jax.analysis import comparison, curves, naming, tables
from al_jax.runner import result_files
from al_jax.runner.result_files import Diagnostic
from al_jax.storage import manifest, metrics, records, workdir
from al_jax.tasks import Metric, Task

# Folders of a work directory that hold no experiment.
_NOT_EXPERIMENTS = ('report', 'checkpoints', 'tensorboard')
# An experiment's folder has at least one of these.
_OF_EXPERIMENTS = ('records.jsonl', 'manifest.json')


@dataclasses.dataclass(frozen=True)
class ExperimentResults:
  """Results of one experiment: the runs of all its systems and seeds.

  Systems have short names for readers, see `naming.short`.

  Attributes:
    folder: folder of the results.
    title: name of the experiment for readers.
    axes: values by axis, the cell of the grid; empty without a grid.
    rows: all records; empty before the first finished round.
    about: the manifest; empty if there is none.
    full_rows: records of systems that were trained on all labels.
    diagnostics: diagnostics by name.
    galleries: pictures of the queries, by system.
    missing: sentences that explain why the results are incomplete.
    order: systems of all experiments in the report; the position of a system is
      its colour number.
  """

  folder: pathlib.Path
  title: str
  axes: dict[str, str]
  rows: list[records.RoundRecord]
  about: dict[str, Any]
  full_rows: list[records.RoundRecord]
  diagnostics: dict[str, Diagnostic]
  galleries: dict[str, pathlib.Path]
  missing: list[str]
  order: tuple[str, ...] = ()

  @property
  def slug(self) -> str:
    """Returns the prefix of the names of the experiment's files."""
    return ''.join(
      letter if letter.isalnum() or letter in '-_.' else '_'
      for letter in self.folder.name
    )

  @property
  def systems(self) -> list[str]:
    """Lists the systems with records, by first record."""
    return list(dict.fromkeys(row.system for row in self.rows))

  @functools.cached_property
  def task(self) -> Task:
    """Returns the task of the experiment."""
    return manifest.task_of(self.about)

  @functools.cached_property
  def metric(self) -> Metric | None:
    """Returns the metric of curves and tables, see `curves.headline_of`."""
    return curves.headline_of(self.rows, self.task.headline)

  @property
  def has_test(self) -> bool:
    """Returns whether `metric` is measured on the test split."""
    return self.metric == metrics.column(self.task.headline)

  @functools.cached_property
  def runs(self) -> curves.Runs:
    """Returns values of `metric` by system, seed and number of labels."""
    if self.metric is None:
      return {}
    return curves.runs(self.rows, column=self.metric.name)

  @property
  def methods(self) -> curves.Runs:
    """Returns the runs of systems that do not cheat, see `naming.cheats`."""
    return {
      name: of for name, of in self.runs.items() if not naming.cheats(name)
    }

  @property
  def report_metrics(self) -> tuple[Metric, ...]:
    """Returns the metrics that learners themselves declare."""
    return manifest.report_metrics_of(self.about)

  def having(self, column: str) -> list[records.RoundRecord]:
    """Returns the records that have a column."""
    return [row for row in self.rows if column in row.flat()]

  def majority_notes(self) -> list[str]:
    """Names the runs that were never better than the most frequent class."""
    shares = self.about.get('data', {}).get('majority', {})
    return tables.majority_notes(self.rows, shares)

  def short_notes(self) -> list[str]:
    """Describes the rounds in which a generator made too few queries."""
    return tables.short_notes(self.rows, self.about.get('config', {}))

  def compared(self) -> comparison.CellScores:
    """Returns the runs of methods for comparisons over experiments."""
    return comparison.CellScores(self.methods, self.axes, self.metric)


def read_workdir(
  folder: pathlib.Path, *, diagnosed: bool = True
) -> list[ExperimentResults]:
  """Reads the results of an experiment, or of a grid of experiments.

  Args:
    folder: folder with `records.jsonl` and `manifest.json`, or for a grid, with
      folders that have these.
    diagnosed: whether to read the files of `experiments.diagnose` too.

  Returns:
    At least one ExperimentResults, at least one of them with records. A grid
    is sorted by the values of its axes.

  Raises:
    ValueError: the folder does not exist or has no record, or a file in it
      cannot be read; the message is one line.
    WorkdirError: a file or an experiment in the folder is a link.
  """
  if not folder.is_dir():
    raise ValueError(f'{folder} is no folder; --workdir must be that of a run.')
  workdir.refuse_links(folder)
  if (folder / 'records.jsonl').exists():
    experiments = [_read_experiment(folder, diagnosed)]
  else:
    experiments = [
      _read_experiment(below, diagnosed) for below in _experiments_in(folder)
    ]
  if not any(experiment.rows for experiment in experiments):
    raise ValueError(
      f'{folder} holds no records: no records.jsonl in it, or in a folder of '
      'it, has a finished round.'
    )
  experiments = sorted(experiments, key=_place)
  order = dict.fromkeys(name for of in experiments for name in of.systems)
  short = naming.short(order)
  return [
    dataclasses.replace(
      of, rows=naming.renamed(of.rows, short), order=tuple(short.values())
    )
    for of in experiments
  ]


def axis_names(experiments: list[ExperimentResults]) -> list[str]:
  """Returns the axes along which experiments differ."""
  values = collections.defaultdict(set)
  for experiment in experiments:
    for axis, value in experiment.axes.items():
      values[axis].add(value)
  return [axis for axis, found in values.items() if len(found) > 1]


def by_headline(
  experiments: Iterable[ExperimentResults],
) -> dict[Metric, list[ExperimentResults]]:
  """Groups experiments by headline; a group may share a table."""
  found = {}
  for experiment in experiments:
    if experiment.metric is not None:
      found.setdefault(experiment.metric, []).append(experiment)
  return found


def _place(experiment: ExperimentResults) -> list[Any]:
  """Returns a sort key: numbers by value, then names alphabetically."""
  return [comparison.numbers_first(value) for value in experiment.axes.values()]


def _experiments_in(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the folders of a grid's experiments."""
  for below in sorted(folder.iterdir()):
    if below.name in _NOT_EXPERIMENTS or not below.is_dir():
      continue
    if any((below / name).exists() for name in _OF_EXPERIMENTS):
      workdir.refuse_link(below)
      yield below


def _read_experiment(
  folder: pathlib.Path, diagnosed: bool
) -> ExperimentResults:
  workdir.refuse_links(folder)
  path = folder / 'manifest.json'
  about = manifest.read(path) if path.exists() else {}
  axes = {
    str(axis): str(value) for axis, value in (about.get('axes') or {}).items()
  }
  rows = _records_of(folder / 'records.jsonl')
  return ExperimentResults(
    folder=folder,
    title=titled(folder, about, axes),
    axes=axes,
    rows=rows,
    about=about,
    full_rows=_records_of(folder / 'full_labels.jsonl'),
    diagnostics=_diagnostics(folder) if diagnosed else {},
    galleries={
      naming.without_modules(path.stem.removeprefix('gallery_')): path
      for path in sorted(folder.glob('gallery_*.png'))
    },
    missing=[
      *(f'{name} is gone.' for name in manifest.missing_files(folder, about)),
      *_what_is_missing(rows, about),
    ],
  )


def _diagnostics(folder: pathlib.Path) -> dict[str, Diagnostic]:
  return {
    **result_files.read_pretraining(folder),
    **result_files.read_diagnostics(folder),
  }


def titled(
  folder: pathlib.Path, about: Mapping[str, Any], axes: Mapping[str, str]
) -> str:
  """Names an experiment for readers.

  Args:
    folder: folder of the results.
    about: manifest of the experiment.
    axes: values by axis of the grid.

  Returns:
    A title such as `letter, mlp, batch 100`; without axes the name of the data.
  """
  if not axes:
    return about.get('data', {}).get('name') or folder.name
  return ', '.join(
    f'{axis} {value}' if value.replace('.', '').isdigit() else value
    for axis, value in axes.items()
  )


def _records_of(path: pathlib.Path) -> list[records.RoundRecord]:
  return records.read_jsonl(path) if path.exists() else []


def _what_is_missing(
  rows: list[records.RoundRecord], about: Mapping[str, Any]
) -> list[str]:
  """Lists what the records lack according to the manifest."""
  found = []
  if not about:
    found.append('There is no manifest.json.')
  elif 'finished' not in about:
    found.append('The run has not finished.')
  if not rows:
    return [*found, 'There are no records yet.']
  last = {}
  for row in rows:
    run = (row.system, row.seed)
    last[run] = max(last.get(run, 0), row.labels)
  absent = [
    f'{system} (seed {seed})'
    for system, seed in _promised(about, last)
    if (system, seed) not in last
  ]
  if absent:
    found.append(f'No records of: {", ".join(absent)}.')
  most = max(last.values())
  short = [
    f'{system} (seed {seed}: {labels})'
    for (system, seed), labels in last.items()
    if labels < most
  ]
  # A finished run may have stopped early, at an accuracy or a time limit.
  if short and 'finished' not in about:
    found.append(f'Fewer than {most} labels: {", ".join(short)}.')
  return found


def _promised(about, last):
  """Lists every (system, seed) that should have records."""
  systems = about.get('systems') or list(dict.fromkeys(run[0] for run in last))
  config = about.get('config', {})
  first = config.get('first_seed', 0)
  if isinstance(config.get('seeds'), int) and isinstance(first, int):
    seeds = range(first, first + config['seeds'])
  else:
    seeds = sorted({run[1] for run in last})
  return [(system, seed) for system in systems for seed in seeds]
