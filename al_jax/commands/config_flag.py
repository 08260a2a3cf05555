"""The flag --config of the commands that take a config."""

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
  'The config: FILE.py or FILE.py:ARGUMENT, whose get_config returns a '
  'ConfigDict; the defaults if not set. --config.FIELD=VALUE changes a field.',
  lock_config=False,
  # The options of a model or a strategy depend on its name; building it
  # rejects unknown ones.
  accept_new_attributes=True,
)


class _OrNone(flags.ArgumentParser):
  """Parser of values of a type, or None, which leaves a field unset."""

  def __init__(self, parser: flags.ArgumentParser):
    self._parser = parser

  def parse(self, argument: object) -> object:
    """Returns the value of a text."""
    return None if argument == 'None' else self._parser.parse(argument)


_PARSERS = {
  int: _OrNone(flags.IntegerParser()),
  float: _OrNone(flags.FloatParser()),
  str: _OrNone(flags.ArgumentParser()),
}


def parse(argv: list[str], default: str) -> list[str]:
  """Parses the command line; a bad flag or config ends the process.

  Args:
    argv: The command line, with the name of the program.
    default: Value of --config if the command line does not set it.

  Returns:
    The command line without the flags.
  """
  for kind, parser in _PARSERS.items():
    config_flags.register_flag_parser_for_type(kind, parser)
  try:
    # ml_collections reads the overrides of a config from `sys.argv`.
    sys.argv = _with_config(argv, default)
    arguments = flags.FLAGS(sys.argv)
    if not isinstance(CONFIG.value, ConfigDict):
      raise TypeError(
        f'get_config of --config={flags.FLAGS["config"].config_filename} '
        f'returns {CONFIG.value!r}; it must return an '
        'ml_collections.ConfigDict.'
      )
  except Exception as error:  # a config is a program, and may raise anything
    # If a config raises, the message is its whole traceback; the context is the
    # error itself.
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
  """Says how to set an option of a mapping that does not exist yet, or ''."""
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
  """Adds the default config to the command line, unless it names another.

  Raises ValueError if the file is missing: ml_collections would say so late, in
  four lines.
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
  # ml_collections needs the file before its overrides.
  return [argv[0], f'--config={default}', *argv[1:]]


def _place(error):
  """Returns the place in a config that raised an error; '' if elsewhere."""
  if isinstance(error, AttributeError) and error.name == 'get_config':
    return f' ({error.obj.__file__})'
  places = [
    f' ({frame.f_code.co_filename}, line {line})'
    for frame, line in traceback.walk_tb(error.__traceback__)
    if frame.f_globals.get('__name__') == 'config_config'
  ]
  return places[-1] if places else ''


def folders(default: str) -> list[pathlib.Path]:
  """Lists folders to search for dotted paths: that of the config, then here.

  Args:
    default: The default config, see `parse`. Its folder is not searched.
  """
  path = flags.FLAGS['config'].config_filename
  if path == default:
    return [pathlib.Path.cwd()]
  return [pathlib.Path(path.partition(':')[0]).parent, pathlib.Path.cwd()]
