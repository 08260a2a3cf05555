"""Tables over all experiments: differences, validation, pseudo-labels."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from al_jax.analysis import curves, intervals, tests
from al_jax.reporting import columns
from al_jax.reporting import results as report_results
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Explanation, Section, Table

_VALIDATION = {
  'accuracy': 'validation.accuracy',
  'log_loss': 'validation.log_loss',
}
_PSEUDO_LABELS = {
  'pseudo_labels': 'train.pseudo_labels',
  'right': 'train.pseudo_label_accuracy',
}


def between(experiments: Sequence[ExperimentResults]) -> list[Section]:
  """Builds a table of differences between pairs of experiments.

  A pair is compared if it differs along one axis, has the same source of data,
  and the same numbers of labels.

  Args:
    experiments: the results.

  Returns:
    A section; none without such a pair.
  """
  rows = [
    row
    for one, other in itertools.combinations(experiments, 2)
    if _comparable(one, other)
    for row in _differences(one, other)
  ]
  if not rows:
    return []
  shown = (
    Column('experiment', 'setting'),
    Column('minus', 'minus'),
    Column('system', 'system'),
    Column('pairs', 'pairs'),
    report_results.difference_column('area'),
    *report_results.p_value_columns('t', 't_p'),
  )
  table = Table(shown, rows, 'between_settings')
  return [Section('Between experiments', [Explanation('between'), table])]


def _comparable(one: ExperimentResults, other: ExperimentResults) -> bool:
  differing = [
    axis for axis in one.axes if one.axes[axis] != other.axes.get(axis)
  ]
  labels = [
    curves.labels_of_all(curves.runs(experiment.rows))
    for experiment in (one, other)
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
  """Yields a row per system that both have with a common seed."""
  before, after = (
    intervals.areas_by_seed(curves.runs(experiment.rows))
    for experiment in (one, other)
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
  """Builds the table of the validation split; none if no data set has one."""
  return _section(
    'On the validation split',
    experiments,
    _VALIDATION,
    [
      _mean('accuracy %', 'accuracy', _VALIDATION),
      _mean('log loss', 'log_loss', _VALIDATION),
    ],
    'validation',
  )


def pseudo_labels(experiments: Sequence[ExperimentResults]) -> list[Section]:
  """Builds the table of pseudo-labels; none if no learner gives any."""
  return _section(
    'Pseudo-labels',
    experiments,
    _PSEUDO_LABELS,
    [
      Column('pseudo-labels', 'pseudo_labels', columns.count),
      _mean('right %', 'right', _PSEUDO_LABELS),
    ],
    'pseudo_labels',
  )


def _mean(title, key, metrics) -> Column:
  return Column(title, (key, f'{key}_se'), columns.mean(metrics[key]))


def _section(title, experiments, metrics, shown, name):
  rows = [
    {'setting': experiment.title, 'system': system, **row}
    for experiment in experiments
    for system in experiment.systems
    for row in _first_and_last(experiment, system, metrics)
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
  return [Section(title, [Explanation(name), Table(shown, rows, name)])]


def _first_and_last(
  experiment: ExperimentResults, system: str, metrics: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
  """Yields metrics at the first and the last labels that all seeds have."""
  # Records that have the first metric have all of them.
  first = next(iter(metrics.values()))
  rows = [row for row in experiment.having(first) if row.system == system]
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
