"""The program `al-jax`, which runs one of its commands by name.

al-jax run --workdir=runs/first
python -m al_jax run --workdir=runs/first
"""

import importlib
import sys
from collections.abc import Sequence

import al_jax
from al_jax.runner import signals

# Maps modules of `al_jax.commands` to help texts. Each module has flags,
# `parse_flags` and `main`. If other modules define some of its flags, it lists
# all modules with flags in `flags_of`.
COMMANDS = {
  'run': 'runs systems on the same seeds, or resumes an interrupted run',
  'synthesize': 'runs systems that make their queries',
  'stream': 'runs systems over a stream, in which each example passes once',
  'report': 'writes the results of a run as one page, report.html',
  'label': 'asks people for labels, and takes their answers, over days',
  'watch': 'shows runs on a live page, while they train and afterwards',
  'export': 'writes the model of a finished run as a folder of plain files',
  'predict': 'predicts examples of any data source with an exported model',
  'select': 'selects examples to label from your own arrays',
}
_HELP = ('--help', '-help', '-h', '-?', '--helpshort', 'help')


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a command; may end the process, as absl does.

  Args:
    arguments: the name of the command and its flags. If None, the command line
      of the process.

  Returns:
    The exit status.
  """
  # First, because the imports below take seconds.
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
  # absl takes the program's name from it, ml_collections its overrides.
  sys.argv = [f'al-jax {name}', *rest]
  try:
    with errors.needs(sys.argv[0]):
      module = importlib.import_module(f'al_jax.commands.{name}')
  except errors.MissingPackageError as error:
    print(error, file=sys.stderr)
    return 1
  return _call(module)


def _call(module):
  """Calls a command through absl, which parses its flags."""
  from absl import app, flags

  if not set(sys.argv[1:]).isdisjoint(_HELP[:-1]):
    described = []
    for part in getattr(module, 'flags_of', [module]):
      # The first line is the name of the module.
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
