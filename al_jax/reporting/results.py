"""Results of one experiment: learning curves, a table, paired tests."""

from collections.abc import Mapping

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves, intervals, naming, tables, tests
from al_jax.reporting import columns
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Explanation, Part, Table, Text, picture_of
from al_jax.storage import metrics
from al_jax.tasks import Metric

SIGNIFICANT = 0.05
_BALANCED = metrics.ACCURACY._replace(name='test.balanced_accuracy')
# Balanced accuracy is shown if its mean differs from accuracy by more.
_IMBALANCE = 0.01


def parts(
  experiment: ExperimentResults, baseline: str
) -> dict[str, list[Part]]:
  """Builds the parts on the headline, by the title of their section."""
  warnings = []
  if experiment.missing:
    text = f'Not complete. {" ".join(experiment.missing)}'
    warnings.append(Text(text, 'warning'))
  if not experiment.rows:
    return {'Learning curves': warnings}
  notes = [*experiment.majority_notes(), *experiment.short_notes()]
  warnings += [Text(note, 'warning') for note in notes]
  if experiment.metric is None:
    return {'Learning curves': [*warnings, Text(tables.NOTHING, 'warning')]}
  if not experiment.has_test:
    text = 'There is no test split: all values are on the validation split.'
    warnings.append(Text(text, 'warning'))
  runs = experiment.runs
  full = full_label_values(experiment)
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
  headline = experiment.metric
  quantity = _sentence(metrics.spelled(headline.name))
  shown = [(headline, 'curves', quantity)]
  if _is_imbalanced(experiment):
    quantity = 'Balanced test accuracy (the mean over classes)'
    shown.append((_BALANCED, 'balanced_curves', quantity))
  full = {name: estimate.mean for name, estimate in full.items()}
  better = '' if headline.larger_is_better else ' Lower is better.'
  for metric, name, quantity in shown:
    yield picture_of(
      experiment,
      name,
      plotting.learning_curves,
      experiment.rows,
      rows=curve_rows(curves.curve(experiment.rows, column=metric.name)),
      caption=f'{quantity}, mean over seeds in a band of a standard error.'
      f'{better}',
      metric=metric,
      systems=experiment.order,
      references=full if metric == headline else None,
    )


def _sentence(words: str) -> str:
  return words[:1].upper() + words[1:]


def _is_imbalanced(experiment):
  if len(experiment.having(_BALANCED.name)) < len(experiment.rows):
    return False
  rows = [row.flat() for row in experiment.rows]
  gaps = [row[_BALANCED.name] - row[experiment.metric.name] for row in rows]
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


def full_label_values(
  experiment: ExperimentResults,
) -> dict[str, curves.Estimate]:
  """Returns the headline after training on all labels, by name for readers."""
  found = {}
  runs = curves.runs(experiment.full_rows, column=experiment.metric.name)
  for system, by_seed in runs.items():
    most = max(max(run) for run in by_seed.values())
    name = f'all {most:,} labels'
    if len(runs) > 1:
      name = f'{system}, {name}'
    found[name] = curves.mean_of_last(by_seed)
  return found


def _results(experiment, runs, full, baseline):
  headline = experiment.task.headline
  rows = _result_rows(headline, runs, baseline)
  shown = [
    column
    for column in _result_columns(headline, rows, baseline)
    if any(column.keys[0] in row for row in rows)
  ]
  for name, (mean, error, seeds) in full.items():
    values = {headline.name: mean, f'{headline.name}_se': error}
    rows.append({'system': name, 'seeds': seeds, **values})
  compared = baseline if any('labels_needed' in row for row in rows) else None
  value = compared, curves.labels_of_all(runs), metrics.spelled(headline.name)
  words = Explanation('results', value)
  return [Table(shown, rows, f'{experiment.slug}_results'), words]


def _result_columns(headline, rows, baseline):
  name, spelled = headline.name, metrics.spelled(headline.name)
  best, largest = _best(headline, rows, name), _best(headline, rows, 'area')
  return (
    Column('system', 'system'),
    Column('seeds', 'seeds'),
    Column('labels', 'labels', columns.count),
    Column(
      columns.title(headline),
      (name, f'{name}_se'),
      columns.mean(headline),
      bold=lambda row: row is best,
    ),
    Column(
      metrics.with_unit('area', headline),
      _with_ends('area'),
      columns.interval(headline),
      bold=lambda row: row is largest,
    ),
    Column(
      f'area minus {baseline}',
      _with_ends(f'area_minus_{baseline}'),
      columns.interval(headline, signed=True),
    ),
    Column(
      f"labels to {baseline}'s last {spelled}",
      _with_ends('labels_needed'),
      columns.labels_needed,
    ),
  )


def _best(headline, rows, key):
  """Returns the row of the method with the best value, the first of ties."""
  having = [
    row for row in rows if key in row and not naming.cheats(row['system'])
  ]
  choose = max if headline.larger_is_better else min
  return choose(having, key=lambda row: row[key], default=None)


def _with_ends(name):
  return name, f'{name}_low', f'{name}_high'


def _result_rows(headline, runs, baseline):
  areas = intervals.areas(runs)
  less = intervals.areas(runs, baseline=baseline)
  return [
    _result(system, headline, runs, areas, less, baseline) for system in runs
  ]


def _result(system, headline, runs, areas, less, baseline):
  by_seed = runs[system]
  last = max(max(run) for run in by_seed.values())
  final = curves.mean_of_last(by_seed)
  row = {
    'system': system,
    'seeds': len(by_seed),
    'labels': last,
    headline.name: final.mean,
    f'{headline.name}_se': final.standard_error,
  }
  needed = None
  if set(by_seed) & set(runs.get(baseline, {})):
    needed = intervals.labels_to_reach(
      by_seed,
      runs[baseline],
      larger_is_better=headline.larger_is_better,
    )
  for name, found in (
    ('area', areas.get(system)),
    (f'area_minus_{baseline}', less.get(system)),
    ('labels_needed', needed),
  ):
    if found is not None:
      row |= dict(zip(_with_ends(name), found, strict=True))
  return row


def _tests(experiment, runs, baseline):
  headline = experiment.task.headline
  name = metrics.spelled(headline.name)
  families = {name: tests.of_last_values(runs, baseline)}
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
    text = f'No run shares a seed and a number of labels with {baseline}.'
    return [Text(text, 'warning')]
  shown = (
    Column('system', 'system'),
    Column('score', 'of'),
    Column('pairs', 'pairs'),
    difference_column(f'minus {baseline}', headline),
    *p_value_columns('t', 't_p'),
    *p_value_columns('Wilcoxon', 'wilcoxon_p'),
  )
  table = Table(shown, rows, f'{experiment.slug}_tests')
  return [table, Explanation('tests', (name, headline.unit))]


def difference_column(title: str, metric: Metric) -> Column:
  """Returns the column of a mean difference and its standard error."""
  return Column(
    title,
    ('difference', 'standard_error'),
    columns.mean(metric, signed=True),
  )


def p_value_columns(test: str, key: str) -> tuple[Column, Column]:
  """Returns the columns of a test's p values, uncorrected and corrected."""
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
