"""Of one setting: where the time went, what it bought, and what it must be."""

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves
from al_jax.reporting import cells as report_cells
from al_jax.reporting.data import Setting
from al_jax.reporting.page import Page
from al_jax.runner.result_files import Floor, Floors

# Of a round, as in the records; the last two only where something was asked.
_PARTS = ('fit', 'evaluate', 'measure', 'select')
_CHOOSING = ('measure', 'select')
_NO_FLOOR = Floor(math.nan, math.nan)


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
  if setting.floors is not None:
    _against_floors(page, setting, data)
  _time_against_accuracy(page, setting, data, order)


def _against_floors(page, setting, timed):
  """How much longer each system measures and selects than it must."""
  floors = setting.floors
  data = beside_floors(timed, floors)
  header = ['system']
  for part in _CHOOSING:
    header += [part, 'its floor', 'ratio']
  page.table(
    header,
    [
      [
        row['system'],
        *(
          report_cells.seconds(row[f'{part}{of}'])
          for part in _CHOOSING
          for of in ('', '_floor', '_ratio')
        ),
      ]
      for row in data
    ],
    name=f'{setting.slug}_floors',
    data=data,
  )
  page.say(
    'Seconds as above beside the least that a round in the middle of the run '
    'takes. Of measure that is a forward pass of the same model over as many '
    'examples in the same chunks, timed; where a strategy has dropout samples, '
    'a pass of each. Of select it is, added up over its kernels, the longer of '
    f'their operations at {floors.operations_per_second / 1e9:,.0f} GF/s, the '
    'rate of a matrix product, and their bytes at '
    f'{floors.bytes_per_second / 1e9:,.3g} GB/s, the rate of the memory, as '
    'experiments.benchmarks.costs has them; of ALBL in batches, its cheapest '
    'arm. A dash: there is nothing to do, or nobody has counted it. The run '
    'and its floors are of different times, and either may have been on a '
    'busier machine; below a millisecond seconds are mostly those of the call. '
    f'{floors.measured}',
    kind='note',
  )


def beside_floors(
  timed: Sequence[Mapping[str, object]], floors: Floors
) -> list[dict[str, object]]:
  """What the systems took, what they must, and the ratio.

  Args:
    timed: see `timings`.
    floors: of the same setting.

  Returns:
    A row per system; NaN where there is no floor.
  """
  found = []
  for row in timed:
    floor = floors.systems.get(row['system'], _NO_FLOOR)
    of_system = {'system': row['system']}
    for part in _CHOOSING:
      least = getattr(floor, part)
      of_system[part] = row[part]
      of_system[f'{part}_floor'] = least
      of_system[f'{part}_ratio'] = row[part] / least if least else math.nan
    found.append(of_system)
  return found


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
