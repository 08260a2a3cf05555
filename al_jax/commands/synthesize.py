r"""Runs systems that generate their queries; a classifier answers them.

al-jax synthesize --config=configs/synthesis.py:mnist,local \
        --workdir=runs/synthesis

It is `al-jax run` for a config whose `synthesis` sets how queries are
generated; the flags are the same. pictures/*_sheet.png in the workdir show
generated examples, queries and answers. The same command resumes an interrupted
run.
"""

import functools

from al_jax.commands import ending, run

flags_of, parse_flags = run.flags_of, run.parse_flags
_MISSING = (
  'the config generates no queries: set --config.synthesis.name to prior, '
  'latent or partner, or use al-jax run.'
)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(
    argv, functools.partial(run.run_config, needed={'synthesis': _MISSING})
  )
