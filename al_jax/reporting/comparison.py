"""Compares systems over the experiments of a grid: which beats which."""

import functools
from collections.abc import Sequence

import numpy as np

from al_jax import plotting
from al_jax.analysis import comparison, curves, intervals
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults, axis_names, by_headline
from al_jax.reporting.page import (
  Explanation,
  Part,
  Picture,
  Section,
  Table,
  Text,
  slug,
)
from al_jax.storage import metrics

# With more systems a matrix is too wide for a phone.
_MANY_SYSTEMS = 6


def who_beats_whom(
  experiments: Sequence[ExperimentResults], baseline: str
) -> list[Section]:
  """Builds penalty matrices, distributions of errors, and ranks.

  Experiments that lack the baseline are left out. So are incomplete ones,
  because their checkpoints would change when they are complete.

  Args:
    experiments: the results.
    baseline: the system that sets the checkpoints.

  Returns:
    A list with the section; empty for a single experiment. Experiments with
    different headlines are not compared.
  """
  if len(experiments) < 2:
    return []
  counted, found = _countable(experiments, baseline)
  headlines = by_headline(counted)
  if len(headlines) > 1:
    groups = '; '.join(
      f'{metrics.spelled(metric.name)} ({", ".join(each.title for each in of)})'
      for metric, of in headlines.items()
    )
    text = f'Experiments with different headlines are not compared: {groups}.'
    found.append(Text(text, 'warning'))
  elif counted:
    found += _over(counted, baseline)
  return [Section('Who beats whom', found)]


def _countable(experiments, baseline):
  """Returns the experiments to compare, and a warning about the others."""
  counted, left_out = [], []
  for experiment in experiments:
    runs = experiment.methods
    if experiment.missing:
      left_out.append(f'{experiment.title} (not complete)')
    elif experiment.metric is None:
      left_out.append(f'{experiment.title} (nothing measured)')
    elif baseline not in runs:
      left_out.append(f'{experiment.title} (no {baseline})')
    elif len(runs) < 2:
      left_out.append(f'{experiment.title} (one system)')
    else:
      counted.append(experiment)
  text = f'Left out here: {"; ".join(left_out)}.'
  return counted, [Text(text, 'warning')] if left_out else []


def _over(counted, baseline) -> list[Part]:
  compared = [experiment.compared() for experiment in counted]
  order = counted[0].order
  common = comparison.common_systems(compared)
  dropped = [
    name
    for name in order
    if name not in common and any(name in of.runs for of in compared)
  ]
  found = []
  if dropped:
    text = (
      'Not in every experiment, so left out of comparisons over all of them: '
      f'{", ".join(dropped)}.'
    )
    found.append(Text(text, 'note'))
  if not any(len(of) > 1 for each in compared for of in each.runs.values()):
    text = 'Each system has one seed: there is nothing to test.'
    found.append(Text(text, 'warning'))
  groups = _groups(compared, axis_names(counted))
  headline = counted[0].task.headline
  found += _matrices(groups, baseline, headline)
  # Normalised errors need a known best value.
  if not headline.larger_is_better or headline.unit == '%':
    found += _errors(compared, baseline, order)
  return found + (_ranks(groups, headline) if len(counted) > 1 else [])


def _groups(compared, axes):
  """Groups experiments by name: all of them, and one group per axis value."""
  found = {'all': list(compared)}
  for axis in axes:
    for value, of in comparison.by_axis(compared, axis).items():
      found[f'{axis} {value}'] = of
  return found


def _matrices(groups, baseline, headline) -> list[Part]:
  matrices = {
    name: comparison.penalty_matrix(of, baseline=baseline)
    for name, of in groups.items()
  }
  overall = matrices['all']
  by_mean = np.argsort(overall.column_mean, kind='stable')
  order = [overall.systems[i] for i in by_mean]
  found = [
    Text('Pairwise penalty matrix', 'heading'),
    Explanation(
      'matrix', (metrics.spelled(headline.name), headline.larger_is_better)
    ),
    _by_group(
      'column mean',
      {name: _column_means(of) for name, of in matrices.items()},
      {name: f'{name} ({of.cells})' for name, of in matrices.items()},
      order,
      '{:.3f}',
      'penalty_column_means',
    ),
  ]
  for name, matrix in matrices.items():
    plural = '' if matrix.cells == 1 else 's'
    title = f'{name}: {matrix.cells} experiment{plural}'
    draw = functools.partial(
      plotting.penalty_matrix,
      matrix,
      order=list(dict.fromkeys([*order, *matrix.systems])),
      title=title,
    )
    found.append(
      Picture(
        f'penalty_{slug(name)}',
        draw,
        _matrix_rows(matrix),
        f'Penalty matrix, {title}.',
        is_large=len(matrix.systems) > _MANY_SYSTEMS,
      )
    )
  return found


def _matrix_rows(found):
  rows = [
    {'system': system, **dict(zip(found.systems, row, strict=True))}
    for system, row in zip(found.systems, found.matrix.tolist(), strict=True)
  ]
  return [*rows, {'system': 'column mean', **_column_means(found)}]


def _column_means(found):
  return dict(zip(found.systems, found.column_mean.tolist(), strict=True))


def _by_group(title, values, titles, order, form, name) -> Table:
  """Makes a table of values, a row per system and a column per group.

  The lowest value of each column is bold.
  """
  lowest = {group: min(of.values()) + 1e-12 for group, of in values.items()}
  shown = [
    Column(
      titles[group],
      group,
      form.format,
      bold=lambda row, group=group: row[group] <= lowest[group],
    )
    for group in values
  ]
  systems = [*order, *(system for of in values.values() for system in of)]
  rows = [
    {'system': system}
    | {group: of[system] for group, of in values.items() if system in of}
    for system in dict.fromkeys(systems)
  ]
  return Table([Column(title, 'system'), *shown], rows, name)


def _errors(compared, baseline, order) -> list[Part]:
  found = comparison.normalised_errors(compared, baseline=baseline)
  if not found:
    return []
  rows = [
    {'system': system, 'normalised_error': value, 'cumulative': share}
    for system, of in found.items()
    for value, share in zip(
      of.values.tolist(), of.cumulative.tolist(), strict=True
    )
  ]
  draw = functools.partial(plotting.error_distributions, found, systems=order)
  return [
    Text('Normalised errors', 'heading'),
    Explanation('errors', baseline),
    Picture(
      'normalised_errors', draw, rows, 'Distribution of normalised errors.'
    ),
  ]


def _ranks(groups, headline) -> list[Part]:
  found = [Text('Ranks', 'heading'), Explanation('ranks')]
  for title, score in (
    ('area under the curve', intervals.areas_by_seed),
    (f'last {metrics.spelled(headline.name)}', curves.last_values),
  ):
    ranks = {}
    for name, of in groups.items():
      scores = [_means(score(each.runs)) for each in of]
      ranks[f'{name} ({len(of)})'] = {
        system: rank.mean
        for system, rank in comparison.mean_ranks(
          scores, larger_is_better=headline.larger_is_better
        ).items()
      }
    titles = dict(zip(ranks, ranks, strict=True))
    name = f'ranks_{slug(title)}'
    found.append(_by_group(title, ranks, titles, (), '{:.2f}', name))
  return found


def _means(by_seed):
  return {
    system: float(np.mean(list(of.values()))) for system, of in by_seed.items()
  }
