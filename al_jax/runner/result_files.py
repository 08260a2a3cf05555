"""Writes and reads the diagnostics in the folder of a run."""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from al_jax import files
from al_jax.analysis import curves
from al_jax.storage import manifest

_DIAGNOSTICS = 'diagnostics.json'
_PRETRAINING = 'pretraining.jsonl'
# Load per core above which other work slows a measurement.
BUSY = 0.5


@dataclasses.dataclass(frozen=True)
class Diagnostic:
  """A quantity that was measured apart from the runs, as curves or points.

  Attributes:
    x_label: label of the horizontal axis.
    y_label: label of the vertical axis.
    curves: curves by name of the series; their `labels` are the x. Empty if
      there are points.
    note: description, with the time and the way of measurement; may be empty.
    logarithmic_x: whether the horizontal axis is logarithmic.
    points: points by name of the system, float[2, N]: x and y per example.
    logarithmic_y: whether the vertical axis of points is logarithmic.
  """

  x_label: str
  y_label: str
  curves: dict[str, curves.Curve]
  note: str = ''
  logarithmic_x: bool = False
  points: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
  logarithmic_y: bool = False


def measured_now() -> dict[str, Any]:
  """Describes the time, the command and the machine of a measurement.

  Call it before measuring, so that the load is only that of other work.
  """
  return {
    'date': manifest.now(),
    'command': manifest.command(),
    'device': jax.devices()[0].device_kind,
    'cores': os.cpu_count(),
    'load': round(os.getloadavg()[0], 1),
  }


def write_diagnostics(
  folder: pathlib.Path,
  measured: Mapping[str, Any],
  found: Mapping[str, Mapping[str, Any]],
) -> pathlib.Path:
  """Writes diagnostics, and keeps those with other names in the file.

  Args:
    folder: folder of the experiment.
    measured: see `measured_now`.
    found: diagnostics by name. Each has `x_label`, `y_label`, `note`,
      `logarithmic_x`, and either curves or points. Curves are `x` and `series`,
      which maps a name to `mean` and `standard_error`. Points are
      `logarithmic_y` and `points`, which maps a system to `x` and `y`.

  Returns:
    The path of the file.
  """
  path = folder / _DIAGNOSTICS
  before = {}
  # A file that cannot be read is replaced.
  with contextlib.suppress(OSError, ValueError):
    read_diagnostics(folder)
    before = json.loads(path.read_text(encoding='utf-8'))
  now = {
    name: {**values, 'measured': dict(measured)}
    for name, values in found.items()
  }
  manifest.write(path, {**before, **now})
  return path


def read_diagnostics(folder: pathlib.Path) -> dict[str, Diagnostic]:
  """Reads the diagnostics of an experiment by name; empty if it has none.

  Args:
    folder: folder of the experiment.

  Returns:
    The curves or points.

  Raises:
    ValueError: the file has other content; the message is one line.
  """
  path = folder / _DIAGNOSTICS
  if not path.exists():
    return {}
  with _saying(path, 'diagnostics'):
    found = json.loads(path.read_text(encoding='utf-8'))
    return {name: _diagnostic(values) for name, values in found.items()}


def write_pretraining(
  folder: pathlib.Path, rows: Sequence[Mapping[str, float]]
) -> None:
  """Writes the metrics of a pretraining.

  Args:
    folder: folder of the experiment.
    rows: see `pretrained.obtain`.
  """
  with files.replacing(folder / _PRETRAINING) as partial:
    lines = [json.dumps(row) + '\n' for row in rows]
    partial.write_text(''.join(lines), encoding='utf-8')


def read_pretraining(folder: pathlib.Path) -> dict[str, Diagnostic]:
  """Reads the loss and the other metrics of a pretraining.

  Args:
    folder: folder of the experiment.

  Returns:
    Diagnostics by name; empty if there was no pretraining.

  Raises:
    ValueError: the file has other content; the message is one line.
  """
  path = folder / _PRETRAINING
  if not path.exists():
    return {}
  with _saying(path, 'rows of a pretraining'):
    rows = [json.loads(line) for line in path.read_text('utf-8').splitlines()]
    names = {name: None for row in rows for name in row}
    x = np.array([row['epoch'] for row in rows], float)
    series = {
      name: curves.Curve(
        x,
        _numbers([row.get(name) for row in rows]),
        np.full(len(x), np.nan),
        np.ones(len(x)),
      )
      for name in names
      if name not in ('epoch', 'step')
    }
  shares = {name: of for name, of in series.items() if name != 'loss'}
  found = {}
  if 'loss' in series:
    found['pretraining: loss'] = Diagnostic(
      'epochs', 'loss', {'loss': series['loss']}
    )
  if shares:
    found['pretraining: clusters'] = Diagnostic('epochs', 'share', shares)
  return found


def _in_words(measured: Mapping[str, Any] | None, is_timed: bool) -> str:
  """Describes a measurement; warns if other work slowed it."""
  if measured is None:
    return ''
  text = (
    f'Measured {measured["date"]} on {measured["device"]} '
    f'({measured["cores"]} cores, load {measured["load"]}) by: '
    f'{measured["command"]}'
  )
  if is_timed and measured['load'] > BUSY * measured['cores']:
    text += ' - The machine was busy: the measured times are too long.'
  return text


@contextlib.contextmanager
def _saying(path: pathlib.Path, what: str) -> Iterator[None]:
  """Turns an error about the content of a file into one line that names it."""
  try:
    yield
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} holds no {what}: {type(error).__name__}: {error}'
    ) from error


def _diagnostic(values: Mapping[str, Any]) -> Diagnostic:
  points = _points(values['points']) if 'points' in values else {}
  series = {} if points else _curves(values)
  is_timed = 'seconds' in values['y_label']
  measured = _in_words(values.get('measured'), is_timed)
  note = f'{values.get("note", "")} {measured}'
  found = Diagnostic(
    values['x_label'],
    values['y_label'],
    series,
    note=note.strip(),
    logarithmic_x=bool(values.get('logarithmic_x', False)),
    points=points,
    logarithmic_y=bool(values.get('logarithmic_y', False)),
  )
  logarithmic = [found.logarithmic_x, found.logarithmic_y]
  for label, points in found.points.items():
    if (points[logarithmic] <= 0).any():
      raise ValueError(
        f'{label!r} has a point at 0 or below; the axis is logarithmic.'
      )
  return found


def _curves(values):
  """Reads a curve for each series."""
  x = np.asarray(values['x'], float)
  found = {}
  for label, series in values['series'].items():
    mean = _numbers(series['mean'])
    error = _numbers(series.get('standard_error') or [None] * len(mean))
    if not len(x) == len(mean) == len(error):
      raise ValueError(
        f'{label!r} has {len(mean)} means and {len(error)} standard errors '
        f'for {len(x)} x.'
      )
    found[str(label)] = curves.Curve(x, mean, error, np.ones(len(x)))
  if not found:
    raise ValueError('there is no series.')
  return found


def _points(values):
  """Reads the points of each system."""
  found = {}
  for label, of in values.items():
    x, y = (np.asarray(of[axis], float) for axis in 'xy')
    if not len(x) == len(y) > 0:
      raise ValueError(f'{label!r} has {len(x)} x and {len(y)} y.')
    found[str(label)] = np.stack([x, y])
    if not np.isfinite(found[label]).all():
      raise ValueError(f'{label!r} has a point that is not finite.')
  if not found:
    raise ValueError('there are no points.')
  return found


def _numbers(values):
  """Converts to floats: None is NaN; 'NaN' and 'Infinity' are read as such."""
  return np.array(
    [float('nan') if value is None else float(value) for value in values]
  )
