"""The results of one experiment: learning curves, a table, paired tests."""

from collections.abc import Mapping

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves, intervals, tables, tests
from al_jax.reporting import columns
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Explanation, Part, Table, Text, picture_of

SIGNIFICANT = 0.05
_BALANCED = 'test.balanced_accuracy'
# Balanced accuracy is shown if it differs from accuracy by more.
_IMBALANCE = 0.01


def parts(
  experiment: ExperimentResults, baseline: str
) -> dict[str, list[Part]]:
  """Builds the parts on accuracy, by the title of their section."""
  warnings = []
  if experiment.missing:
    text = f'Not complete. {" ".join(experiment.missing)}'
    warnings.append(Text(text, 'warning'))
  if not experiment.rows:
    return {'Learning curves': warnings}
  warnings += [Text(note, 'warning') for note in experiment.majority_notes()]
  runs = curves.runs(experiment.rows)
  full = full_label_accuracies(experiment)
  found = {
    'Learning curves': [*warnings, *_pictures(experiment, full)],
    'Results': _results(experiment, runs, full, baseline),
  }
  if baseline not in runs:
    text = f'There is no {baseline} here, so nothing is compared with it.'
    found[f'Against {baseline}'] = [Text(text, 'warning')]
  elif len(runs) > 1:
    found[f'Against {baseline}'] = _tests(experiment, runs, baseline)
  return found


def _pictures(experiment, full):
  shown = [(curves.ACCURACY, 'curves', 'Test accuracy')]
  if _is_imbalanced(experiment):
    quantity = 'Balanced test accuracy (the mean over classes)'
    shown.append((_BALANCED, 'balanced_curves', quantity))
  full = {name: estimate.mean for name, estimate in full.items()}
  for metric, name, quantity in shown:
    yield picture_of(
      experiment,
      name,
      plotting.learning_curves,
      experiment.rows,
      rows=curve_rows(curves.curve(experiment.rows, metric=metric)),
      caption=f'{quantity}, mean over seeds in a band of a standard error.',
      metric=metric,
      systems=experiment.order,
      references=full if metric == curves.ACCURACY else None,
    )


def _is_imbalanced(experiment):
  if len(experiment.having(_BALANCED)) < len(experiment.rows):
    return False
  gaps = [
    row.test['balanced_accuracy'] - row.test['accuracy']
    for row in experiment.rows
  ]
  return abs(np.mean(gaps)) > _IMBALANCE


def curve_rows(
  found: Mapping[str, curves.Curve], *, x: str = 'labels'
) -> list[dict[str, object]]:
  """Returns the points of curves, as rows of a CSV."""
  return [
    {
      'system': system,
      x: labels.item(),
      'mean': mean,
      'standard_error': error,
      'n': int(n),
    }
    for system, curve in found.items()
    for labels, mean, error, n in zip(*curve, strict=True)
  ]


def full_label_accuracies(
  experiment: ExperimentResults,
) -> dict[str, curves.Estimate]:
  """Returns accuracies of training on all labels, by names for readers."""
  found = {}
  runs = curves.runs(experiment.full_rows)
  for system, by_seed in runs.items():
    most = max(max(run) for run in by_seed.values())
    name = f'all {most:,} labels'
    if len(runs) > 1:
      name = f'{system}, {name}'
    found[name] = curves.mean_and_standard_error(
      run[max(run)] for run in by_seed.values()
    )
  return found


def _results(experiment, runs, full, baseline):
  areas = intervals.areas(runs)
  less = intervals.areas(runs, baseline=baseline)
  rows = [
    _result(system, by_seed, runs, areas, less, baseline)
    for system, by_seed in runs.items()
  ]
  best = max(rows, key=lambda row: row['accuracy'])
  largest = max(rows, key=lambda row: row.get('area', 0))
  shown = (
    Column('system', 'system'),
    Column('seeds', 'seeds'),
    Column('labels', 'labels', columns.count),
    Column(
      'accuracy %',
      ('accuracy', 'accuracy_se'),
      columns.mean(curves.ACCURACY),
      bold=lambda row: row is best,
    ),
    Column(
      'area %',
      _with_ends('area'),
      columns.interval(),
      bold=lambda row: row is largest,
    ),
    Column(
      f'area minus {baseline}',
      _with_ends(f'area_minus_{baseline}'),
      columns.interval(signed=True),
    ),
    Column(
      f"labels to {baseline}'s last accuracy",
      _with_ends('labels_needed'),
      columns.labels_needed,
    ),
  )
  for name, (mean, error, seeds) in full.items():
    rows.append(
      {'system': name, 'seeds': seeds, 'accuracy': mean, 'accuracy_se': error}
    )
  words = Explanation('results', (baseline, curves.labels_of_all(runs)))
  return [Table(shown, rows, f'{experiment.slug}_results'), words]


def _with_ends(name):
  return name, f'{name}_low', f'{name}_high'


def _result(system, by_seed, runs, areas, less, baseline):
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
      row |= dict(zip(_with_ends(name), found, strict=True))
  return row


def _tests(experiment, runs, baseline):
  families = {'accuracy': tests.of_last_values(runs, baseline)}
  if curves.labels_of_all(runs):
    areas = intervals.areas_by_seed(runs)
    families['area'] = tests.against_baseline(areas, baseline)
  rows = [
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
  if not rows:
    text = f'No run has a seed and labels in common with {baseline}.'
    return [Text(text, 'warning')]
  shown = (
    Column('system', 'system'),
    Column('score', 'of'),
    Column('pairs', 'pairs'),
    difference_column(f'minus {baseline}'),
    *p_value_columns('t', 't_p'),
    *p_value_columns('Wilcoxon', 'wilcoxon_p'),
  )
  table = Table(shown, rows, f'{experiment.slug}_tests')
  return [table, Explanation('tests')]


def difference_column(title: str) -> Column:
  """Returns the column of a mean difference and its standard error."""
  return Column(
    title,
    ('difference', 'standard_error'),
    columns.mean(curves.ACCURACY, signed=True),
  )


def p_value_columns(test: str, key: str) -> tuple[Column, Column]:
  """Returns the columns of a test's p values, as they are and corrected."""
  holm = f'{key}_holm'
  return (
    Column(f'{test}: p', key, tables.p_value),
    Column(
      f'{test}: Holm',
      holm,
      tables.p_value,
      bold=lambda row: row[holm] < SIGNIFICANT,
    ),
  )
