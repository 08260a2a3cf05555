r"""Runs the systems of a config, one or many, on the same seeds.

    al-jax run --workdir=runs/first
    al-jax run --workdir=runs/shorter --config.protocol.rounds=2
    al-jax run --workdir=runs/quickstart --config=configs/quickstart.py \
        --config.systems=random,margin

Without --config it runs the defaults, al_jax/runner/defaults.py, whose fields
are those of every config. The configs of papers are in the repository, not in
the package. The same command goes on where it was interrupted. All seeds begin
from the same first set and the same weights, whatever the system.

To vary more than the system, write a grid in a config of your own: axes, their
values, and what each changes. All combinations are run, a folder each:

    from al_jax.runner import defaults

    def get_config():
      config = defaults.get_config()
      config.grid = {
        'batch': {
          '10': {'protocol': {'labels_per_round': 10}},
          '50': {'protocol': {'labels_per_round': 50}},
        },
        'model': {
          'small': {'model': {'name': 'mlp', 'widths': (32,)}},
          'large': {'model': {'name': 'mlp', 'widths': (256, 256)}},
        },
      }
      return config
"""

import itertools
import logging as stdlib_logging
import pathlib
import sys
import traceback

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from al_jax import errors, parts, xla
from al_jax.commands import ending
from al_jax.runner import cells, defaults, runs, tensorboard
from al_jax.runner import config as config_lib
from al_jax.storage import manifest

CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'What to run: FILE.py or FILE.py:ARGUMENT, whose get_config returns a '
  'ConfigDict; the defaults if not set. --config.FIELD=VALUE changes a field.',
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
  'compilation_cache',
  True,
  'Keep compiled programs between processes, under AL_JAX_CACHE_DIR.',
)


class _OrNone(flags.ArgumentParser):
  """Reads values of a type, and None, which leaves a field unset."""

  def __init__(self, parser: flags.ArgumentParser):
    self._parser = parser

  def parse(self, argument: object) -> object:
    """Returns the value that the text stands for."""
    return None if argument == 'None' else self._parser.parse(argument)


_PARSERS = {
  int: _OrNone(flags.IntegerParser()),
  float: _OrNone(flags.FloatParser()),
  str: _OrNone(flags.ArgumentParser()),
}


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; a bad flag or config ends the process."""
  # JAX tells at INFO which backends a machine lacks, TFDS which files it opens.
  stdlib_logging.getLogger('jax').setLevel(stdlib_logging.WARNING)
  for kind, parser in _PARSERS.items():
    config_flags.register_flag_parser_for_type(kind, parser)
  try:
    # Overrides of a config are read from `sys.argv`.
    sys.argv = _with_config(argv)
    arguments = flags.FLAGS(sys.argv)
    if not isinstance(CONFIG.value, ConfigDict):
      raise TypeError(
        f'get_config of --config={flags.FLAGS["config"].config_filename} '
        f'returns {CONFIG.value!r}; it must return an '
        'ml_collections.ConfigDict.'
      )
  except Exception as error:  # a config is a program, and may raise anything
    # A config that raises is quoted with its trace; it says what was wrong.
    while '\n' in str(error) and error.__context__ is not None:
      error = error.__context__
    print(
      _absent_mapping(error, argv)
      or f'{type(error).__name__}: {errors.in_one_line(error)}{_place(error)}',
      file=sys.stderr,
    )
    sys.exit(1)
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  return arguments


def _absent_mapping(error, argv):
  """Says how to set an option of a mapping that is not there yet; or ''."""
  if not isinstance(error, KeyError):
    return ''
  absent = str(error.args[0]).strip('"\'')
  for argument in argv:
    name, _, value = argument.partition('=')
    path = name.lstrip('-').split('.')
    if path[0] == 'config' and absent in path[1:-1]:
      place = path.index(absent)
      whole = '.'.join(path[: place + 1])
      inner = '.'.join(path[place + 1 :])
      return (
        f'{name} is set, and the config has no {whole} yet: give all of it, '
        f'--{whole}="{{\'{inner}\': {value or "VALUE"}}}".'
      )
  return ''


def _with_config(argv):
  """The command line with the default config, unless it names another.

  An absent file is otherwise told in four lines, and late.
  """
  named = False
  arguments = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
  for argument, following in itertools.zip_longest(arguments, arguments[1:]):
    name, sign, value = argument.partition('=')
    if name not in ('--config', '-config'):
      continue
    named = True
    if not sign:
      value = following or ''
    path = value.partition(':')[0]
    if not pathlib.Path(path).is_file():
      raise ValueError(f'--config is {value!r}; there is no file {path!r}.')
  if named:
    return argv
  # ml_collections wants the file before what is changed in it.
  return [argv[0], f'--config={defaults.__file__}', *argv[1:]]


def _place(error):
  """Where in a config an error was raised; empty if it was elsewhere."""
  if isinstance(error, AttributeError) and error.name == 'get_config':
    return f' ({error.obj.__file__})'
  places = [
    f' ({frame.f_code.co_filename}, line {line})'
    for frame, line in traceback.walk_tb(error.__traceback__)
    if frame.f_globals.get('__name__') == 'config_config'
  ]
  return places[-1] if places else ''


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(argv, run_config)


def _folders():
  """Returns where dotted paths are looked for: beside the config, then here."""
  path = flags.FLAGS['config'].config_filename
  if path == defaults.__file__:
    return [pathlib.Path.cwd()]
  return [pathlib.Path(path.partition(':')[0]).parent, pathlib.Path.cwd()]


def run_config(*, must_make_queries: bool = False) -> int:
  """Runs what the flags say.

  Args:
    must_make_queries: Whether a config that takes all queries from the pool is
      refused.

  Returns:
    The exit status.
  """
  parts.search_in(_folders())
  given = manifest.plain_config(CONFIG.value.to_dict())
  config = config_lib.upgraded(given)
  if 'system' in given:
    print(
      f'config.system is {given["system"]!r}: it is an old spelling, and takes '
      'the place of config.systems; write config.systems.',
      file=sys.stderr,
    )
  planned = runs.cells_of(config)
  if must_make_queries and not any(
    cell.config['synthesis'] for cell in planned
  ):
    raise ValueError(
      'the config makes no queries: set --config.synthesis.name to prior, '
      'latent or partner, or use al-jax run.'
    )
  if TENSORBOARD.value:
    tensorboard.require()
  if COMPILATION_CACHE.value:
    xla.keep_programs(xla.program_cache())
  if DRY_RUN.value:
    runs.describe(planned)
    return 0
  if WORKDIR.value is None:
    raise ValueError('--workdir is not set; name a folder for the results.')
  return runs.run(
    config,
    planned,
    WORKDIR.value,
    cells.How(
      num_workers=WORKERS.value,
      overwrite=OVERWRITE.value,
      quiet=QUIET.value,
      tensorboard=TENSORBOARD.value,
    ),
  )
