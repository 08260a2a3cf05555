"""The command `al-jax`: runs one of its commands, by name.

al-jax run --workdir=runs/first
python -m al_jax run --workdir=runs/first
"""

import importlib
import sys
from collections.abc import Sequence

import al_jax
from al_jax.runner import signals

# A module of `al_jax.commands` -> what it does. Each has flags, `parse_flags`
# and `main`; and where they are not all its own `flags_of`, the modules that
# have its flags.
COMMANDS = {
  'run': 'runs systems on the same seeds, or goes on with what was interrupted',
  'synthesize': 'runs systems that make their queries',
  'stream': 'runs systems over a stream, of which each example passes once',
  'report': 'writes the results of a run as one page, report.html',
  'label': 'asks people for labels, and takes their answers, over days',
  'watch': 'shows runs on a live page, while they train and after',
  'export': 'writes the model of a finished run as a folder of plain files',
  'predict': 'predicts examples of any data source by an exported model',
  'select': 'selects examples to label from arrays of your own',
}
_HELP = ('--help', '-help', '-h', '-?', '--helpshort', 'help')


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a command; ends the process where absl does.

  Args:
    arguments: the name of the command and its flags. If None, those that the
      process was started with.

  Returns:
    The exit status.
  """
  # Imports take seconds too.
  signals.end_quietly()
  arguments = sys.argv[1:] if arguments is None else arguments
  name, *rest = arguments or ['--help']
  if name in _HELP:
    print(_help())
    return 0
  if name == '--version':
    print(f'al-jax {al_jax.__version__}')
    return 0
  from al_jax import errors

  if name not in COMMANDS:
    print(errors.unknown_name('command', name, COMMANDS), file=sys.stderr)
    return 1
  # absl names the program by it, and ml_collections reads overrides from it.
  sys.argv = [f'al-jax {name}', *rest]
  try:
    with errors.needs(sys.argv[0]):
      module = importlib.import_module(f'al_jax.commands.{name}')
  except errors.MissingPackageError as error:
    print(error, file=sys.stderr)
    return 1
  return _call(module)


def _call(module):
  """Has absl parse the flags of a command and call it."""
  from absl import app, flags

  if not set(sys.argv[1:]).isdisjoint(_HELP[:-1]):
    described = []
    for part in getattr(module, 'flags_of', [module]):
      # Its first line is the name of the module.
      described += flags.FLAGS.module_help(part).strip().split('\n')[1:]
    print(module.__doc__, 'Flags:', *described, sep='\n')
    return 0
  return app.run(module.main, flags_parser=module.parse_flags)


def _help():
  width = max(map(len, COMMANDS))
  lines = [f'  {name:{width}}  {what}' for name, what in COMMANDS.items()]
  return '\n'.join(
    [
      f'al-jax {al_jax.__version__}: deep active learning in JAX.',
      '',
      'Usage: al-jax COMMAND [--FLAG=VALUE ...]',
      '',
      *lines,
      '',
      'al-jax COMMAND --help lists the flags of a command.',
    ]
  )


if __name__ == '__main__':
  sys.exit(main())
