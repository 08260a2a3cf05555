"""Over settings: who beats whom, how errors compare, who ranks where."""

import functools
from collections.abc import Sequence

import numpy as np

from al_jax import plotting
from al_jax.analysis import comparison, curves, intervals
from al_jax.reporting import results as report_results
from al_jax.reporting.data import Setting, axis_names
from al_jax.reporting.page import Page

# A matrix of more is too wide for a phone.
_MANY_SYSTEMS = 6


def write(
  page: Page,
  settings: Sequence[Setting],
  *,
  baseline: str,
  order: Sequence[str],
) -> None:
  """Penalty matrices, distributions of errors, and ranks.

  Settings that are not complete, or lack the baseline, are left out: their
  checkpoints would be others once they are complete.

  Args:
    page: to write to.
    settings: of the grid, or the single one.
    baseline: the system that sets the checkpoints.
    order: all systems of the report, for their colours.
  """
  page.section('Over settings' if len(settings) > 1 else 'Who beats whom')
  counted = _countable(page, settings, baseline)
  if not counted:
    page.say('No setting is complete yet.', kind='warning')
    return
  compared = [setting.compared() for setting in counted]
  common = comparison.common_systems(compared)
  dropped = [
    name
    for name in order
    if name not in common and any(name in of.runs for of in compared)
  ]
  if dropped:
    page.say(
      f'Not in every setting, so left out of what is over all of them: '
      f'{", ".join(dropped)}.',
      kind='note',
    )
  axes = axis_names(counted)
  if not any(len(of) > 1 for each in compared for of in each.runs.values()):
    page.say(
      'One seed each: there is nothing to test, so nobody beats anybody.',
      kind='warning',
    )
  _matrices(page, compared, axes, baseline)
  _errors(page, compared, baseline, order)
  if len(counted) > 1:
    _ranks(page, compared, axes)


def _countable(page, settings, baseline):
  """The settings that comparisons are made over; the others are named."""
  counted, left_out = [], []
  for setting in settings:
    runs = curves.runs(setting.rows)
    if setting.missing:
      left_out.append(f'{setting.title} (not complete)')
    elif baseline not in runs:
      left_out.append(f'{setting.title} (no {baseline})')
    elif len(runs) < 2:
      left_out.append(f'{setting.title} (one system)')
    else:
      counted.append(setting)
  if left_out:
    page.say(f'Left out here: {"; ".join(left_out)}.', kind='warning')
  return counted


def groups(
  compared: Sequence[comparison.CellScores], axes: Sequence[str]
) -> list[tuple[str, list[comparison.CellScores]]]:
  """All settings, then those with each value of each axis, by a name."""
  found = [('all', list(compared))]
  for axis in axes:
    for value, of in comparison.by_axis(compared, axis).items():
      found.append((f'{axis} {value}', of))
  return found


def _matrices(page, compared, axes, baseline):
  page.topic('Pairwise penalty matrix')
  page.say(
    'Row i, column j: how often i beats j. At each checkpoint (the first '
    'labels, then M + b, M + 2b, M + 4b, ... while random is below 99% of its '
    'last accuracy) a two-sided paired t-test at 5% over the first five seeds, '
    'or as many as there are, decides; a setting counts 1 in all, shared by '
    'its checkpoints. The mean of a column, diagonal included, says how often '
    'that system is beaten: lower is better.'
  )
  overall = comparison.penalty_matrix(compared, baseline=baseline)
  by_mean = np.argsort(overall.column_mean, kind='stable')
  order = [overall.systems[i] for i in by_mean]
  found = {
    name: comparison.penalty_matrix(settings, baseline=baseline)
    for name, settings in groups(compared, axes)
  }
  _column_means(page, found, order)
  for name, matrix in found.items():
    extra = [system for system in matrix.systems if system not in order]
    title = _with_count(name, matrix.cells)
    page.picture(
      f'penalty_{_slug(name)}',
      functools.partial(
        plotting.penalty_matrix,
        matrix,
        order=[*order, *extra],
        title=title,
      ),
      _matrix_rows(matrix),
      caption=f'Penalty matrix, {title}.',
      large=len(matrix.systems) > _MANY_SYSTEMS,
    )


def _matrix_rows(found):
  rows = [
    {'system': system, **dict(zip(found.systems, row, strict=True))}
    for system, row in zip(found.systems, found.matrix.tolist(), strict=True)
  ]
  means = dict(zip(found.systems, found.column_mean.tolist(), strict=True))
  return [*rows, {'system': 'column mean', **means}]


def _column_means(page, summary, order):
  """How often each system is beaten, by group; the lowest stand out."""
  means = {
    name: dict(zip(found.systems, found.column_mean.tolist(), strict=True))
    for name, found in summary.items()
  }
  systems = list(
    dict.fromkeys([*order, *(s for of in means.values() for s in of)])
  )
  rows, bold = [], []
  for i, system in enumerate(systems):
    cells = [system]
    for j, of in enumerate(means.values(), start=1):
      cells.append(f'{of[system]:.3f}' if system in of else '-')
      if system in of and of[system] <= min(of.values()) + 1e-12:
        bold.append((i, j))
    rows.append(cells)
  page.table(
    ['column mean', *(f'{name} ({summary[name].cells})' for name in means)],
    rows,
    bold=bold,
    name='penalty_column_means',
    data=[
      {'system': system}
      | {name: of[system] for name, of in means.items() if system in of}
      for system in systems
    ],
  )
  page.say('In parentheses the number of settings.', kind='note')


def _with_count(name, count):
  return f'{name}: 1 setting' if count == 1 else f'{name}: {count} settings'


def _errors(page, compared, baseline, order):
  found = comparison.normalised_errors(compared, baseline=baseline)
  if not found:
    return
  page.topic('Normalised errors')
  page.picture(
    'normalised_errors',
    functools.partial(plotting.error_distributions, found, systems=order),
    [
      {'system': system, 'normalised_error': value, 'cumulative': share}
      for system, of in found.items()
      for value, share in zip(
        of.values.tolist(), of.cumulative.tolist(), strict=True
      )
    ],
    caption=(
      f'Mean error over that of {baseline}, at the checkpoints of the matrix: '
      'the share of checkpoints, each setting weighing the same, at or below '
      'a ratio. Higher and further left is better.'
    ),
  )


def _ranks(page, compared, axes):
  page.topic('Ranks')
  page.say(
    'The place of each system by its mean over seeds, 1 is the best, averaged '
    'over settings; ties share their mean rank.'
  )
  for what, score in (
    ('area under the curve', intervals.areas_by_seed),
    ('last accuracy', report_results.final_values),
  ):
    by_group = {
      f'{name} ({len(settings)})': comparison.mean_ranks(
        [_means(score(setting.runs)) for setting in settings]
      )
      for name, settings in groups(compared, axes)
    }
    _rank_table(page, what, by_group)


def _means(by_seed):
  return {
    system: float(np.mean(list(of.values()))) for system, of in by_seed.items()
  }


def _rank_table(page, what, by_group):
  systems = list(dict.fromkeys(s for of in by_group.values() for s in of))
  bold = [
    (systems.index(system), j)
    for j, of in enumerate(by_group.values(), start=1)
    for system in of
    if of[system].mean <= min(each.mean for each in of.values())
  ]
  page.table(
    [what, *by_group],
    [
      [
        system,
        *(
          f'{of[system].mean:.2f}' if system in of else '-'
          for of in by_group.values()
        ),
      ]
      for system in systems
    ],
    bold=bold,
    name=f'ranks_{_slug(what)}',
    data=[
      {'system': system}
      | {n: of[system].mean for n, of in by_group.items() if system in of}
      for system in systems
    ],
  )


def _slug(name):
  return ''.join(letter if letter.isalnum() else '_' for letter in name)
