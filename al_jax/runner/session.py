"""One run of a binary: from the flags to the folders of its settings."""

import contextlib
import logging as stdlib_logging
import sys

from absl import flags, logging
from ml_collections import config_flags

from al_jax import files, loop, xla
from al_jax.runner import (
  building,
  estimate,
  grid,
  outputs,
  resuming,
  signals,
)
from al_jax.runner import setting as setting_lib
from al_jax.storage import manifest, records, workdir

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


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; what is wrong with it is one line, no trace."""
  # JAX tells at INFO which backends a machine lacks, TFDS which files it opens.
  stdlib_logging.getLogger('jax').setLevel(stdlib_logging.WARNING)
  try:
    arguments = flags.FLAGS(argv)
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)
    return arguments
  except flags.Error as error:
    text = _of_flags(str(error)).rstrip('.')
    print(f'{text}. --help lists the flags.', file=sys.stderr)
  except (AttributeError, KeyError, ValueError, OSError) as error:
    # The text of a KeyError is the repr of its message.
    text = error.args[0] if isinstance(error, KeyError) else error
    text = ' '.join(str(text).split())
    if isinstance(error, KeyError) and ' ' not in text:
      text = text.strip('\'"')
      text = (
        f'the config has no {text!r} to set a field of; give all of it, as in '
        f'{_flag_of(argv, text)}="{{\'field\': value}}".'
      )
    print(f'{type(error).__name__}: {text}', file=sys.stderr)
  sys.exit(1)


def _flag_of(argv, field):
  """The flag that the command line means to set a field of: `--config.a.b`."""
  for argument in argv:
    path = argument.partition('=')[0].split('.')
    if field in path[1:]:
      return '.'.join(path[: path.index(field, 1) + 1])
  return f'--config.{field}'


def _of_flags(message: str) -> str:
  """What is wrong with a flag; of a config that refuses it, what it says."""
  *_, last = message.strip().splitlines()
  if 'Traceback' in message and last.strip().startswith('ValueError: '):
    return last.strip()
  return message


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
  settings = grid.settings(config)
  for setting in settings:
    building.check_options(setting.config)
  systems = building.system_names(config, systems_field)
  if TENSORBOARD.value:
    records.require_tensorboard()
  if COMPILATION_CACHE.value:
    xla.keep_programs(xla.program_cache())
  if WORKDIR.value is None and not DRY_RUN.value:
    raise ValueError('--workdir is not set; name a folder for the results.')
  if DRY_RUN.value:
    for setting in settings:
      if setting.name:
        print(f'\nsetting {setting.name}:')
      experiment = setting_lib.checked(setting.config, systems)
      print(estimate.describe(experiment, systems))
    return 0
  is_grid = bool(settings[0].name)
  with workdir.Workdir(WORKDIR.value) as place:
    before = None
    if not OVERWRITE.value:
      whole = config if is_grid else settings[0].config
      before = resuming.what_is_in(place.path, whole, systems)
    if before is not None and 'finished' in before:
      print(
        f'{place.path} holds a finished run of {before["finished"]}; nothing '
        'to do. See summary.txt there; --overwrite starts anew.'
      )
      return 0
    with signals.StopRequest().listening() as should_stop:
      try:
        if is_grid:
          _run_grid(place, config, settings, systems, before, should_stop)
        else:
          _run_alone(place, settings[0], systems, should_stop)
      except loop.Interrupted:
        print(
          f'Saved in {place.path} and stopped. To go on, run the same command '
          f'again:\n  {manifest.command()}'
        )
        return signals.exit_status(should_stop.number)
  return 0


def _run_alone(place, setting, systems, should_stop):
  """Runs the only setting, in the workdir itself."""
  text = _run_setting(place, setting, systems, should_stop)
  print(f'\n{text}\n')
  pictures = sorted(str(path) for path in place.path.glob('*.png'))
  print('Pictures: ' + ', '.join(pictures))


def _run_grid(place, config, settings, systems, before, should_stop):
  """Runs setting after setting, each in a folder of its own."""
  for setting in settings:
    # What is wrong with the last setting is said before the first is run.
    setting_lib.checked(setting.config, systems)
    if should_stop():
      raise loop.Interrupted
  if OVERWRITE.value:
    _overwrite_grid(place, settings)
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
      _run_setting(own, setting, systems, should_stop)
    table.add(setting.name, place.path / setting.name)
    with files.replacing(place.path / 'summary.txt') as partial:
      partial.write_text(f'{table}\n', encoding='utf-8')
    print(f'\n{table}\n')
  manifest.write(about_path, {**about, 'finished': manifest.now()})
  print(
    'For curves, tests and diagnostics: python -m experiments.report '
    f'--workdir={WORKDIR.value}'
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


def _run_setting(place, setting, systems, should_stop):
  is_alone = not setting.name
  return setting_lib.run(
    place,
    setting,
    systems,
    should_stop,
    num_workers=WORKERS.value,
    # A grid is cleared as a whole, before its first setting.
    overwrite=OVERWRITE.value and is_alone,
    quiet=QUIET.value,
    tensorboard=TENSORBOARD.value,
  )
