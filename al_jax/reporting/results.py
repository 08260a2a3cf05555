"""Of one setting: the curves, what came out, and whether it could be chance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves, intervals, tests
from al_jax.reporting import cells as report_cells
from al_jax.reporting.data import Setting
from al_jax.reporting.page import Page

_SIGNIFICANT = 0.05
_BALANCED = 'test.balanced_accuracy'
# Balanced accuracy that differs by more says something of its own.
_IMBALANCE = 0.01


def write(
  page: Page, setting: Setting, *, baseline: str, order: Sequence[str]
) -> None:
  """Curves, a table of results, and paired tests.

  Args:
    page: to write to.
    setting: with records.
    baseline: the system that the others are compared with.
    order: all systems of the report, for their colours.
  """
  runs = curves.runs(setting.rows)
  full = full_label_accuracies(setting)
  page.topic('Learning curves')
  page.picture(
    f'{setting.slug}_curves',
    lambda path: plotting.learning_curves(
      setting.rows,
      path,
      title=setting.title,
      systems=order,
      references={name: of.mean for name, of in full.items()},
    ),
    curve_rows(curves.curve(setting.rows)),
    caption='Test accuracy, mean over seeds in a band of a standard error.',
  )
  if _is_imbalanced(setting):
    page.picture(
      f'{setting.slug}_balanced_curves',
      lambda path: plotting.learning_curves(
        setting.rows,
        path,
        metric=_BALANCED,
        title=setting.title,
        systems=order,
      ),
      curve_rows(curves.curve(setting.rows, metric=_BALANCED)),
      caption='Balanced test accuracy: the mean over classes.',
    )
  page.topic('What came out')
  _results(page, setting, runs, full, baseline)
  if baseline in runs and len(runs) > 1:
    page.topic(f'Against {baseline}')
    _tests(page, setting, runs, baseline)


def _is_imbalanced(setting):
  if len(setting.having(_BALANCED)) < len(setting.rows):
    return False
  gaps = [
    row.test['balanced_accuracy'] - row.test['accuracy'] for row in setting.rows
  ]
  return abs(np.mean(gaps)) > _IMBALANCE


def curve_rows(
  curves: Mapping[str, curves.Curve], *, x: str = 'labels'
) -> list[dict[str, object]]:
  """The points of curves, as rows of a CSV."""
  return [
    {
      'system': system,
      x: labels.item(),
      'mean': mean,
      'standard_error': error,
      'n': int(n),
    }
    for system, curve in curves.items()
    for labels, mean, error, n in zip(*curve, strict=True)
  ]


def full_label_accuracies(setting: Setting) -> dict[str, curves.Estimate]:
  """The accuracy of training on all labels, by what a line of it is called."""
  found = {}
  runs = curves.runs(setting.full_rows)
  for system, by_seed in runs.items():
    most = max(max(run) for run in by_seed.values())
    name = f'all {most:,} labels'
    if len(runs) > 1:
      name = f'{system}, {name}'
    found[name] = curves.mean_and_standard_error(
      run[max(run)] for run in by_seed.values()
    )
  return found


def final_values(runs: curves.Runs) -> dict[str, dict[int, float]]:
  """By system and seed, the value at the last label count that all runs have.

  Args:
    runs: see `curves.runs`.

  Returns:
    Values; empty where no label count is common.
  """
  common = common_labels(runs)
  if not common:
    return {}
  return {
    system: {seed: run[common[-1]] for seed, run in by_seed.items()}
    for system, by_seed in runs.items()
  }


def first_and_last(
  settings: Sequence[Setting], metrics: Mapping[str, str]
) -> list[dict[str, Any]]:
  """Metrics at the first and the last label count that all seeds have.

  Args:
    settings: with records.
    metrics: columns of `RoundRecord.flat`, by what a row calls them; records
      that have the first have all of them.

  Returns:
    Two rows for each system of each setting that has the metrics, one if there
    is one label count: `setting`, `system`, `labels`, `seeds`, and each metric
    with its standard error, as `..._se`.
  """
  return [
    {'setting': setting.title, 'system': system, **row}
    for setting in settings
    for system in setting.systems
    for row in _first_and_last(setting, system, metrics)
  ]


def _first_and_last(setting, system, metrics):
  first = next(iter(metrics.values()))
  rows = [row for row in setting.having(first) if row.system == system]
  if not rows:
    return
  runs = {
    name: curves.runs(rows, metric=metric)[system]
    for name, metric in metrics.items()
  }
  counts = [curves.common_labels(by_seed.values()) for by_seed in runs.values()]
  for labels in dict.fromkeys([*counts[0][:1], *counts[0][-1:]]):
    found = {'labels': int(labels)}
    for name, by_seed in runs.items():
      estimate = curves.mean_and_standard_error(
        run[labels] for run in by_seed.values()
      )
      found['seeds'] = estimate.n
      found[name], found[f'{name}_se'] = estimate[:2]
    yield found


def common_labels(runs: curves.Runs) -> list[int]:
  """The label counts that every run has."""
  return curves.common_labels(
    run for by_seed in runs.values() for run in by_seed.values()
  )


def _results(page, setting, runs, full, baseline):
  areas = intervals.areas(runs)
  less = intervals.areas(runs, baseline=baseline)
  data = [
    _result(system, by_seed, runs, areas, less, baseline)
    for system, by_seed in runs.items()
  ]
  header = [
    'system',
    'seeds',
    'labels',
    'accuracy %',
    'area %',
    f'area minus {baseline}',
    f"labels to {baseline}'s last accuracy",
  ]
  rows = [
    [
      row['system'],
      str(row['seeds']),
      f'{row["labels"]:,}',
      report_cells.mean(row['accuracy'], row['accuracy_se'], curves.ACCURACY),
      report_cells.interval(areas.get(row['system']), curves.ACCURACY),
      report_cells.interval(
        less.get(row['system']), curves.ACCURACY, signed=True
      ),
      report_cells.labels(_interval_of(row, 'labels_needed')),
    ]
    for row in data
  ]
  bold = [(_best([row['accuracy'] for row in data]), 3)]
  if areas:
    bold.append((_best([row['area'] for row in data]), 4))
  for name, of in full.items():
    shown = report_cells.mean(of.mean, of.standard_error, curves.ACCURACY)
    rows.append([name, str(of.n), '', shown])
    data.append(
      {
        'system': name,
        'seeds': of.n,
        'accuracy': of.mean,
        'accuracy_se': of.standard_error,
      }
    )
  page.table(header, rows, bold=bold, name=f'{setting.slug}_results', data=data)
  common = common_labels(runs)
  area = (
    f'Area: mean height of the curve from {common[0]:,} to {common[-1]:,} '
    'labels, which all runs have. '
    if common
    else 'The runs have no number of labels in common: no areas. '
  )
  page.say(
    'Accuracy: at the last number of labels, ± one standard error over seeds. '
    f'{area}In brackets: 95% bootstrap intervals, '
    f'{intervals.RESAMPLES:,} draws of the seeds, the same for both systems '
    'of a difference; of five seeds they are somewhat too narrow. '
    f"Labels to {baseline}'s last accuracy: where the mean curve first "
    'reaches it.',
    kind='note',
  )


def _result(system, by_seed, runs, areas, less, baseline):
  """A row of the CSV."""
  last = max(max(run) for run in by_seed.values())
  final = curves.mean_and_standard_error(
    run[max(run)] for run in by_seed.values()
  )
  row = {
    'system': system,
    'seeds': len(by_seed),
    'labels': last,
    'accuracy': final.mean,
    'accuracy_se': final.standard_error,
  }
  needed = None
  if set(by_seed) & set(runs.get(baseline, {})):
    needed = intervals.labels_to_reach(by_seed, runs[baseline])
  for name, found in (
    ('area', areas.get(system)),
    (f'area_minus_{baseline}', less.get(system)),
    ('labels_needed', needed),
  ):
    if found is not None:
      row |= {name: found.estimate}
      row |= {f'{name}_low': found.low, f'{name}_high': found.high}
  return row


def _interval_of(row, name):
  if name not in row:
    return None
  return intervals.Interval(row[name], row[f'{name}_low'], row[f'{name}_high'])


def _best(values):
  return int(np.nanargmax(values))


def _tests(page, setting, runs, baseline):
  families = {
    'accuracy': tests.against_baseline(final_values(runs), baseline)
    if final_values(runs)
    else {},
    'area': tests.against_baseline(intervals.areas_by_seed(runs), baseline)
    if final_values(runs)
    else {},
  }
  data = [
    {
      'system': system,
      'of': of,
      'pairs': test.difference.n,
      'difference': test.difference.mean,
      'standard_error': test.difference.standard_error,
      't_p': test.difference.p_value,
      't_p_holm': test.t_holm,
      'wilcoxon_p': test.wilcoxon,
      'wilcoxon_p_holm': test.wilcoxon_holm,
    }
    for of, family in families.items()
    for system, test in family.items()
  ]
  if not data:
    page.say(f'No run has a seed and labels in common with {baseline}.')
    return
  p_names = ('t_p', 't_p_holm', 'wilcoxon_p', 'wilcoxon_p_holm')
  header = ['system', 'of', 'pairs', f'minus {baseline}']
  header += ['t: p', 't: Holm', 'Wilcoxon: p', 'Wilcoxon: Holm']
  rows = [
    [
      row['system'],
      row['of'],
      str(row['pairs']),
      report_cells.mean(
        row['difference'], row['standard_error'], curves.ACCURACY, signed=True
      ),
      *(report_cells.p_value(row[name]) for name in p_names),
    ]
    for row in data
  ]
  bold = [
    (i, 4 + j)
    for i, row in enumerate(data)
    for j, name in enumerate(p_names)
    if name.endswith('holm') and row[name] < _SIGNIFICANT
  ]
  page.table(header, rows, bold=bold, name=f'{setting.slug}_tests', data=data)
  page.say(
    'Two-sided, paired by seed, in percentage points. Accuracy: at the last '
    'number of labels that all runs have. Holm: corrected for the systems of '
    'this table, for accuracy and for area apart; bold below 0.05. No Wilcoxon '
    'test of n pairs has a p below 2^(1-n): 0.0625 of five.',
    kind='note',
  )
