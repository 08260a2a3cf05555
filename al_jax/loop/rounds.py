"""The loop: train, evaluate, propose, tell, record; once per round.

`run_rounds` is a generator of one `RoundRecord` per round: R rounds are R fits,
R records and R - 1 acquisitions. It keeps nothing that is not in the checkpoint
it saves, so a run that was killed goes on as if nothing had happened. Without
an oracle it ends where queries are pending, and goes on when it is called with
the answers.
"""

import dataclasses
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import keys, made, xla
from al_jax import pool as pool_lib
from al_jax.interfaces import Answers, Oracle
from al_jax.loop import acquisition, contracts, pictures, run_state
from al_jax.loop.events import Events, Observer
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import Run
from al_jax.loop.stopwatch import Stopwatch
from al_jax.storage.checkpoint import Checkpointer
from al_jax.storage.records import RoundRecord
from al_jax.training import fit as fit_lib

# What takes less is not worth a save of its own, which takes about 20 ms.
# Shorter rounds go on while they are saved: of those a killed run may have to
# repeat the last two that were reported.
_LONG_SECONDS = 1.0
# Why a run without an oracle is not over.
PENDING = 'answers are pending'


class Interrupted(Exception):  # noqa: N818, a request and not an error
  """The run was asked to stop; it has been saved where it was."""


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
  should_stop: Callable[[], bool] = lambda: False,
  observers: Sequence[Observer] = (),
) -> Generator[RoundRecord, None, dict[int, str]]:
  """Runs a system, for one seed or for several in lock step.

  Args:
    program: the compiled system; it has a lane for each seed.
    oracle: answers at once. If None, the run ends where queries are pending;
      the last checkpoint has them, and the next call gives the answers.
    protocol: how to proceed.
    seeds: one per lane.
    features: number[N, ...], for a first set of k centers; see `Protocol`.
    answers: without an oracle: pool indices and their answers by seed, all that
      is pending or a part of it. They are saved before anything else is done.
    close: without an oracle: give up what is still pending after `answers`.
    checkpointer: where to save after every round and within long ones, and
      what to go on from; None to keep nothing.
    identity: what makes this run another than others of the same system and
      seeds, in terms of JSON: its configuration, a fingerprint of the data. It
      is saved, and a checkpoint with a different identity is rejected.
    upgraded: brings the identity in a checkpoint of an earlier version up to
      date before they are compared.
    should_stop: looked at after every call of the device; when true the run is
      saved and `Interrupted` is raised.
    observers: told of each round under way, of its pictures, and of each record
      before it is yielded.

  Yields:
    A RoundRecord per round and seed; first those of an earlier process, if the
    run is a resumed one.

  Returns:
    Why the run of each seed ended; `PENDING` where it waits for answers.

  Raises:
    Interrupted: on request.
    FloatingPointError: a weight, a loss or a score that is not finite.
    ValueError: what does not fit together, a checkpoint of another run, or
      answers to what nobody asked.
  """
  contracts.check_run(program, oracle, protocol, seeds, features=features)
  if oracle is not None and (answers is not None or close):
    raise ValueError('answers and close are for runs without an oracle.')
  identity = run_state.identity_of(program, identity)
  runs, fitting, serial = run_state.restore(
    program, checkpointer, seeds, identity, upgraded
  )
  is_new = runs is None
  if is_new:
    runs = _new_runs(program, oracle, protocol, seeds, features)
  events = Events(observers)
  yield from (events.record(each) for run in runs for each in run.records)

  save = _Saves(checkpointer, identity, runs, serial)
  if oracle is None:
    _take(program, runs, answers or {}, close)
    if is_new or answers or close:
      save()
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
    _propose_active(program, oracle, protocol, save, events)
    if oracle is None and any(_is_pending(run) for run in active):
      save.wait()
      return {run.seed: run.ended or PENDING for run in runs}
    for run in active:
      record = _end_round(program, oracle, protocol, run)
      compiled = xla.programs_compiled() - compiled_before
      run.records.append(dataclasses.replace(record, compilations=compiled))
    save()
    if _is_long(run.records[-1].seconds for run in active):
      # Whoever is killed from now on loses nothing of what was reported.
      save.wait()
    yield from (events.record(run.records[-1]) for run in active)
    if should_stop() and any(run.ended is None for run in runs):
      raise Interrupted
  return {run.seed: run.ended for run in runs}


@dataclasses.dataclass
class _Saves:
  """Saves all runs where they are; `serial` is that of the last save."""

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
  """Runs whose first sets are pending."""
  propose = functools.partial(
    acquisition.propose_first, program, oracle, protocol, features=features
  )
  return [Run(seed, propose(seed)) for seed in seeds]


def _is_long(seconds):
  """Whether any of them is long enough for a save to be nothing."""
  return max(seconds, default=0.0) > _LONG_SECONDS


def _is_pending(run):
  return bool(np.any(run.state.pending >= 0))


def _take(program, runs, answers, close):
  """Tells each run what was answered to it."""
  for seed in answers:
    if seed not in [run.seed for run in runs]:
      raise ValueError(f'answers are for seed {seed}, which is not run.')
  nothing = np.zeros(0, np.int32), Answers(np.zeros(0), np.zeros(0))
  for run in runs:
    if run.stage == 'proposed' and (close or run.seed in answers):
      indices, given = answers.get(run.seed, nothing)
      run.state = acquisition.tell(
        program, run.state, indices, given, round=run.round, close=close
      )
    elif run.seed in answers:
      raise ValueError(f'seed {run.seed} has answers, and no query is pending.')


def _train(program, protocol, runs, should_stop, events, *, resume):
  """Trains a round; yields Progress where it may be saved, and when done.

  What it yields at has been taken over into the runs that are active. A run
  that has ended rides along in its lane, and keeps its state.
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


def _train_active(program, protocol, save, should_stop, events, *, resume):
  """Trains a round of all runs that are active, and saves on the way."""
  runs = save.runs
  for progress in _train(
    program, protocol, runs, should_stop, events, resume=resume
  ):
    if np.all(progress.done):
      break
    save(fitting=True, replaceable=True)
    if should_stop():
      raise Interrupted
  active = [run for run in runs if run.ended is None]
  for run in active:
    _end_training(run, _lane(progress, runs.index(run)))
  if _is_long(run.seconds_fit for run in active):
    save(replaceable=True)


def _propose_active(program, oracle, protocol, save, events):
  """Has each run that is trained propose, and saves what would be lost."""
  proposing = [run for run in save.runs if run.stage == 'trained']
  for run in proposing:
    # In no checkpoint: they are handed over before the stage that follows is.
    if events.wanted('on_pictures'):
      events.pictures(pictures.of_round(program, run))
    _propose(program, oracle, protocol, run)
  # What would be lost with the queries.
  is_long = _is_long(run.draft.seconds - run.seconds_fit for run in proposing)
  if proposing and (oracle is None or is_long):
    save(replaceable=oracle is not None)


def _lane(progress, lane):
  return jax.tree.map(lambda leaf: leaf[lane], progress)


def _end_training(run, progress):
  """Notes what the training came to, in terms of JSON."""
  metrics = {name: float(value) for name, value in progress.metrics.items()}
  run.trained = {'steps': int(progress.step), 'metrics': metrics}
  run.stage = 'trained'


def _propose(program, oracle, protocol, run):
  """Evaluates, decides whether the run ends, and proposes queries if not."""
  stopwatch, trained = Stopwatch(), run.state
  evaluated = _evaluate(program, run)
  pseudo = _pseudo_labels(program, oracle, trained)
  run.ending = _reason_to_end(protocol, run, evaluated)
  proposal, described = acquisition.NOTHING, {}
  if run.ending is None:
    k = _num_queries(program, protocol, run)
    run.state, proposal = acquisition.propose(
      program, run.state, k, seed=run.seed, round=run.round
    )
    if program.describe is not None:
      described = program.describe(run.state.learner, proposal.picks, k)
  run.draft = RoundRecord(
    system=program.system.name,
    seed=run.seed,
    round=run.round,
    labels=trained.paid,
    trainable=evaluated.trainable,
    steps=run.trained['steps'],
    test=evaluated.test,
    test_class_accuracy=evaluated.class_accuracy,
    train={**run.trained['metrics'], **pseudo},
    picks=proposal.picks,
    pick_ids=_ids(program, proposal.picks),
    pick_classes=[],
    batch=described,
    compilations=0,
    validation=evaluated.validation,
    **_seconds(run, evaluated, proposal, stopwatch.lap()),
  )
  run.stage = 'proposed'


def _num_queries(program, protocol, run):
  """The most queries at the end of a round."""
  return min(
    protocol.labels_per_round,
    protocol.budget - run.state.paid,
    program.system.facts.num_examples,
  )


def _end_round(program, oracle, protocol, run):
  """Has an oracle answer what is pending, and moves on to the next round.

  Returns the record of the round; None where the first set was answered.
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
  return dataclasses.replace(
    draft,
    pick_classes=_class_histogram(program, run.state.pool, draft.picks),
    seconds_other=draft.seconds_other + stopwatch.lap(),
  )


class _Evaluated(NamedTuple):
  """How good the model of a round is.

  Attributes:
    trainable: number of labels that it was trained on.
    test: metrics on the test split.
    class_accuracy: on the test split; None for a class without examples.
    validation: metrics on the validation split; empty without one.
    seconds: spent on evaluating it.
  """

  trainable: int
  test: Mapping[str, np.ndarray]
  class_accuracy: list[float | None]
  validation: Mapping[str, np.ndarray]
  seconds: float


def _evaluate(program, run):
  """Evaluates the model that the round has trained."""
  stopwatch = Stopwatch()
  trainable = int(pool_lib.num_trainable(run.state.pool))
  key = keys.for_round(run.seed, run.round, keys.EVALUATE)
  (test, class_accuracy), (validation, _) = (
    ({}, [])
    if evaluate is None
    else jax.device_get(evaluate(key, run.state.learner))
    for evaluate in (program.evaluate, program.validate)
  )
  seconds = stopwatch.lap()
  by_class = [None if np.isnan(share) else share for share in class_accuracy]
  return _Evaluated(trainable, test, by_class, validation, seconds)


def _pseudo_labels(program, oracle, state):
  """How many labels the learner gave itself, and how many of them are right."""
  if program.pseudo_labels is None:
    return {}
  labels = np.asarray(program.pseudo_labels(state.learner, state.pool))
  found = {'pseudo_labels': float(np.count_nonzero(labels >= 0))}
  if oracle is not None:
    found['pseudo_label_accuracy'] = oracle.share_right(labels)
  return found


def _reason_to_end(protocol, run, evaluated):
  """The first stop rule that holds, or None."""
  for split, target, metrics in (
    ('validation', protocol.target_accuracy, evaluated.validation),
    ('test', protocol.test_accuracy, evaluated.test),
  ):
    if target is not None and metrics['accuracy'] >= target:
      return f'{split} accuracy reached {target}'
  if run.round + 1 >= protocol.rounds:
    return 'all rounds are over'
  if run.state.paid >= protocol.budget:
    return 'label budget spent'
  if not np.any(pool_lib.eligible(run.state.pool)):
    return 'pool exhausted'
  before = sum(record.seconds for record in run.records)
  spent = before + run.seconds_fit + evaluated.seconds
  if protocol.max_seconds is not None and spent >= protocol.max_seconds:
    return f'{protocol.max_seconds} seconds spent'
  return None


def _seconds(run, evaluated, proposal, since_trained):
  """The seconds of a round's parts, as fields of its record."""
  parts = {
    'seconds_evaluate': evaluated.seconds,
    'seconds_measure': proposal.seconds_measure,
    'seconds_select': proposal.seconds_select,
  }
  other = max(since_trained - sum(parts.values()), 0.0)
  return {'seconds_fit': run.seconds_fit, **parts, 'seconds_other': other}


def _ids(program, picks):
  """Names of queries; those of made examples are `made 0`, `made 1`, ..."""
  num_examples = len(program.ids)
  return [
    program.ids[pick].item()
    if pick < num_examples
    else f'made {pick - num_examples}'
    for pick in picks
  ]


def _class_histogram(program, pool, picks):
  """How many of the picks were answered by each class."""
  picks = np.asarray(picks, np.int32)
  if pool.made is not None:
    pool = made.joined(pool)
  answered = picks[np.asarray(pool.annotator)[picks] == pool_lib.ORACLE]
  task = program.system.facts.task
  classes = task.strata(
    jax.tree.map(lambda leaf: np.asarray(leaf)[answered], pool.targets)
  )
  if classes is None:
    return []
  return np.bincount(classes, minlength=len(task.class_names))
