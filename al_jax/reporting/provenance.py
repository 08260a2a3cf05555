"""Provenance of the results: dates, machine, versions, commands, configs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from al_jax.analysis import tables
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Listing, Section, Table, Text
from al_jax.storage import manifest


def what_was_run(
  experiments: Sequence[ExperimentResults],
  *,
  command: str,
  about_grid: Mapping[str, Any],
) -> Section:
  """Builds the facts of the runs, the commands, and a list of experiments.

  Args:
    experiments: the results.
    command: command that writes this report.
    about_grid: manifest of the grid itself, empty if there is none.

  Returns:
    A section.
  """
  abouts = [each.about for each in experiments if each.about]
  abouts = [*abouts, about_grid] if about_grid else abouts
  with_command = [about_grid] if 'command' in about_grid else abouts
  commands = _different(about.get('command') for about in with_command)
  parts = tables.parts_notes(row for each in experiments for row in each.rows)
  shown = (
    Column('experiment', 'setting'),
    Column('systems', 'systems'),
    Column('seeds', 'seeds'),
    Column('records', 'records'),
    Column('labels', 'labels'),
    Column('state', 'state', _short_state),
  )
  rows = [_overview(experiment) for experiment in experiments]
  return Section(
    'Runs',
    [
      Listing(_facts(abouts)),
      *(Text(sentence, 'note') for sentence in parts),
      Table(shown, rows, 'settings'),
      Text('Commands', 'heading'),
      Text('\n'.join([*commands, command]), 'code'),
    ],
  )


def configurations(
  experiments: Sequence[ExperimentResults],
) -> list[Section]:
  """Shows the first configuration, and the differences of the others."""
  configured = [each for each in experiments if 'config' in each.about]
  if not configured:
    return []
  first, *others = configured
  parts = [Text(first.title, 'heading')] if others else []
  config = first.about['config']
  parts.append(Text(json.dumps(config, indent=1), 'code'))
  for experiment in others:
    changes = manifest.config_difference(config, experiment.about['config'])
    parts.append(Text(f'{experiment.title}: differences', 'heading'))
    parts.append(Text('\n'.join(changes) or 'None.', 'code'))
  return [Section('Configuration', parts)]


def _overview(experiment: ExperimentResults) -> dict[str, Any]:
  labels = sorted({row.labels for row in experiment.rows})
  return {
    'setting': experiment.title,
    **experiment.axes,
    'systems': len(experiment.systems),
    'seeds': len({row.seed for row in experiment.rows}),
    'records': len(experiment.rows),
    'labels': f'{labels[0]:,} to {labels[-1]:,}' if labels else '-',
    'state': ' '.join(experiment.missing) or 'complete',
  }


def _short_state(state: str) -> str:
  return state if state == 'complete' else 'not complete'


def _facts(abouts: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
  """Returns names and values; several values if experiments differ."""
  started, finished = (
    _different(about.get(name) for about in abouts)
    for name in ('started', 'finished')
  )
  facts = {
    'started': min(started, default=''),
    'finished': max(finished, default=''),
  }
  for name, value_of in (
    ('device', _device),
    ('platform', lambda about: about.get('platform')),
    ('commit', _commit),
    ('versions', _versions),
    ('data', _data),
  ):
    facts[name] = '; '.join(_different(map(value_of, abouts)))
  return [(name, value) for name, value in facts.items() if value]


def _different(values) -> list[str]:
  return list(dict.fromkeys(value for value in values if value))


def _device(about):
  device = about.get('device')
  return device and f'{device["count"]} {device["kind"]}'


def _commit(about):
  git = about.get('git')
  return git and git['commit'] + (', with changes' if git['dirty'] else '')


def _versions(about):
  versions = about.get('versions', {})
  return ', '.join(f'{name} {number}' for name, number in versions.items())


def _data(about):
  data = about.get('data')
  return data and (
    f'{data["name"]} ({data["train"]:,} to train on, {data["test"]:,} to test '
    f'on, {manifest.task_of(about).describe()}, {data["fingerprint"][:12]})'
  )
