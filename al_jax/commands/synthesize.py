r"""Runs systems that make their queries, and asks a classifier about them.

al-jax synthesize --config=configs/synthesis.py:mnist,local \
        --workdir=runs/synthesis

It is `al-jax run` for a config whose `synthesis` says how queries are made; the
flags are the same. pictures/*_sheet.png in the workdir show what was made, and
what was asked and answered. A run that was interrupted goes on.
"""

import functools

from al_jax.commands import ending, run

flags_of, parse_flags = run.flags_of, run.parse_flags
_MISSING = (
  'the config makes no queries: set --config.synthesis.name to prior, latent '
  'or partner, or use al-jax run.'
)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(
    argv, functools.partial(run.run_config, needed={'synthesis': _MISSING})
  )
