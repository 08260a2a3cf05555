"""Trains a round, for all lanes at once."""

from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from al_jax import keys
from al_jax.interfaces import Progress
from al_jax.loop import contracts
from al_jax.loop.events import Events
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import Run
from al_jax.loop.stopwatch import Stopwatch
from al_jax.training import fit as fit_lib


def train(
  program: Program,
  protocol: Protocol,
  runs: Sequence[Run],
  should_stop: Callable[[], bool],
  events: Events,
  *,
  resume: bool,
) -> Iterator[Progress]:
  """Trains a round.

  At every yield the active runs hold the state of training so far. A run that
  has ended stays in its lane and keeps its state.

  Args:
    program: the compiled system.
    protocol: the protocol, which says how often to save.
    runs: one run per lane; they are modified.
    should_stop: called after every call of the device.
    events: receives the progress of the round.
    resume: whether the runs are in the middle of this round's training.

  Yields:
    Progress on the host, at points where the runs may be saved; the last one is
    done in every lane.

  Raises:
    FloatingPointError: a weight or a loss is not finite.
  """
  stopwatch = Stopwatch()
  in_round = [(run.seed, run.round) for run in runs]
  steps = fit_lib.fit(
    program.fit,
    [keys.for_round(*where, keys.START) for where in in_round],
    [keys.for_round(*where, keys.SURVEY) for where in in_round],
    [run.state.learner for run in runs],
    [run.state.pool for run in runs],
    resume=resume,
    stop_every=protocol.save_every_steps,
  )
  for packed, progress in steps:
    finite = jax.device_get(program.fit.finite(packed))
    contracts.check_finite(program, runs, progress, finite)
    contracts.check_trained(program, runs, progress)
    events.progress(program.system.name, runs, progress)
    at_interval = int(np.max(progress.step)) % protocol.save_every_steps == 0
    if not (np.all(progress.done) or at_interval or should_stop()):
      continue
    seconds = stopwatch.lap()
    for run, learner in zip(runs, program.fit.unpack(packed), strict=True):
      if run.ended is None:
        run.state = run.state.replace(learner=learner)
        run.seconds_fit += seconds
    yield progress


def end_training(run: Run, progress: Progress) -> None:
  """Stores the results of a run's training, in types that JSON has.

  Args:
    run: the run; it is modified.
    progress: progress of its lane, on the host.
  """
  metrics = {name: float(value) for name, value in progress.metrics.items()}
  run.trained = {'steps': int(progress.step), 'metrics': metrics}
  run.stage = 'trained'
