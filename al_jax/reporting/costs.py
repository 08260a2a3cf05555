"""The time of one experiment: where it went, and what it bought."""

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

# Parts of a round, as in the records; the last two only in rounds that query.
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
  """Builds the parts of the page on time, by the title of their section."""
  rows = timings(experiment)
  if not rows:
    return _ledger(experiment)
  picture = picture_of(
    experiment,
    'seconds',
    plotting.stacked_bars,
    {row['system']: {part: row[part] for part in _PARTS} for row in rows},
    rows=rows,
    caption='Seconds of a round, by what they went to.',
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
  """Who answered, and what that cost; nothing if records have no ledger."""
  rows = ledgers(experiment)
  if not rows:
    return {}
  table = Table(ledger_columns(rows), rows, f'{experiment.slug}_ledger')
  value = _named(rows), unit_prices(experiment.about.get('config', {}))
  return {'Ledger': [table, Explanation('ledger', value)]}


def unit_prices(config: Mapping[str, Any]) -> str:
  """Spells out what answers cost: `a person 0.01 and 2 seconds`.

  Args:
    config: of the run; empty text without prices.
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
  """Returns the columns of a ledger, less those of who never answered.

  Args:
    rows: see `ledger_row`.
  """
  there = _named(rows)
  return tuple(column for column in _LEDGER if there.intersection(column.keys))


def _named(rows):
  """Names of what a ledger shows."""
  return {
    name
    for row in rows
    for name, value in row.items()
    if value or name not in ('machine', 'unanswered')
  }


def ledgers(experiment: ExperimentResults) -> list[dict[str, object]]:
  """Sums up who answered the queries of each system, and what it cost.

  Args:
    experiment: the results.

  Returns:
    A row per system whose records have a ledger, of means over seeds at the
    last record of each; `seeds` counts them, and `labels` is how many labels
    they have there; `right` is the share of the last round's pseudo-labels that
    are right, `machine_share` that of the answers of the model.
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
  """Draws what the time of choosing bought."""
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
  """Measures where the time of each system went.

  Args:
    experiment: the results.

  Returns:
    A row per system, in seconds: medians of the parts of a round and of
    `choose`, which is measure and select together; NaN if it made no query.
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
  """All but the first round, in which programs are compiled, if possible."""
  first = min(rows, key=lambda row: (row.round, row.seed), default=None)
  return [row for row in rows if row is not first] or rows


def _median(values) -> float:
  values = list(values)
  return float(np.median(values)) if values else math.nan
