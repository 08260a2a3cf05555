"""Of one setting: where the time went, and what it bought."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves
from al_jax.reporting import cells as report_cells
from al_jax.reporting.data import Setting
from al_jax.reporting.page import Page

# Of a round, as in the records; the last two only where something was asked.
_PARTS = ('fit', 'evaluate', 'measure', 'select')
_CHOOSING = ('measure', 'select')


def write(page: Page, setting: Setting, *, order: Sequence[str]) -> None:
  """Seconds to fit, to measure and to select, and accuracy against them.

  Args:
    page: to write to.
    setting: with records.
    order: all systems of the report, for their colours.
  """
  data = timings(setting)
  page.topic('Time')
  page.picture(
    f'{setting.slug}_seconds',
    lambda path: plotting.stacked_bars(
      {row['system']: {part: row[part] for part in _PARTS} for row in data},
      path,
      x_label='seconds per round, median',
      title=setting.title,
    ),
    data,
    caption='Seconds of a round, by what they went to.',
  )
  header = ['system', *_PARTS, 'other', 'choose (max)', 'run, total']
  rows = [
    [
      row['system'],
      *(report_cells.seconds(row[name]) for name in (*_PARTS, 'other')),
      report_cells.seconds(row['choose_max']),
      report_cells.seconds(row['run_total']),
    ]
    for row in data
  ]
  page.table(header, rows, name=f'{setting.slug}_seconds', data=data)
  page.say(
    'Seconds per round, median over rounds and seeds but for the first round '
    'of the first seed, in which programs are compiled; where there is no '
    "other, it is all there is. Measure: the strategy's look over the pool; "
    'select: its choice; choose (max): both, in the slowest round, compilation '
    'included. Total: of a whole run, mean over seeds. Evaluate is a forward '
    'pass over the test split.',
    kind='note',
  )
  _time_against_accuracy(page, setting, data, order)


def _time_against_accuracy(page, setting, data, order):
  names = ('system', 'choose', 'accuracy', 'accuracy_standard_error')
  shown = [
    {name: row[name] for name in names}
    for row in data
    if math.isfinite(row['choose'])
  ]
  if not shown:
    return
  points = {}
  for row in shown:
    system, *point = row.values()
    points[system] = tuple(point)
  page.picture(
    f'{setting.slug}_time_accuracy',
    functools.partial(
      plotting.time_against_score,
      points,
      systems=order,
      title=setting.title,
    ),
    shown,
    caption=(
      'Seconds to measure and select, median per round, against the accuracy '
      'at the end, ± one standard error.'
    ),
  )


def timings(setting: Setting) -> list[dict[str, object]]:
  """Where the time of each system went.

  Args:
    setting: with records.

  Returns:
    A row per system, of seconds: medians of the parts of a round and of
    `choose`, which is measure and select together; NaN where it asked nothing.
  """
  runs = curves.runs(setting.rows)
  found = []
  for system, by_seed in runs.items():
    rows = [row for row in setting.rows if row.system == system]
    asking = [row for row in rows if row.picks]
    warm = _without_compilation(rows)
    row = {'system': system}
    for part in (*_PARTS, 'other'):
      of = _without_compilation(asking) if part in _CHOOSING else warm
      row[part] = _median(getattr(each, f'seconds_{part}') for each in of)
    row['choose'] = _median(map(_choosing, _without_compilation(asking)))
    row['choose_max'] = max(map(_choosing, asking), default=math.nan)
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
  """All but the first round, if there is another; programs are made there."""
  first = min(rows, key=lambda row: (row.round, row.seed), default=None)
  return [row for row in rows if row is not first] or rows


def _median(values) -> float:
  values = list(values)
  return float(np.median(values)) if values else math.nan
