"""The time of one experiment: where it went, and what it bought."""

import math

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves
from al_jax.reporting import columns
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Explanation, Part, Table, picture_of

# Parts of a round, as in the records; the last two only in rounds that query.
_PARTS = ('fit', 'evaluate', 'measure', 'select')
_CHOOSING = ('measure', 'select')


def parts(experiment: ExperimentResults) -> dict[str, list[Part]]:
  """Builds the parts of the page on time, by the title of their section."""
  rows = timings(experiment)
  if not rows:
    return {}
  picture = picture_of(
    experiment,
    'seconds',
    plotting.stacked_bars,
    {row['system']: {part: row[part] for part in _PARTS} for row in rows},
    rows=rows,
    caption='Seconds of a round, by what they went to.',
    x_label='seconds per round, median',
  )
  shown = (
    Column('system', 'system'),
    *(Column(part, part, columns.seconds) for part in (*_PARTS, 'other')),
    Column('choose (max)', 'choose_max', columns.seconds),
    Column('run, total', 'run_total', columns.seconds),
  )
  table = Table(shown, rows, picture.name)
  found = [picture, table, Explanation('time')]
  names = ('system', 'choose', 'accuracy', 'accuracy_standard_error')
  points = [
    {name: row[name] for name in names}
    for row in rows
    if math.isfinite(row['choose'])
  ]
  if points:
    against_accuracy = picture_of(
      experiment,
      'time_accuracy',
      plotting.time_against_score,
      {system: tuple(rest) for system, *rest in map(dict.values, points)},
      rows=points,
      caption='Seconds to measure and select, median per round, against the '
      'accuracy at the end, ± one standard error.',
      systems=experiment.order,
    )
    found.append(against_accuracy)
  return {'Time': found}


def timings(experiment: ExperimentResults) -> list[dict[str, object]]:
  """Measures where the time of each system went.

  Args:
    experiment: the results.

  Returns:
    A row per system, in seconds: medians of the parts of a round and of
    `choose`, which is measure and select together; NaN if it made no query.
  """
  runs = curves.runs(experiment.rows)
  found = []
  for system, by_seed in runs.items():
    rows = [row for row in experiment.rows if row.system == system]
    querying = [row for row in rows if row.picks]
    warm = _without_compilation(rows)
    row = {'system': system}
    for part in (*_PARTS, 'other'):
      of = _without_compilation(querying) if part in _CHOOSING else warm
      row[part] = _median(getattr(each, f'seconds_{part}') for each in of)
    row['choose'] = _median(map(_choosing, _without_compilation(querying)))
    row['choose_max'] = max(map(_choosing, querying), default=math.nan)
    row['run_total'] = sum(each.seconds for each in rows) / len(by_seed)
    final = curves.mean_and_standard_error(
      run[max(run)] for run in by_seed.values()
    )
    row['accuracy'] = final.mean
    row['accuracy_standard_error'] = final.standard_error
    found.append(row)
  return found


def _choosing(row) -> float:
  return row.seconds_measure + row.seconds_select


def _without_compilation(rows):
  """All but the first round, in which programs are compiled, if possible."""
  first = min(rows, key=lambda row: (row.round, row.seed), default=None)
  return [row for row in rows if row is not first] or rows


def _median(values) -> float:
  values = list(values)
  return float(np.median(values)) if values else math.nan
