"""Between settings: what one of them gives, all else being the same."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from al_jax.analysis import curves, intervals, tests
from al_jax.reporting import cells as report_cells
from al_jax.reporting import results as report_results
from al_jax.reporting.data import Setting
from al_jax.reporting.page import Page


def write(page: Page, settings: Sequence[Setting]) -> None:
  """A table of differences; nothing where no two settings can be compared.

  Two settings can be if they differ along one axis, are of the same source of
  data, and have the same numbers of labels.

  Args:
    page: to write to.
    settings: of the grid, or the single one.
  """
  data = [
    row
    for one, other in itertools.combinations(settings, 2)
    if _comparable(one, other)
    for row in _differences(one, other)
  ]
  if not data:
    return
  page.section('Between settings')
  page.say(
    'The area of a system in one setting, minus its area in another that '
    'differs along one axis: paired by seed, in percentage points. Holm: '
    'corrected for the systems of a pair of settings.'
  )
  page.table(
    ['setting', 'minus', 'system', 'pairs', 'area', 't: p', 't: Holm'],
    [
      [
        row['setting'],
        row['minus'],
        row['system'],
        str(row['pairs']),
        report_cells.mean(
          row['difference'], row['standard_error'], curves.ACCURACY, signed=True
        ),
        report_cells.p_value(row['t_p']),
        report_cells.p_value(row['t_p_holm']),
      ]
      for row in data
    ],
    name='between_settings',
    data=data,
  )


def _comparable(one: Setting, other: Setting) -> bool:
  differing = [
    axis for axis in one.axes if one.axes[axis] != other.axes.get(axis)
  ]
  labels = [
    report_results.common_labels(curves.runs(setting.rows))
    for setting in (one, other)
  ]
  return (
    len(differing) == 1
    and _source(one) == _source(other)
    and bool(labels[0])
    and labels[0] == labels[1]
  )


def _source(setting: Setting) -> Any:
  data = setting.about.get('config', {}).get('data')
  return data.get('source') if isinstance(data, dict) else data


def _differences(one: Setting, other: Setting) -> Iterator[dict[str, Any]]:
  """A row per system that both have with a common seed."""
  before, after = (
    intervals.areas_by_seed(curves.runs(setting.rows))
    for setting in (one, other)
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
