"""Tables over all experiments: differences, validation, pseudo-labels."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from al_jax.analysis import curves, intervals, tests
from al_jax.reporting import columns
from al_jax.reporting import results as report_results
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults, by_headline
from al_jax.reporting.page import Explanation, Part, Section, Table, slug
from al_jax.storage import metrics
from al_jax.tasks import Metric

# Shown beside the headline, if the task has it.
_LOSS = 'log_loss'
_RIGHT = Metric('train.pseudo_label_accuracy', '%', True)
_PSEUDO_LABELS = {
  'pseudo_labels': 'train.pseudo_labels',
  'right': _RIGHT.name,
}


def between(experiments: Sequence[ExperimentResults]) -> list[Section]:
  """Builds a table of differences between pairs of experiments.

  A pair is compared if it differs along exactly one axis and shares the data
  source, the headline and the numbers of labels.

  Args:
    experiments: the results.

  Returns:
    A list with the section; empty if there is no such pair.
  """
  parts = []
  headlines = by_headline(experiments)
  for metric, of in headlines.items():
    rows = [
      row
      for one, other in itertools.combinations(of, 2)
      if _comparable(one, other)
      for row in _differences(one, other)
    ]
    if rows:
      name = _named('between_settings', metric, headlines)
      parts += _table_between(metric, rows, name)
  return [Section('Between experiments', parts)] if parts else []


def _named(name: str, metric: Metric, headlines: Collection[Metric]) -> str:
  """Appends the headline to a table's name if there are several headlines."""
  return f'{name}_{slug(metric.name)}' if len(headlines) > 1 else name


def _table_between(metric, rows, name) -> list[Part]:
  shown = (
    Column('experiment', 'setting'),
    Column('minus', 'minus'),
    Column('system', 'system'),
    Column('pairs', 'pairs'),
    report_results.difference_column('area', metric),
    *report_results.p_value_columns('t', 't_p'),
  )
  return [Explanation('between', metric.unit), Table(shown, rows, name)]


def _comparable(one: ExperimentResults, other: ExperimentResults) -> bool:
  differing = [
    axis for axis in one.axes if one.axes[axis] != other.axes.get(axis)
  ]
  labels = [
    curves.labels_of_all(experiment.runs) for experiment in (one, other)
  ]
  return (
    len(differing) == 1
    and _source(one) == _source(other)
    and bool(labels[0])
    and labels[0] == labels[1]
  )


def _source(experiment: ExperimentResults) -> Any:
  data = experiment.about.get('config', {}).get('data')
  return data.get('source') if isinstance(data, dict) else data


def _differences(
  one: ExperimentResults, other: ExperimentResults
) -> Iterator[dict[str, Any]]:
  """Yields a row for each system with a seed that both experiments share."""
  before, after = (
    intervals.areas_by_seed(experiment.runs) for experiment in (one, other)
  )
  found = {
    system: curves.paired_difference(after[system], before[system])
    for system in before
    if system in after and set(before[system]) & set(after[system])
  }
  corrected = tests.holm([of.p_value for of in found.values()])
  for (system, of), holm in zip(found.items(), corrected, strict=True):
    yield {
      'setting': other.title,
      'minus': one.title,
      'system': system,
      'pairs': of.n,
      'difference': of.mean,
      'standard_error': of.standard_error,
      't_p': of.p_value,
      't_p_holm': float(holm),
    }


def validation(experiments: Sequence[ExperimentResults]) -> list[Section]:
  """Builds the table of validation metrics of experiments with a test split."""
  tables = []
  headlines = by_headline(each for each in experiments if each.has_test)
  for metric, of in headlines.items():
    task = of[0].task
    losses = [each for each in task.metrics if each.name == _LOSS]
    shown = {each.name: each for each in (task.headline, *losses)}
    tables += _table(
      of,
      {
        name: metrics.column(each, 'validation').name
        for name, each in shown.items()
      },
      [_mean(columns.title(each), name, each) for name, each in shown.items()],
      _named('validation', metric, headlines),
    )
  return _section('On the validation split', 'validation', tables)


def pseudo_labels(experiments: Sequence[ExperimentResults]) -> list[Section]:
  """Builds the table of pseudo-labels, unless no learner assigns any."""
  tables = _table(
    experiments,
    _PSEUDO_LABELS,
    [
      Column('pseudo-labels', 'pseudo_labels', columns.count),
      _mean('right %', 'right', _RIGHT),
    ],
    'pseudo_labels',
  )
  return _section('Pseudo-labels', 'pseudo_labels', tables)


def _section(title, explanation, tables) -> list[Section]:
  if not tables:
    return []
  return [Section(title, [Explanation(explanation), *tables])]


def _mean(title, key, metric) -> Column:
  return Column(title, (key, f'{key}_se'), columns.mean(metric))


def _table(experiments, measured, shown, name) -> list[Table]:
  """Makes a table of some columns of the records.

  Args:
    experiments: the results.
    measured: columns of the records, by key of a row.
    shown: the columns of the table after the number of labels.
    name: stem of the CSV.

  Returns:
    A list with the table; empty if no record has the first column.
  """
  rows = [
    {'setting': experiment.title, 'system': system, **row}
    for experiment in experiments
    for system in experiment.systems
    for row in _first_and_last(experiment, system, measured)
  ]
  if not rows:
    return []
  shown = [
    Column('experiment', 'setting'),
    Column('system', 'system'),
    Column('seeds', 'seeds'),
    Column('labels', 'labels', columns.count),
    *shown,
  ]
  return [Table(shown, rows, name)]


def _first_and_last(
  experiment: ExperimentResults, system: str, measured: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
  """Yields means at the first and last number of labels of all seeds."""
  # Records with the first column have all of them.
  first = next(iter(measured.values()))
  rows = [row for row in experiment.having(first) if row.system == system]
  if not rows:
    return
  runs = {
    name: curves.runs(rows, column=column)[system]
    for name, column in measured.items()
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
