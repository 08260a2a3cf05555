"""Shows runs on a live page on this machine, while they train and after.

    al-jax watch runs/digits
    al-jax watch runs/first runs/second --port=8123

A WORKDIR is the folder of a run or a grid, or a folder of several. It may not
exist yet if its parent does; the page then waits for the run. The page shows
curves over rounds and within the current round, the newest queries, sample
sheets, costs, and an estimate of the time left. It changes no files and needs
no network, and only this machine can open it.
"""

import os
import pathlib

import jax
from absl import flags

from al_jax import errors
from al_jax.commands import ending

with errors.needs('al-jax watch'):
  from al_jax.pages import server, watch_page
  from al_jax.pages.watching import Watch

# `allow_override`: other commands have flags of these names, and tests import
# several commands.
WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'The folder to watch, as a flag instead of an argument.',
  allow_override=True,
)
PORT = flags.DEFINE_integer(
  'port',
  0,
  'The port of the page; 0 takes a free one.',
  allow_override=True,
)

parse_flags = ending.parse_flags
# Lowers the priority of the page, in favour of the run.
_NICE = 10


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  folders = [*argv[1:], *([WORKDIR.value] if WORKDIR.value else [])]
  return ending.in_a_sentence(argv, lambda: _run(folders), takes_names=True)


def _run(folders):
  if not folders:
    raise ValueError('no WORKDIR is given; name the folder of a run.')
  watch = Watch([pathlib.Path(folder) for folder in folders])
  # Pictures may need JAX; the accelerator stays free for the run.
  jax.config.update('jax_platforms', 'cpu')
  os.nice(_NICE)
  server.serve(watch_page.application(watch), PORT.value)
  return 0
