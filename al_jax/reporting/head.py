"""What was run: when, where, with what, and how to run it again."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from al_jax.reporting.data import Setting
from al_jax.reporting.page import Page
from al_jax.storage import manifest


def write(
  page: Page,
  settings: Sequence[Setting],
  *,
  workdir: str,
  about_grid: Mapping[str, Any],
) -> None:
  """The facts of the runs, the commands, and an overview of the settings.

  Args:
    page: to write to.
    settings: at least one.
    workdir: how it was named.
    about_grid: the manifest of the grid itself, empty if there is none.
  """
  abouts = [setting.about for setting in settings if setting.about]
  page.section('What was run')
  facts = _facts([*abouts, about_grid] if about_grid else abouts)
  if facts:
    page.facts(facts)
  incomplete = [setting for setting in settings if setting.missing]
  if incomplete:
    page.say(
      f'{len(incomplete)} of {len(settings)} settings '
      f'{"is" if len(incomplete) == 1 else "are"} not complete; what there is '
      'of them is shown.',
      kind='warning',
    )
  known = {setting.folder.name for setting in settings}
  not_begun = [
    name for name in about_grid.get('settings', []) if name not in known
  ]
  if not_begun:
    page.say(f'Not begun: {", ".join(not_begun)}.', kind='warning')
  _overview(page, settings)
  page.topic('Commands')
  commands = list(
    dict.fromkeys(
      about['command']
      for about in ([about_grid] if 'command' in about_grid else abouts)
      if 'command' in about
    )
  )
  report = f'python -m experiments.report --workdir={workdir}'
  page.code('\n'.join([*commands, report]))


def write_configurations(page: Page, settings: Sequence[Setting]) -> None:
  """The first configuration, and how the others differ from it."""
  configured = [setting for setting in settings if 'config' in setting.about]
  if not configured:
    return
  first, *others = configured
  page.section('Configuration')
  if others:
    page.topic(first.title)
  page.code(json.dumps(first.about['config'], indent=1))
  for setting in others:
    page.topic(f'{setting.title}: what is otherwise')
    changes = manifest.config_difference(
      first.about['config'], setting.about['config']
    )
    page.code('\n'.join(changes) or 'Nothing.')


def _facts(abouts):
  """Rows of a name and what it was; several where settings differ."""
  rows = [
    ('started', _first_of(about.get('started') for about in abouts)),
    ('finished', _last_of(about.get('finished') for about in abouts)),
    ('device', _different(_device(about) for about in abouts)),
    ('platform', _different(about.get('platform') for about in abouts)),
    ('commit', _different(_commit(about) for about in abouts)),
    ('versions', _different(_versions(about) for about in abouts)),
    ('data', _different(_data(about) for about in abouts)),
  ]
  return [row for row in rows if row[1]]


def _first_of(times):
  return min((time for time in times if time), default='')


def _last_of(times):
  return max((time for time in times if time), default='')


def _different(values):
  return '; '.join(dict.fromkeys(value for value in values if value))


def _device(about):
  device = about.get('device')
  return f'{device["count"]} {device["kind"]}' if device else ''


def _commit(about):
  git = about.get('git')
  if not git:
    return ''
  return git['commit'] + (', with changes' if git['dirty'] else '')


def _versions(about):
  return ', '.join(
    f'{name} {version}' for name, version in about.get('versions', {}).items()
  )


def _data(about):
  data = about.get('data')
  if not data:
    return ''
  return (
    f'{data["name"]} ({data["train"]:,} to train on, {data["test"]:,} to test '
    f'on, {data["num_classes"]} classes, {data["fingerprint"][:12]})'
  )


def _overview(page, settings):
  """A row per setting."""
  data = []
  for setting in settings:
    labels = sorted({row.labels for row in setting.rows})
    data.append(
      {
        'setting': setting.title,
        **setting.axes,
        'systems': len(setting.systems),
        'seeds': len({row.seed for row in setting.rows}),
        'records': len(setting.rows),
        'labels': f'{labels[0]:,} to {labels[-1]:,}' if labels else '-',
        'state': ' '.join(setting.missing) or 'complete',
      }
    )
  columns = ['setting', 'systems', 'seeds', 'records', 'labels', 'state']
  page.table(
    columns,
    [
      [
        *(str(row[name]) for name in columns[:-1]),
        'complete' if row['state'] == 'complete' else 'not complete',
      ]
      for row in data
    ],
    name='settings',
    data=data,
  )
