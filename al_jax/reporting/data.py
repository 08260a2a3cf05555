"""What a report is made of: the settings that lie in a workdir."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from al_jax.analysis import comparison, curves
from al_jax.runner import result_files
from al_jax.runner.result_files import Diagnostic, Floors
from al_jax.storage import manifest, records

# Folders of a workdir that are no settings.
_NOT_SETTINGS = ('report', 'checkpoints', 'tensorboard')


@dataclasses.dataclass(frozen=True)
class Setting:
  """The runs of all systems on one data set, model and batch size.

  Attributes:
    folder: where they lie.
    title: for people.
    axes: what sets it apart from the other settings of a grid.
    rows: all records; none where nothing has been finished.
    about: its manifest; empty where it has none.
    full_rows: records of systems that were trained on all labels.
    diagnostics: by name.
    floors: of its systems; None if they were not measured.
    galleries: pictures of what was asked.
    missing: why it is not complete, a sentence each; none if it is.
  """

  folder: pathlib.Path
  title: str
  axes: dict[str, str]
  rows: list[records.RoundRecord]
  about: dict[str, Any]
  full_rows: list[records.RoundRecord]
  diagnostics: dict[str, Diagnostic]
  floors: Floors | None
  galleries: list[pathlib.Path]
  missing: list[str]

  @property
  def slug(self) -> str:
    """What its files are named after."""
    return ''.join(
      letter if letter.isalnum() or letter in '-_.' else '_'
      for letter in self.folder.name
    )

  @property
  def systems(self) -> list[str]:
    """The systems that have records, in the order of the first."""
    return list(dict.fromkeys(row.system for row in self.rows))

  def having(self, metric: str) -> list[records.RoundRecord]:
    """The records that have a metric."""
    return [row for row in self.rows if metric in row.flat()]

  def compared(self) -> comparison.CellScores:
    """Its accuracies, for comparisons over settings."""
    return comparison.CellScores(curves.runs(self.rows), self.axes)


def read_workdir(
  folder: pathlib.Path, *, diagnosed: bool = True
) -> list[Setting]:
  """The settings of a comparison.

  Args:
    folder: with `records.jsonl` and `manifest.json`, or with folders that each
      have these: a grid.
    diagnosed: also read what `experiments.diagnose` wrote.

  Returns:
    At least one Setting, at least one of them with records. Those of a grid
    are in the order of their axes.

  Raises:
    ValueError: there is no folder, no record in it, or a file in it that
      cannot be read; the message is one line.
  """
  if not folder.is_dir():
    raise ValueError(f'{folder} is no folder; --workdir names one of a run.')
  if (folder / 'records.jsonl').exists():
    settings = [_read_setting(folder, diagnosed)]
  else:
    settings = [
      _read_setting(below, diagnosed)
      for below in sorted(folder.iterdir())
      if below.is_dir()
      and below.name not in _NOT_SETTINGS
      and any(
        (below / name).exists() for name in ('records.jsonl', 'manifest.json')
      )
    ]
  if not any(setting.rows for setting in settings):
    raise ValueError(
      f'{folder} holds no records: neither records.jsonl nor a folder with '
      'one that has a finished round.'
    )
  return sorted(settings, key=_place)


def axis_names(settings: list[Setting]) -> list[str]:
  """The axes along which settings differ."""
  values = collections.defaultdict(set)
  for setting in settings:
    for axis, value in setting.axes.items():
      values[axis].add(value)
  return [axis for axis, found in values.items() if len(found) > 1]


def _place(setting: Setting) -> list[Any]:
  """Sorts numbers by value, and names by letter."""
  return [comparison.numbers_first(value) for value in setting.axes.values()]


def _read_setting(folder: pathlib.Path, diagnosed: bool) -> Setting:
  path = folder / 'manifest.json'
  about = manifest.read(path) if path.exists() else {}
  axes = {
    str(axis): str(value) for axis, value in (about.get('axes') or {}).items()
  }
  rows = _records_of(folder / 'records.jsonl')
  return Setting(
    folder=folder,
    title=_title(folder, about, axes),
    axes=axes,
    rows=rows,
    about=about,
    full_rows=_records_of(folder / 'full_labels.jsonl'),
    diagnostics=_diagnostics(folder) if diagnosed else {},
    floors=result_files.read_floors(folder) if diagnosed else None,
    galleries=sorted(folder.glob('gallery_*.png')),
    missing=_what_is_missing(rows, about),
  )


def _diagnostics(folder: pathlib.Path) -> dict[str, Diagnostic]:
  return {
    **result_files.read_pretraining(folder),
    **result_files.read_diagnostics(folder),
  }


def _title(
  folder: pathlib.Path, about: Mapping[str, Any], axes: Mapping[str, str]
) -> str:
  """`letter, mlp, batch 100`; without axes the name of the data."""
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
  """Compares the records with what the manifest promises."""
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
  # A finished run may have been stopped early, at an accuracy or a time.
  if short and 'finished' not in about:
    found.append(f'Fewer than {most} labels: {", ".join(short)}.')
  return found


def _promised(about, last):
  """Every system and seed that there should be."""
  systems = about.get('systems') or list(dict.fromkeys(run[0] for run in last))
  config = about.get('config', {})
  if isinstance(config.get('seeds'), int):
    first = config.get('first_seed', 0)
    seeds = range(first, first + config['seeds'])
  else:
    seeds = sorted({run[1] for run in last})
  return [(system, seed) for system in systems for seed in seeds]
