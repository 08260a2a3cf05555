"""Whether a folder holds the run that is to go on there, or a part of it."""

import pathlib
from collections.abc import Mapping
from typing import Any

from al_jax import parts
from al_jax.runner import grid, identity, options, stream
from al_jax.runner.options import Config
from al_jax.storage import manifest

# A run may get more of these; all that it has stays as it is.
_MAY_GROW = ('seeds', 'systems', 'grid')


def what_is_in(folder: pathlib.Path, config: Config) -> dict[str, Any] | None:
  """The manifest of a run that was begun in a folder; None if there is none.

  Args:
    folder: of a cell, or of a grid of them.
    config: of the run that is to go on there. It may have more seeds, systems
      and cells than what was begun.

  Returns:
    With `finished` only if nothing is left to do.

  Raises:
    ValueError: what was begun is another run, or nobody knows what it is, or
      its results have changed since it finished, or the file of a part of yours
      has, since it began.
  """
  path = folder / 'manifest.json'
  anew = 'choose another --workdir, or begin anew with --overwrite'
  if not path.exists():
    if (folder / 'checkpoints').exists():
      raise ValueError(
        f'{folder} has checkpoints and no manifest.json, which says what they '
        f'are of; put it back, {anew}.'
      )
    return None
  try:
    before = manifest.read(path)
    missing = {'config', 'systems', 'started'} - set(before)
    if missing:
      raise ValueError(f'{path} is damaged: it has no {min(missing)!r}')
    before['config'] = identity.upgraded(before['config'], before['systems'])
    systems = options.system_names(config)
    lines = _lost(before['config'], config, before['systems'], systems)
  except (AttributeError, KeyError, TypeError) as error:
    raise ValueError(f'{path} is damaged: {error!r}; {anew}.') from error
  except ValueError as error:
    raise ValueError(f'{str(error).rstrip(".")}; {anew}.') from error
  _refuse(folder, lines)
  _refuse_edited(folder, before)
  # What is gone of a finished run is written anew.
  if _has_grown(before, config, systems) or manifest.missing_files(
    folder, before
  ):
    before.pop('finished', None)
  return before


def refuse_other_data(
  folder: pathlib.Path, before: Config, about: Config
) -> None:
  """Refuses to go on with other data under the same name.

  Args:
    folder: of the cell.
    before: its manifest.
    about: the manifest of what is to go on there.

  Raises:
    ValueError: they differ; the message says in what.
  """
  then, now = before.get('data', {}), about['data']
  normalize = normalize_of(before, now['normalize'])
  if normalize != now['normalize']:
    raise ValueError(
      f'{folder} was begun with normalize={normalize!r}, and the same config '
      f'now means {now["normalize"]!r}, the default of tables; choose another '
      '--workdir, or --overwrite. --config.data.normalize=none is what it was.'
    )
  # `majority` follows from the content, of which there is a fingerprint; so did
  # the task where there was a number of classes in its place.
  if 'num_classes' in then:
    then = {**then, 'task': now['task']}
    del then['num_classes']
  then = {**then, 'normalize': normalize, 'majority': now.get('majority')}
  now = {'majority': None, **now}
  _refuse(folder, manifest.config_difference(then, now))


def normalize_of(about: Config, now: str) -> str:
  """What normalised the inputs of a run that was begun.

  Args:
    about: its manifest, maybe of the time when tables were not normalised by
      default, and manifests did not say what was.
    now: what its config means now.

  Returns:
    A name in `moments.NORMALIZATIONS`.
  """
  spec = about['config'].get('data')
  given = spec.get('normalize') if isinstance(spec, Mapping) else None
  unsaid = given or ('none' if now == 'feature' else now)
  return about.get('data', {}).get('normalize', unsaid)


def _refuse(folder, lines):
  if lines:
    raise ValueError(
      f'{folder} holds another run; choose another --workdir, or --overwrite. '
      'The difference:\n  ' + '\n  '.join(lines)
    )


def _refuse_edited(folder, before):
  """All of a run is made by one version of the user's own files."""
  for module, digest in before.get('modules', {}).items():
    path, now = parts.file_of(module)
    if now != digest:
      raise ValueError(
        f'{path}, the file of {module}, was edited after the run in {folder} '
        'began, and all of a run is made by one version: undo the edit, choose '
        'another --workdir, or begin anew with --overwrite.'
      )


def _lost(before, now, systems_before, systems):
  """What was begun and is not to go on: a line for each, for people."""
  lines = manifest.config_difference(_fixed(before), _fixed(now))
  if now['seeds'] < before['seeds']:
    lines.append(f'seeds: {before["seeds"]} -> {now["seeds"]}')
  gone = [name for name in systems_before if name not in systems]
  if gone and not lines:
    lines.append(f'systems: {systems_before} -> {systems}')
  if 'grid' in now:
    lines += _lost_cells(before, now)
  return lines


def _fixed(config):
  fixed = {name: config[name] for name in config if name not in _MAY_GROW}
  return fixed | {'stream': stream.as_meant(config.get('stream', {}))}


def _lost_cells(before, now):
  if not before.get('grid') or not now['grid']:
    return manifest.config_difference(
      {'grid': before.get('grid')}, {'grid': now['grid']}
    )
  cells = {each.name: each.config for each in grid.cells(now)}
  lines = []
  for cell in grid.cells(before):
    if cell.name not in cells:
      lines.append(f'cell {cell.name}: is no longer there')
      continue
    after = cells[cell.name]
    lines += [
      f'cell {cell.name}: {line}'
      for line in manifest.config_difference(_fixed(cell.config), _fixed(after))
    ]
  # What all cells share is said once, by the fields themselves.
  return lines if _fixed(before) == _fixed(now) else []


def _has_grown(before, config, systems):
  of_grid = (config.get('grid'), before['config'].get('grid'))
  return (
    config['seeds'] != before['config']['seeds']
    or systems != list(before['systems'])
    or bool(
      manifest.config_difference({'grid': of_grid[1]}, {'grid': of_grid[0]})
    )
  )
