r"""Runs several systems of a config on the same seeds, and compares them.

    python -m experiments.compare --config=configs/quickstart.py \
        --workdir=runs/compare

The same command goes on where it was interrupted. All seeds begin from the same
first set and the same weights, whatever the system.

A comparison over settings is a grid in a config of your own: axes, their
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

import pathlib
import sys

# Also as a script: the configs and these modules are no part of the package.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from al_jax.runner import signals

# Imports take seconds too. Of the processes that this one starts `__name__` is
# another, and they are told by it.
if __name__ == '__main__':
  signals.end_quietly()

from absl import app, flags

from al_jax.runner import session


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  return session.run('systems')


if __name__ == '__main__':
  flags.adopt_module_key_flags(session)
  flags.mark_flag_as_required('config')
  app.run(main, flags_parser=session.parse_flags)
