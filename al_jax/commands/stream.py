r"""Runs systems over a stream: each example passes once; some are queried.

    al-jax stream --config=configs/stream.py:digits --workdir=runs/stream

It is `al-jax run` for a config whose `stream` sets who decides on queries; the
flags are the same. stream.png in the workdir shows the share of passing
examples that the model predicts correctly before it learns from them, and the
share that is queried. The same command resumes an interrupted run.
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
