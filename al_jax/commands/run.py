r"""Runs the systems of a config, one or many, on the same seeds.

    python -m experiments.run --config=configs/quickstart.py \
        --workdir=runs/quickstart
    python -m experiments.run --config=configs/quickstart.py \
        --config.systems=entropy --workdir=runs/entropy

The same command goes on where it was interrupted. All seeds begin from the same
first set and the same weights, whatever the system.

To vary more than the system, write a grid in a config of your own: axes, their
values, and what each changes. All combinations are run, a folder each:

    from configs import quickstart

    def get_config():
      config = quickstart.get_config()
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

import logging as stdlib_logging
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from al_jax import errors, xla
from al_jax.runner import cells, runs, tensorboard
from al_jax.runner import config as config_lib
from al_jax.storage import manifest

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
  """Parses the command line; a bad flag or config ends the process."""
  # JAX tells at INFO which backends a machine lacks, TFDS which files it opens.
  stdlib_logging.getLogger('jax').setLevel(stdlib_logging.WARNING)
  try:
    arguments = flags.FLAGS(argv)
  except (
    flags.Error,
    AttributeError,
    KeyError,
    ValueError,
    OSError,
  ) as error:
    # A config that raises is quoted with its trace; it says what was wrong.
    while '\n' in str(error) and error.__context__ is not None:
      error = error.__context__
    print(
      f'{type(error).__name__}: {errors.in_one_line(error)}', file=sys.stderr
    )
    sys.exit(1)
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  return arguments


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  try:
    return _run()
  except (ValueError, OSError, ImportError, FloatingPointError) as error:
    # What a user can mend: the message is written for them, a trace is not.
    logging.debug('Trace of the error.', exc_info=True)
    print(f'{type(error).__name__}: {error}', file=sys.stderr)
    return 1


def _run():
  config = config_lib.upgraded(manifest.plain_config(CONFIG.value.to_dict()))
  planned = runs.cells_of(config)
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
