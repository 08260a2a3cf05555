"""The flag --config of commands that a config tells what to do."""

import itertools
import pathlib
import sys
import traceback

from absl import flags
from ml_collections import ConfigDict, config_flags

from al_jax import errors
from al_jax.commands import ending

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


def parse(argv: list[str], default: str) -> list[str]:
  """Parses the command line; a bad flag or config ends the process.

  Args:
    argv: the command line, with the name of the program.
    default: what --config is where the command line does not say.

  Returns:
    What is left when the flags are taken out.
  """
  for kind, parser in _PARSERS.items():
    config_flags.register_flag_parser_for_type(kind, parser)
  try:
    # Overrides of a config are read from `sys.argv`.
    sys.argv = _with_config(argv, default)
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
  ending.log_little()
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


def _with_config(argv, default):
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
  return [argv[0], f'--config={default}', *argv[1:]]


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


def folders(default: str) -> list[pathlib.Path]:
  """Where dotted paths are looked for: beside the config, then here.

  Args:
    default: see `parse`; nothing of yours lies beside it.
  """
  path = flags.FLAGS['config'].config_filename
  if path == default:
    return [pathlib.Path.cwd()]
  return [pathlib.Path(path.partition(':')[0]).parent, pathlib.Path.cwd()]
