"""Checks whether a folder holds the run to be resumed, or a part of it."""

import pathlib
from collections.abc import Mapping
from typing import Any

from al_jax import parts
from al_jax.runner import grid, identity, options, stream
from al_jax.runner.options import Config
from al_jax.storage import manifest

# A resumed run may add to these, but not remove.
_MAY_GROW = ('seeds', 'systems', 'grid')


def what_is_in(folder: pathlib.Path, config: Config) -> dict[str, Any] | None:
  """Reads the manifest of the run in a folder; None if there is none.

  Args:
    folder: folder of a cell, or of a grid of cells.
    config: config of the run to be resumed. It may have more seeds, systems and
      cells than the run in the folder.

  Returns:
    The manifest, with `finished` only if nothing is left to do.

  Raises:
    ValueError: the folder holds another run, its manifest is damaged or
      missing, its results have changed since it finished, or the file of a
      user's own part has changed since it began.
  """
  path = folder / 'manifest.json'
  anew = 'choose another --workdir, or start over with --overwrite'
  if not path.exists():
    if (folder / 'checkpoints').exists():
      raise ValueError(
        f'{folder} has checkpoints and no manifest.json, which describes them; '
        f'put it back, {anew}.'
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
  # Missing files of a finished run are written again.
  if _has_grown(before, config, systems) or manifest.missing_files(
    folder, before
  ):
    before.pop('finished', None)
  return before


def refuse_other_data(
  folder: pathlib.Path, before: Config, about: Config
) -> None:
  """Rejects a resumed run with other data under the same name.

  Args:
    folder: folder of the cell.
    before: its manifest.
    about: manifest of the run to be resumed.

  Raises:
    ValueError: they differ; the message describes the difference.
  """
  then, now = before.get('data', {}), about['data']
  normalize = normalize_of(before, now['normalize'])
  if normalize != now['normalize']:
    raise ValueError(
      f'{folder} was begun with normalize={normalize!r}, but the same config '
      f'now means {now["normalize"]!r}, the default of tables; keep it with '
      '--config.data.normalize=none, or choose another --workdir, or '
      '--overwrite.'
    )
  # The fingerprint covers `majority`, and the task of manifests that had a
  # number of classes instead.
  if 'num_classes' in then:
    then = {**then, 'task': now['task']}
    del then['num_classes']
  then = {**then, 'normalize': normalize, 'majority': now.get('majority')}
  now = {'majority': None, **now}
  _refuse(folder, manifest.config_difference(then, now))


def normalize_of(about: Config, now: str) -> str:
  """Returns the normalization of the inputs of an earlier run.

  Args:
    about: manifest of the run, possibly from a version in which tables were not
      normalised by default and manifests did not record the normalization.
    now: current meaning of its config.

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
  """Rejects a run whose user's own files changed since it began."""
  for module, digest in before.get('modules', {}).items():
    path, now = parts.file_of(module)
    if now != digest:
      raise ValueError(
        f'{path}, the file of {module}, was edited after the run in {folder} '
        'began, but a run must use one version: undo the edit, choose another '
        '--workdir, or start over with --overwrite.'
      )


def _lost(before, now, systems_before, systems):
  """Lists the parts of an earlier run that the new config drops or changes."""
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
  # Differences in the shared fields are already listed, once for all cells.
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
