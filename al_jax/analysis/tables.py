"""Results as aligned text."""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from al_jax.analysis import curves, tests
from al_jax.storage import metrics
from al_jax.storage import records as records_lib
from al_jax.tasks import Classes, Metric

# Stands for a missing number.
MISSING = '-'
# Stands for missing tables and pictures.
NOTHING = (
  'There is no test split and no validation split, so there is nothing to draw.'
)


def summary_table(
  records: Iterable[records_lib.RoundRecord],
  *,
  baseline: str = curves.BASELINE,
  metric: Metric = metrics.ACCURACY,
) -> str:
  """Summarizes results as aligned text, one row per system.

  Args:
    records: Rounds of any number of runs.
    baseline: System to compare the others with, see `tests.of_last_values`. If
      it has no records, there is no comparison.
    metric: Metric whose name is a column of `RoundRecord.flat`.

  Returns:
    Lines: a header, a row per system in the order of the first records, and the
    meaning of the columns.
  """
  by_system = curves.runs(records, column=metric.name)
  if not by_system:
    raise ValueError('records is empty; a table needs at least one.')
  common = curves.labels_of_all(by_system)
  found = tests.of_last_values(by_system, baseline)
  compare = baseline in by_system and len(by_system) > 1
  header = [
    'system',
    'seeds',
    'labels',
    _title(metric),
    metrics.with_unit('area', metric),
  ]
  if compare:
    header += [f'minus {baseline}', 'at labels', 'pairs', 'p']
  rows = [header]
  for system, by_seed in by_system.items():
    row = [system, *_summary_of_one(by_seed, common, metric)]
    if system in found:
      row += _comparison(found[system].difference, common[-1], metric)
    rows.append(row)
  legend = ['± is one standard error over seeds.']
  if common:
    legend.append(
      f'area: mean of the curve from {common[0]} to {common[-1]} labels.'
    )
  if compare:
    legend.append('p: two-sided paired t-test by seed.')
  if any(test.is_constant for test in found.values()):
    legend.append('p -: no test, the difference is the same for every seed.')
  return '\n'.join([aligned(rows), *legend])


def majority_notes(
  records: Iterable[records_lib.RoundRecord], shares: Mapping[str, float]
) -> list[str]:
  """Describes which runs were never better than the most frequent class.

  Args:
    records: Rounds of any number of runs.
    shares: Share of the most frequent class in the splits `test` and `train`,
      the pool. A split that is left out is not checked.

  Returns:
    A sentence for each split in which there are such runs.
  """
  rows = list(records)
  notes = []
  for split, name in (('test', 'test'), ('train', 'training')):
    column = metrics.column(Classes.headline, split).name
    having = [row for row in rows if column in row.flat()]
    limit = shares.get(split, -1.0) + curves.ROUNDING
    stuck = []
    for system, by_seed in curves.runs(having, column=column).items():
      number = sum(max(run.values()) <= limit for run in by_seed.values())
      if number:
        stuck.append(f'{system} ({number} of {len(by_seed)} seeds)')
    if stuck:
      notes.append(
        f'The {name} accuracy never exceeds {100 * shares[split]:.2f}%, the '
        f'share of the most frequent class: {", ".join(stuck)}. Such networks '
        'learn nothing useful; see data.normalize, the learning rate and the '
        'epochs.'
      )
  return notes


def short_notes(
  records: Iterable[records_lib.RoundRecord], config: Mapping[str, Any]
) -> list[str]:
  """Describes in which rounds fewer made queries were asked than wanted.

  Args:
    records: Rounds of any number of runs.
    config: Config of the run; without `synthesis` there are no sentences.

  Returns:
    A sentence for each system that has such rounds.
  """
  protocol = config.get('protocol', {})
  wanted = protocol.get('labels_per_round')
  if not config.get('synthesis') or wanted is None:
    return []
  counts = {}
  for row in _asking(list(records), protocol):
    most = min(wanted, _budget(protocol) - row.labels)
    found = counts.setdefault(row.system, collections.Counter())
    found['all'] += 1
    found['short'] += len(row.picks) < most
    found['none'] += not row.picks
  return [
    f'{system} asked fewer queries than protocol.labels_per_round, {wanted}, '
    f'in {found["short"]} of {found["all"]} rounds, and none at all in '
    f'{found["none"]}: the other made examples were closer to a query than '
    'synthesis.min_distance.'
    for system, found in counts.items()
    if found['short']
  ]


def _asking(rows, protocol):
  """Yields the records of the rounds at whose end queries were due."""
  last = {(row.system, row.seed): row.round for row in rows}
  for row in rows:
    is_last = row.round + 1 >= protocol['rounds']
    # A run may end early, at a given accuracy or after a given time.
    ended = row.round == last[row.system, row.seed] and not row.picks
    if not is_last and not ended and row.labels < _budget(protocol):
      yield row


def _budget(protocol):
  """Returns the most labels that a run pays for, see `Protocol.budget`."""
  given = protocol.get('label_budget')
  return math.inf if given is None else given


def round_table(
  records: Iterable[records_lib.RoundRecord],
  *,
  metric: Metric = metrics.ACCURACY,
) -> str:
  """Shows learning curves as aligned text, a row per number of labels.

  Args:
    records: Rounds of any number of runs.
    metric: Metric whose name is a column of `RoundRecord.flat`.

  Returns:
    Lines: a header with the systems, then mean and standard error of each; a
    cell is empty where a system has no record.
  """
  found = curves.curve(records, column=metric.name)
  if not found:
    raise ValueError('records is empty; a table needs at least one.')
  cells = {
    (system, int(labels)): shown(mean, error, metric)
    for system, (all_labels, means, standard_errors, _) in found.items()
    for labels, mean, error in zip(
      all_labels, means, standard_errors, strict=True
    )
  }
  rows = [['labels', *found]]
  for labels in sorted({labels for _, labels in cells}):
    rows.append(
      [str(labels), *(cells.get((system, labels), '') for system in found)]
    )
  better = '' if metric.larger_is_better else '; lower is better'
  return f'{_title(metric)}, mean ± standard error{better}\n{aligned(rows)}'


def _summary_of_one(
  by_seed: Mapping[int, Mapping[int, float]],
  common: Sequence[int],
  metric: Metric,
) -> list[str]:
  """Returns a system's cells: seeds, last labels, last value and area."""
  last = [max(run) for run in by_seed.values()]
  span = f'{min(last)}' if len(set(last)) == 1 else f'{min(last)}-{max(last)}'
  final = curves.mean_of_last(by_seed)
  area = ''
  if common:
    estimate = curves.mean_and_standard_error(
      curves.area_under_curve(common, [run[labels] for labels in common])
      for run in by_seed.values()
    )
    area = shown(estimate.mean, estimate.standard_error, metric)
  last = shown(final.mean, final.standard_error, metric)
  return [str(len(by_seed)), span, last, area]


def _comparison(
  difference: curves.PairedDifference, labels: int, metric: Metric
) -> list[str]:
  """Returns the difference to the baseline, its labels, pairs and p-value."""
  mean, error, p, pairs = difference
  return [
    shown(mean, error, metric, signed=True),
    str(labels),
    str(pairs),
    p_value(p),
  ]


def parts_notes(records: Iterable[records_lib.RoundRecord]) -> list[str]:
  """Describes which parts of systems are user-defined and which losses are set.

  Args:
    records: Rounds of any number of runs.

  Returns:
    A sentence for each set of parts; none if all are the library's.
  """
  systems = {}
  for record in records:
    if record.parts:
      systems.setdefault(record.named_parts, {})[record.system] = None
  return [
    f'Parts of {", ".join(names)}: {parts}.' for parts, names in systems.items()
  ]


def _title(metric: Metric) -> str:
  return metrics.with_unit(metrics.spelled(metric.name), metric)


def shown(
  mean: float, error: float, metric: Metric, *, signed: bool = False
) -> str:
  """Formats as `93.61 ± 0.12`, or without the error if it is NaN."""
  text = metrics.number(mean, metric, signed=signed)
  if np.isnan(error):
    return text
  return f'{text} ± {metrics.number(error, metric)}'


def p_value(value: float) -> str:
  """Formats with three decimals, as `<0.001`, or as a dash without a test."""
  if np.isnan(value):
    return MISSING
  return '<0.001' if value < 0.001 else f'{value:.3f}'


def aligned(rows: Sequence[Sequence[str]]) -> str:
  """Aligns cells in columns: the first to the left, the others to the right."""
  width = len(rows[0])
  full = [[*row, *[''] * (width - len(row))] for row in rows]
  widths = [max(map(len, column)) for column in zip(*full, strict=True)]
  lines = []
  for first, *others in full:
    cells = [first.ljust(widths[0])]
    cells += [
      cell.rjust(size) for cell, size in zip(others, widths[1:], strict=True)
    ]
    lines.append('  '.join(cells).rstrip())
  return '\n'.join(lines)
