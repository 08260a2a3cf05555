"""Runs the seeds of one system: in turn, side by side, or in processes."""

import contextlib
import pathlib
import signal
from collections.abc import Callable, Iterator

import jax
from absl import logging

from al_jax import checkpoint, loop, records, sources
from experiments import building
from experiments.building import Experiment

OnRecord = Callable[[records.RoundRecord], None]


class StopRequest:
  """Turns Ctrl-C and SIGTERM into a request that the loop looks at.

  The first asks for a clean end; a second Ctrl-C is what it always was.
  """

  def __init__(self):
    self._asked = False

  def __call__(self) -> bool:
    return self._asked

  @contextlib.contextmanager
  def listening(self) -> Iterator['StopRequest']:
    """While open, signals become requests."""
    caught = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in caught}
    for number in caught:
      signal.signal(number, self._ask)
    try:
      yield self
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def _ask(self, number, frame):
    del number, frame
    if self._asked:
      raise KeyboardInterrupt
    self._asked = True
    logging.info('Stopping after this step; once more to stop at once.')


def run_system(
  experiment: Experiment,
  name: str,
  all_sources: sources.Sources,
  folder: pathlib.Path,
  should_stop: Callable[[], bool],
  on_record: OnRecord,
) -> list[records.RoundRecord]:
  """Runs every seed of a system in this process.

  On an accelerator all seeds advance in one call; on a CPU one after another,
  through the same compiled program.

  Args:
    experiment: data, protocol, oracle.
    name: of the system.
    all_sources: of the data.
    folder: where the checkpoints go.
    should_stop: see `loop.run_rounds`.
    on_record: called with each record as it comes.

  Returns:
    The records of all seeds.
  """
  seeds = building.seed_list(experiment.config)
  together = jax.default_backend() != 'cpu' and all(
    sources.is_on_device(source.inputs) for source in all_sources.values()
  )
  groups = [seeds] if together else [(seed,) for seed in seeds]
  program = building.program_of(experiment, name, all_sources, len(groups[0]))
  found = []
  for group in groups:
    label = '_'.join(str(seed) for seed in group)
    with checkpoint.Checkpointer(folder / f'seed_{label}') as checkpointer:
      for record in loop.run_rounds(
        program,
        experiment.oracle,
        experiment.protocol,
        group,
        checkpointer=checkpointer,
        should_stop=should_stop,
      ):
        found.append(record)
        on_record(record)
  return found
