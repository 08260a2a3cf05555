"""Shows runs on a live page of this machine, while they train and after.

    al-jax watch runs/digits
    al-jax watch runs/first runs/second --port=8123

A WORKDIR is that of a run or of a grid, or a folder of several; one that is
not there yet waits for its run, if the folder around it is there. The page
shows curves over rounds and within the round under way, the newest queries,
sample sheets, what was paid, and how long the rest will take. It only reads,
and only this machine can open it; the page needs no network.
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

# Commands that tests import side by side have flags of these names too.
WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'The folder to watch, for who prefers a flag.',
  allow_override=True,
)
PORT = flags.DEFINE_integer(
  'port',
  0,
  'The port of the page; 0 takes a free one.',
  allow_override=True,
)

parse_flags = ending.parse_flags
# The run goes first where both want the processor.
_NICE = 10


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  folders = [*argv[1:], *([WORKDIR.value] if WORKDIR.value else [])]
  return ending.in_a_sentence(argv, lambda: _run(folders), takes_names=True)


def _run(folders):
  if not folders:
    raise ValueError('no WORKDIR is given; name the folder of a run.')
  watch = Watch([pathlib.Path(folder) for folder in folders])
  # Pictures may need JAX: an accelerator belongs to the run.
  jax.config.update('jax_platforms', 'cpu')
  os.nice(_NICE)
  server.serve(watch_page.application(watch), PORT.value)
  return 0
