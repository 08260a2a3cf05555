"""The loop: train, evaluate, propose, tell, record; once per round.

`run_rounds` is a generator of one `RoundRecord` per round: R rounds are R fits,
R records and R - 1 acquisitions. Its whole state is in the checkpoints that it
saves, so a killed run resumes as if nothing had happened. Without an oracle it
returns when queries are pending, and resumes when it is called with the
answers.
"""

import dataclasses
import functools
import types
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from al_jax import xla
from al_jax.interfaces import Answers, Oracle
from al_jax.loop import (
  acquisition,
  beginning,
  contracts,
  fitting,
  pictures,
  queries,
  recording,
  run_state,
)
from al_jax.loop.events import Events, Observer
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import Run
from al_jax.loop.stopwatch import Stopwatch
from al_jax.storage.checkpoint import Checkpointer
from al_jax.storage.records import RoundRecord

# A stage that takes less is not worth its own save, which takes about 20 ms.
# Shorter rounds run on while they are saved: a killed run may have to repeat
# the last two rounds that it reported.
_LONG_SECONDS = 1.0
# The reason why a run without an oracle stops.
PENDING = 'answers are pending'


class Interrupted(Exception):  # noqa: N818, a request and not an error
  """The run was asked to stop; its current state is saved."""


def run_rounds(
  program: Program,
  oracle: Oracle | None,
  protocol: Protocol,
  seeds: Sequence[int],
  *,
  features: np.ndarray | None = None,
  answers: Mapping[int, tuple[np.ndarray, Answers]] | None = None,
  close: bool = False,
  checkpointer: Checkpointer | None = None,
  identity: Mapping[str, Any] | None = None,
  upgraded: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda old: old,
  prices: Mapping[str, float] = types.MappingProxyType({}),
  should_stop: Callable[[], bool] = lambda: False,
  observers: Sequence[Observer] = (),
) -> Generator[RoundRecord, None, dict[int, str]]:
  """Runs a system, for one seed or for several in lockstep.

  Args:
    program: the compiled system, with a lane for each seed.
    oracle: source of immediate answers. If None, the run stops when queries are
      pending. The last checkpoint has them; the next call gives the answers.
    protocol: the protocol.
    seeds: one seed per lane.
    features: number[N, ...], for a first set of k centers; see `Protocol`.
    answers: maps a seed to pool indices and their answers, for all pending
      queries or a part of them; only without an oracle. They are saved before
      anything else is done.
    close: whether to drop the queries that are still pending after `answers`;
      only without an oracle.
    checkpointer: saves every round, and within long rounds, and restores the
      last save. If None, nothing is saved.
    identity: everything that distinguishes this run from others of the same
      system and seeds, in types that JSON has: its configuration, a fingerprint
      of the data. It is saved, and a checkpoint with a different identity is
      rejected.
    upgraded: updates the identity in a checkpoint of an earlier version before
      the comparison.
    prices: prices per label, for the ledger in the records, see `ledger.of`.
    should_stop: called after every call of the device; if it returns True, the
      run is saved and `Interrupted` is raised.
    observers: receive the progress of rounds, their pictures, and each record
      before it is yielded.

  Yields:
    A RoundRecord per round and seed. A resumed run first yields the records of
    earlier processes.

  Returns:
    The reason why the run of each seed ended; `PENDING` if it waits for
    answers.

  Raises:
    Interrupted: `should_stop` returned True.
    FloatingPointError: a weight, a loss or a score is not finite.
    ValueError: parts do not fit together, the checkpoint is of another run, or
      an answer has no pending query.
  """
  contracts.check_run(program, oracle, protocol, seeds, features=features)
  _check_answers(oracle, answers, close)
  identity = run_state.identity_of(program, identity)
  runs, fitting, serial = run_state.restore(
    program, checkpointer, seeds, identity, upgraded
  )
  is_new = runs is None
  if is_new:
    runs = _new_runs(program, oracle, protocol, seeds, features)
  save = _Saves(checkpointer, identity, runs, serial)
  if oracle is None:
    _take(program, runs, answers or {}, close)
    if is_new or answers or close:
      save()
      save.wait()
  events = Events(observers)
  yield from (events.record(each) for run in runs for each in run.records)
  for run in runs:
    if run.round < 0 and (oracle is not None or not _is_pending(run)):
      _end_round(program, oracle, protocol, run)
  compiled_before = xla.programs_compiled()
  while active := [run for run in runs if run.ended is None]:
    if all(run.stage == 'training' for run in active):
      _train_active(
        program, protocol, save, should_stop, events, resume=fitting
      )
    fitting = False
    _propose_active(program, oracle, protocol, save, events, prices)
    if oracle is None and any(_is_pending(run) for run in active):
      save.wait()
      return {run.seed: run.ended or PENDING for run in runs}
    for run in active:
      record = _end_round(program, oracle, protocol, run)
      _tell_made(program, run, record, events)
      compiled = xla.programs_compiled() - compiled_before
      run.records.append(dataclasses.replace(record, compilations=compiled))
    save()
    if _is_long(run.records[-1].seconds for run in active):
      # A process killed from here on loses no record that it yielded.
      save.wait()
    yield from (events.record(run.records[-1]) for run in active)
    if should_stop() and any(run.ended is None for run in runs):
      raise Interrupted
  return {run.seed: run.ended for run in runs}


def _check_answers(oracle, answers, close):
  if oracle is not None and (answers is not None or close):
    raise ValueError('answers and close are for runs without an oracle.')


@dataclasses.dataclass
class _Saves:
  """Saves all runs; `serial` is the number of the last save."""

  checkpointer: Checkpointer | None
  identity: Mapping[str, Any]
  runs: Sequence[Run]
  serial: int

  def __call__(self, *, fitting=False, replaceable=False):
    self.serial = run_state.save(
      self.checkpointer,
      self.serial,
      self.runs,
      self.identity,
      fitting=fitting,
      replaceable=replaceable,
    )

  def wait(self):
    if self.checkpointer is not None:
      self.checkpointer.wait()


def _new_runs(program, oracle, protocol, seeds, features):
  """Makes runs whose first sets are pending."""
  propose = functools.partial(
    beginning.propose_first, program, oracle, protocol, features=features
  )
  return [Run(seed, propose(seed)) for seed in seeds]


def _is_long(seconds):
  """Returns whether any of these is long enough to be worth a save."""
  return max(seconds, default=0.0) > _LONG_SECONDS


def _is_pending(run):
  return bool(np.any(run.state.pending >= 0))


def _take(program, runs, answers, close):
  """Gives each run its answers."""
  for seed in answers:
    if seed not in [run.seed for run in runs]:
      raise ValueError(f'answers are for seed {seed}, which is not in the run.')
  nothing = np.zeros(0, np.int32), Answers(np.zeros(0), np.zeros(0))
  for run in runs:
    if run.stage == 'proposed' and (close or run.seed in answers):
      indices, given = answers.get(run.seed, nothing)
      run.state = acquisition.tell(
        program, run.state, indices, given, round=run.round, close=close
      )
    elif run.seed in answers:
      raise ValueError(f'seed {run.seed} has answers, but no query is pending.')


def _train_active(program, protocol, save, should_stop, events, *, resume):
  """Trains a round of all active runs, with saves on the way."""
  runs = save.runs
  for progress in fitting.train(
    program, protocol, runs, should_stop, events, resume=resume
  ):
    if np.all(progress.done):
      break
    save(fitting=True, replaceable=True)
    if should_stop():
      raise Interrupted
  active = [run for run in runs if run.ended is None]
  for run in active:
    fitting.end_training(run, _lane(progress, runs.index(run)))
  if _is_long(run.seconds_fit for run in active):
    save(replaceable=True)


def _propose_active(program, oracle, protocol, save, events, prices):
  """Proposes the queries of each trained run, and saves expensive proposals."""
  proposing = [run for run in save.runs if run.stage == 'trained']
  for run in proposing:
    # Checkpoints have no pictures, so they are sent before the next save.
    if events.wanted('on_pictures'):
      events.pictures(pictures.of_round(program, run))
    proposal = _propose(program, oracle, protocol, run, prices)
    if events.wanted('on_queries') and len(proposal.picks):
      events.tell('on_queries', queries.of_round(program, run, proposal))
  is_long = _is_long(run.draft.seconds - run.seconds_fit for run in proposing)
  if proposing and (oracle is None or is_long):
    save(replaceable=oracle is not None)


def _tell_made(program, run, record, events):
  """Sends made queries and their answers to the observers that want them."""
  if program.synthesis is not None and events.wanted('on_made'):
    events.tell('on_made', queries.made_of_round(program, run, record))


def _lane(progress, lane):
  return jax.tree.map(lambda leaf: leaf[lane], progress)


def _propose(program, oracle, protocol, run, prices):
  """Evaluates, decides whether the run ends, and if not proposes queries.

  Returns the Proposal.
  """
  stopwatch = Stopwatch()
  evaluated = recording.evaluate(program, run)
  run.ending = recording.reason_to_end(program, protocol, run, evaluated)
  proposal, described = acquisition.NOTHING, {}
  if run.ending is None:
    k = _num_queries(program, protocol, run)
    run.state, proposal = acquisition.propose(
      program, run.state, k, seed=run.seed, round=run.round
    )
    if program.stream is not None and not len(proposal.picks):
      # Without a new label, another training would change nothing.
      run.ending = program.stream.OVER
    if program.describe is not None:
      described = program.describe(run.state.learner, proposal.picks, k)
  run.draft = recording.draft(
    program,
    oracle,
    run,
    evaluated,
    proposal,
    described,
    stopwatch.lap(),
    prices,
  )
  run.stage = 'proposed'
  return proposal


def _num_queries(program, protocol, run):
  """Returns the maximum number of queries at the end of a round."""
  return min(
    protocol.labels_per_round,
    protocol.budget - run_state.answered(run.state),
    program.system.facts.num_examples,
  )


def _end_round(program, oracle, protocol, run):
  """Has an oracle answer the pending queries, and starts the next round.

  Returns the record of the round; None after the first set.
  """
  stopwatch, draft = Stopwatch(), run.draft
  if oracle is not None and _is_pending(run):
    size = protocol.first_size
    if draft is not None:
      size = _num_queries(program, protocol, run)
    run.state = acquisition.ask(
      program, oracle, run.state, size, seed=run.seed, round=run.round
    )
  run.stage, run.trained, run.draft = 'training', None, None
  run.ended = run.ending
  run.round += 1
  run.seconds_fit = 0.0
  if draft is None:
    return None
  return recording.record(program, run, draft, stopwatch.lap())
