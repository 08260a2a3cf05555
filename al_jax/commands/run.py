r"""Runs the systems of a config, one or many, on the same seeds.

    al-jax run --workdir=runs/first
    al-jax run --workdir=runs/shorter --config.protocol.rounds=2
    al-jax run --workdir=runs/quickstart --config=configs/quickstart.py \
        --config.systems=random,margin

Without --config it runs the defaults, al_jax/runner/defaults.py, which has all
fields of a config. The configs of papers are in the repository, not in the
package. The same command resumes an interrupted run. For a seed, all systems
begin from the same first set and the same weights.

To vary more than the system, write a grid in a config of your own: axes, their
values, and the changes for each value. All combinations are run, each in its
own folder:

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

import sys
import types
from collections.abc import Mapping

from absl import flags

from al_jax import parts, xla
from al_jax.commands import config_flag, ending
from al_jax.runner import cells, defaults, identity, runs, tensorboard
from al_jax.storage import manifest

WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of results and checkpoints; created if absent.'
)
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Delete the results of an earlier run in the workdir.'
)
DRY_RUN = flags.DEFINE_bool(
  'dry_run',
  False,
  'Print the plan, its time and its memory; run nothing.',
)
WORKERS = flags.DEFINE_integer(
  'workers', 1, 'Parallel processes; each runs a seed of a system.', 1
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

flags_of = config_flag, sys.modules[__name__]


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; a bad flag or config ends the process."""
  return config_flag.parse(argv, defaults.__file__)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(argv, run_config)


def run_config(
  *, needed: Mapping[str, str] = types.MappingProxyType({})
) -> int:
  """Runs the config of the flags.

  Args:
    needed: Fields of the config that at least one cell must set, each with the
      error message if none does.

  Returns:
    The exit status.
  """
  parts.search_in(config_flag.folders(defaults.__file__))
  given = manifest.plain_config(config_flag.CONFIG.value.to_dict())
  config = identity.upgraded(given)
  if 'system' in given:
    print(
      f'config.system is {given["system"]!r}: it is an old spelling, and '
      'overrides config.systems; use config.systems.',
      file=sys.stderr,
    )
  planned = runs.cells_of(config)
  for field, sentence in needed.items():
    if not any(cell.config[field] for cell in planned):
      raise ValueError(sentence)
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
