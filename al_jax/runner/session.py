"""One run: from a config to the folders of its settings."""

import contextlib
import dataclasses
from collections.abc import Sequence

from al_jax import files, loop
from al_jax.runner import (
  building,
  estimate,
  grid,
  outputs,
  resuming,
  signals,
)
from al_jax.runner import setting as setting_lib
from al_jax.runner.building import Config
from al_jax.storage import manifest, workdir


def checked_settings(config: Config) -> list[grid.Setting]:
  """The settings of a config, each of which has fields that can be read.

  Args:
    config: as plain values.

  Returns:
    One Setting, or those of its grid.

  Raises:
    ValueError: a field that is not known, or a value that it cannot have.
  """
  settings = grid.settings(config)
  for setting in settings:
    building.check_options(setting.config)
  return settings


def describe(settings: Sequence[grid.Setting]) -> None:
  """Prints what a run of the settings would cost."""
  for setting in settings:
    if setting.name:
      print(f'\nsetting {setting.name}:')
    print(estimate.describe(setting_lib.checked(setting.config)))


def run(
  config: Config,
  settings: Sequence[grid.Setting],
  folder: files.Path,
  how: setting_lib.How,
) -> int:
  """Runs all settings, or goes on with them.

  Args:
    config: with its grid.
    settings: of the config.
    folder: the workdir.
    how: to run them.

  Returns:
    The exit status.
  """
  is_grid = bool(settings[0].name)
  with workdir.Workdir(folder) as place:
    before = None
    if not how.overwrite:
      before = resuming.what_is_in(
        place.path, config if is_grid else settings[0].config
      )
    if before is not None and 'finished' in before:
      print(
        f'{place.path} holds a finished run of {before["finished"]}; nothing '
        'to do. See summary.txt there; --overwrite starts anew.'
      )
      return 0
    with signals.StopRequest().listening() as should_stop:
      try:
        if is_grid:
          _run_grid(place, config, settings, before, should_stop, how)
        else:
          _run_alone(place, settings[0], should_stop, how)
      except loop.Interrupted:
        print(
          f'Saved in {place.path} and stopped. To go on, run the same command '
          f'again:\n  {manifest.command()}'
        )
        return signals.exit_status(should_stop.number)
  return 0


def _run_alone(place, setting, should_stop, how):
  """Runs the only setting, in the workdir itself."""
  text = setting_lib.run(place, setting, should_stop, how)
  print(f'\n{text}\n')
  pictures = sorted(str(path) for path in place.path.glob('*.png'))
  print('Pictures: ' + ', '.join(pictures))


def _run_grid(place, config, settings, before, should_stop, how):
  """Runs setting after setting, each in a folder of its own."""
  for setting in settings:
    # What is wrong with the last setting is said before the first is run.
    setting_lib.checked(setting.config)
    if should_stop():
      raise loop.Interrupted
  if how.overwrite:
    # As a whole, before its first setting.
    _overwrite_grid(place, settings)
    how = dataclasses.replace(how, overwrite=False)
  systems = building.system_names(config)
  about = {
    'config': config,
    'systems': systems,
    'settings': [setting.name for setting in settings],
    'command': manifest.command(),
    'started': manifest.now() if before is None else before['started'],
  }
  about_path = place.path / 'manifest.json'
  manifest.write(about_path, about)
  table = outputs.GridTable(systems)
  for number, setting in enumerate(settings, start=1):
    print(f'[{number}/{len(settings)}] {setting.name}')
    with workdir.Workdir(place.path / setting.name) as own:
      setting_lib.run(own, setting, should_stop, how)
    table.add(setting.name, place.path / setting.name)
    with files.replacing(place.path / 'summary.txt') as partial:
      partial.write_text(f'{table}\n', encoding='utf-8')
    print(f'\n{table}\n')
  manifest.write(about_path, {**about, 'finished': manifest.now()})
  print(
    'For curves, tests and diagnostics: python -m experiments.report '
    f'--workdir={place.path}'
  )


def _overwrite_grid(place, settings):
  """Clears the folders of all settings, those of the run before too."""
  names = {setting.name for setting in settings}
  with contextlib.suppress(ValueError, OSError, LookupError, TypeError):
    names |= set(manifest.read(place.path / 'manifest.json')['settings'])
  place.overwrite()
  for name in sorted(names):
    if (place.path / name).is_dir():
      with workdir.Workdir(place.path / name) as own:
        own.overwrite()
