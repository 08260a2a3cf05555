r"""Runs systems over a stream: every example passes once, and some are asked.

    al-jax stream --config=configs/stream.py:digits --workdir=runs/stream

It is `al-jax run` for a config whose `stream` says who decides what is asked
about; the flags are the same. stream.png in the workdir shows how many of the
examples that passed the model knew before it learnt from them, and the share
that was asked about. A run that was interrupted goes on.
"""

import functools

from al_jax.commands import ending, run

flags_of, parse_flags = run.flags_of, run.parse_flags
_MISSING = (
  'the config has no stream: set --config.stream.manager to balanced, '
  'quantile, fixed, variable, random_variable or chance, or '
  '--config.stream.batch_window, or use al-jax run.'
)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(
    argv, functools.partial(run.run_config, needed={'stream': _MISSING})
  )
