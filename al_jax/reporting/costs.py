"""Time of one experiment: its parts, its benefit, and the cost of answers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves
from al_jax.reporting import columns
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Explanation, Part, Table, picture_of, slug
from al_jax.storage import metrics

# Parts of a round in the records; rounds without queries lack the last two.
_PARTS = ('fit', 'evaluate', 'measure', 'select')
_CHOOSING = ('measure', 'select')
_LEDGER = (
  Column('system', 'system'),
  Column('seeds', 'seeds'),
  Column('labels', 'labels', columns.mean_count),
  Column('answered by people', 'person', columns.mean_count),
  Column('of these without a label', 'unanswered', columns.mean_count),
  Column('answered by the model', 'machine', columns.mean_count),
  Column('of these right', 'machine_share', '{:.1%}'.format),
  Column('pseudo-labels', 'pseudo_labels', columns.mean_count),
  Column('of these right', 'right', '{:.1%}'.format),
  Column('price', 'price', '{:,.2f}'.format),
  Column('seconds', 'seconds', columns.seconds),
)


def parts(experiment: ExperimentResults) -> dict[str, list[Part]]:
  """Builds the parts on time and on costs, by the title of their section."""
  rows = timings(experiment)
  if not rows:
    return _ledger(experiment)
  picture = picture_of(
    experiment,
    'seconds',
    plotting.stacked_bars,
    {row['system']: {part: row[part] for part in _PARTS} for row in rows},
    rows=rows,
    caption='Seconds of a round, by part.',
    x_label='seconds per round, median',
  )
  shown = (
    Column('system', 'system'),
    *(Column(part, part, columns.seconds) for part in (*_PARTS, 'other')),
    Column('choose (max)', 'choose_max', columns.seconds),
    Column('run, total', 'run_total', columns.seconds),
  )
  table = Table(shown, rows, picture.name)
  found = [picture, table, Explanation('time')]
  found += _against_headline(experiment, rows)
  return {'Time': found, **_ledger(experiment)}


def _ledger(experiment) -> dict[str, list[Part]]:
  """Shows who answered at which cost; empty if records have no ledger."""
  rows = ledgers(experiment)
  if not rows:
    return {}
  table = Table(ledger_columns(rows), rows, f'{experiment.slug}_ledger')
  value = _named(rows), unit_prices(experiment.about.get('config', {}))
  return {'Ledger': [table, Explanation('ledger', value)]}


def unit_prices(config: Mapping[str, Any]) -> str:
  """Spells out the prices of answers: `a person 0.01 and 2 seconds`.

  Args:
    config: config of the run. Without prices the text is empty.
  """
  prices = config.get('prices') or {}
  found = []
  for who, words in (('person', 'a person'), ('machine', 'the model')):
    costs = []
    if who in prices:
      costs.append(f'{prices[who]:,g}')
    if f'{who}_seconds' in prices:
      costs.append(f'{prices[f"{who}_seconds"]:,g} seconds')
    if costs:
      found.append(f'{words} {" and ".join(costs)}')
  return ', '.join(found)


def ledger_columns(rows: Sequence[Mapping[str, object]]) -> tuple[Column, ...]:
  """Returns the columns of a ledger that have values.

  Args:
    rows: rows from `ledger_row`.
  """
  there = _named(rows)
  return tuple(column for column in _LEDGER if there.intersection(column.keys))


def _named(rows):
  """Returns the keys of the rows, without answers that never occur."""
  return {
    name
    for row in rows
    for name, value in row.items()
    if value or name not in ('machine', 'unanswered')
  }


def ledgers(experiment: ExperimentResults) -> list[dict[str, object]]:
  """Summarises who answered each system's queries, and at which cost.

  Args:
    experiment: the results.

  Returns:
    A row per system whose records have a ledger: means over seeds, each at its
    last record. `seeds` is the number of seeds, `labels` the mean number of
    labels, `right` the share of correct pseudo-labels in the last round, and
    `machine_share` the share of correct answers of the model.
  """
  found = []
  for system in experiment.systems:
    rows = [row for row in experiment.rows if row.system == system]
    last = {row.seed: row for row in rows if row.ledger}
    if last:
      of_system = ledger_row(system, [row.ledger for row in last.values()])
      labels = float(np.mean([row.labels for row in last.values()]))
      found.append({**of_system, 'seeds': len(last), 'labels': labels})
  return found


def ledger_row(
  system: str, last: Sequence[Mapping[str, float]]
) -> dict[str, object]:
  """Returns the row of a system in a ledger.

  Args:
    system: name of the system.
    last: the newest ledger of each seed, at least one.

  Returns:
    Means over seeds, see `ledgers`.
  """
  row = {'system': system}
  for name in sorted(set.intersection(*map(set, last))):
    row[name] = float(np.mean([of[name] for of in last]))
  if row.get('machine') and 'machine_right' in row:
    row['machine_share'] = row['machine_right'] / row['machine']
  if row.get('pseudo_labels') and 'pseudo_labels_right' in row:
    row['right'] = row['pseudo_labels_right'] / row['pseudo_labels']
  return row


def _against_headline(experiment, rows) -> list[Part]:
  """Draws the final headline against the time that choosing took."""
  name = experiment.task.headline.name
  names = ('system', 'choose', name, f'{name}_standard_error')
  points = [
    {name: row[name] for name in names}
    for row in rows
    if math.isfinite(row['choose']) and name in row
  ]
  if not points:
    return []
  return [
    picture_of(
      experiment,
      f'time_{slug(name)}',
      plotting.time_against_score,
      {system: tuple(rest) for system, *rest in map(dict.values, points)},
      rows=points,
      caption='Seconds to measure and select, median per round, against the '
      f'{metrics.spelled(name)} at the end, ± one standard error.',
      metric=experiment.metric,
      systems=experiment.order,
    )
  ]


def timings(experiment: ExperimentResults) -> list[dict[str, object]]:
  """Summarises the time that each system spent in the parts of a round.

  Args:
    experiment: the results.

  Returns:
    A row per system, in seconds: medians of the parts of a round and of
    `choose`, the sum of measure and select; NaN if the system made no query.
  """
  headline = experiment.task.headline.name
  found = []
  for system in experiment.systems:
    rows = [row for row in experiment.rows if row.system == system]
    querying = [row for row in rows if row.picks]
    warm = _without_compilation(rows)
    row = {'system': system}
    for part in (*_PARTS, 'other'):
      of = _without_compilation(querying) if part in _CHOOSING else warm
      row[part] = _median(getattr(each, f'seconds_{part}') for each in of)
    row['choose'] = _median(map(_choosing, _without_compilation(querying)))
    row['choose_max'] = max(map(_choosing, querying), default=math.nan)
    seeds = {each.seed for each in rows}
    row['run_total'] = sum(each.seconds for each in rows) / len(seeds)
    if system in experiment.runs:
      final = curves.mean_of_last(experiment.runs[system])
      row[headline] = final.mean
      row[f'{headline}_standard_error'] = final.standard_error
    found.append(row)
  return found


def _choosing(row) -> float:
  return row.seconds_measure + row.seconds_select


def _without_compilation(rows):
  """Drops the first round, which includes compilation, unless it is alone."""
  first = min(rows, key=lambda row: (row.round, row.seed), default=None)
  return [row for row in rows if row is not first] or rows


def _median(values) -> float:
  values = list(values)
  return float(np.median(values)) if values else math.nan
