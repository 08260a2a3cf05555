"""One run of a binary: from the flags to the folders of its settings."""

import logging as stdlib_logging
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from al_jax import files, loop, manifest, records, workdir
from experiments import (
  building,
  compilation_cache,
  estimate,
  grid,
  outputs,
  signals,
)
from experiments import setting as setting_lib

CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'What to run: configs/NAME.py or configs/NAME.py:ARGUMENT.',
  lock_config=False,
  # Options of a model or a strategy depend on its name. What nobody has an
  # option of that name for is refused when it is built.
  accept_new_attributes=True,
)
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Where results and checkpoints go; made if absent.'
)
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Clear what an earlier run left in the workdir.'
)
DRY_RUN = flags.DEFINE_bool(
  'dry_run',
  False,
  'Say what would be run, how long and how large; run nothing.',
)
WORKERS = flags.DEFINE_integer(
  'workers', 1, 'Processes side by side, a seed of a system each.', 1
)
TENSORBOARD = flags.DEFINE_bool(
  'tensorboard', False, 'Also write event files (extra: tensorboard).'
)
QUIET = flags.DEFINE_bool('quiet', False, 'No progress bar, no line per round.')
COMPILATION_CACHE = flags.DEFINE_bool(
  'compilation_cache', True, 'Keep compiled programs between processes.'
)

# What a shell expects of a program that Ctrl-C has ended.
_INTERRUPTED = 130


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; what is wrong with it is one line, no trace."""
  # JAX tells at INFO which backends a machine lacks, TFDS which files it opens.
  stdlib_logging.getLogger('jax').setLevel(stdlib_logging.WARNING)
  try:
    arguments = app.parse_flags_with_usage(argv)
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)
    return arguments
  except (AttributeError, KeyError, ValueError, OSError) as error:
    # The text of a KeyError is the repr of its message.
    text = error.args[0] if isinstance(error, KeyError) else error
    print(f'{type(error).__name__}: {text}', file=sys.stderr)
    sys.exit(1)


def run(systems_field: str) -> int:
  """Runs the systems of a config.

  Args:
    systems_field: the field that names them: `'system'` or `'systems'`.

  Returns:
    The exit status.
  """
  try:
    return _run(systems_field)
  except (ValueError, OSError, ImportError, FloatingPointError) as error:
    # What a user can mend: the message is written for them, a trace is not.
    logging.debug('Trace of the error.', exc_info=True)
    print(f'{type(error).__name__}: {error}', file=sys.stderr)
    return 1


def _run(systems_field):
  config = manifest.plain_config(CONFIG.value.to_dict())
  systems = building.system_names(config, systems_field)
  if TENSORBOARD.value:
    records.require_tensorboard()
  settings = grid.settings(config)
  if COMPILATION_CACHE.value:
    compilation_cache.enable(compilation_cache.default_folder())
  if WORKDIR.value is None and not DRY_RUN.value:
    raise ValueError('--workdir is not set; name a folder for the results.')
  if DRY_RUN.value:
    for setting in settings:
      if setting.name:
        print(f'\nsetting {setting.name}:')
      experiment = setting_lib.checked(setting.config, systems)
      print(estimate.describe(experiment, systems))
    return 0
  with workdir.Workdir(WORKDIR.value) as place:
    if OVERWRITE.value:
      place.overwrite()
    if len(settings) > 1 or settings[0].name:
      return _run_grid(place, config, settings, systems)
    if _is_finished(place, config, systems):
      return 0
    with signals.StopRequest().listening() as should_stop:
      try:
        text = _run_setting(place, settings[0], systems, should_stop)
      except loop.Interrupted:
        return _interrupted(place.path)
    print(f'\n{text}\n')
    pictures = sorted(str(path) for path in place.path.glob('*.png'))
    print('Pictures: ' + ', '.join(pictures))
    return 0


def _run_grid(place, config, settings, systems):
  """Runs setting after setting, each in a folder of its own."""
  if _is_finished(place, config, systems):
    return 0
  for setting in settings:
    # What is wrong with the last setting is said before the first is run.
    setting_lib.checked(setting.config, systems)
  about = {
    'config': config,
    'systems': systems,
    'settings': [setting.name for setting in settings],
    'command': manifest.command(),
    'started': manifest.now(),
  }
  about_path = place.path / 'manifest.json'
  manifest.write(about_path, about)
  table = outputs.GridTable(systems)
  with signals.StopRequest().listening() as should_stop:
    for number, setting in enumerate(settings, start=1):
      print(f'[{number}/{len(settings)}] {setting.name}')
      with workdir.Workdir(place.path / setting.name) as own:
        if OVERWRITE.value:
          own.overwrite()
        try:
          _run_setting(own, setting, systems, should_stop)
        except loop.Interrupted:
          return _interrupted(place.path)
      table.add(setting.name, place.path / setting.name)
      with files.replacing(place.path / 'summary.txt') as partial:
        partial.write_text(f'{table}\n', encoding='utf-8')
      print(f'\n{table}\n')
  manifest.write(about_path, {**about, 'finished': manifest.now()})
  print(
    'For curves, tests and diagnostics: python -m experiments.report '
    f'--workdir={WORKDIR.value}'
  )
  return 0


def _run_setting(place, setting, systems, should_stop):
  return setting_lib.run(
    place,
    setting,
    systems,
    should_stop,
    workers=WORKERS.value,
    quiet=QUIET.value,
    tensorboard=TENSORBOARD.value,
  )


def _is_finished(place, config, systems):
  """Says that there is nothing to do; refuses another experiment's folder."""
  path = place.path / 'manifest.json'
  if not path.exists():
    return False
  before = manifest.read(path)
  setting_lib.refuse_another(
    place.path, before['config'], config, before['systems'], systems
  )
  if 'finished' not in before:
    return False
  print(
    f'{place.path} holds a finished run of {before["finished"]}; nothing to '
    'do. See summary.txt there; --overwrite starts anew.'
  )
  return True


def _interrupted(folder):
  print(
    f'Saved in {folder} and stopped. To go on, run the same command '
    f'again:\n  {manifest.command()}'
  )
  return _INTERRUPTED
