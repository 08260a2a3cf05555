"""The loop: train, evaluate, ask, reveal, record; once per round.

`run_rounds` is a generator of one `RoundRecord` per round: R rounds are R fits,
R records and R - 1 acquisitions. It keeps nothing that is not in the checkpoint
it saves, so a run that was killed goes on as if nothing had happened.
"""

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import keys, xla
from al_jax import pool as pool_lib
from al_jax.loop import acquisition, contracts, run_state
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.stopwatch import Stopwatch
from al_jax.oracle import Oracle
from al_jax.storage.checkpoint import Checkpointer
from al_jax.storage.records import RoundRecord
from al_jax.training import fit as fit_lib

# A save takes about 20 ms. Shorter rounds go on while it is being written: of
# those a killed run may have to repeat the last two that were reported.
_LONG_ROUND_SECONDS = 1.0


class Interrupted(Exception):  # noqa: N818, a request and not an error
  """The run was asked to stop; it has been saved where it was."""


def run_rounds(
  program: Program,
  oracle: Oracle,
  protocol: Protocol,
  seeds: Sequence[int],
  *,
  checkpointer: Checkpointer | None = None,
  identity: Mapping[str, Any] | None = None,
  upgraded: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda old: old,
  should_stop: Callable[[], bool] = lambda: False,
) -> Generator[RoundRecord, None, dict[int, str]]:
  """Runs a system, for one seed or for several in lock step.

  Args:
    program: the compiled system; it has a lane for each seed.
    oracle: answers.
    protocol: how to proceed.
    seeds: one per lane.
    checkpointer: where to save after every round and within long ones, and
      what to go on from; None to keep nothing.
    identity: what makes this run another than others of the same system and
      seeds, in terms of JSON: its configuration, a fingerprint of the data. It
      is saved, and a checkpoint that has another is not gone on from.
    upgraded: brings the identity in a checkpoint of an earlier version up to
      date before they are compared.
    should_stop: looked at after every call of the device; when true the run is
      saved and `Interrupted` is raised.

  Yields:
    A RoundRecord per round and seed; first those of an earlier process, if the
    run is a resumed one.

  Returns:
    Why the run of each seed ended.

  Raises:
    Interrupted: on request.
    FloatingPointError: a loss or a score that is not finite.
    ValueError: what does not fit together, or a checkpoint of another run.
  """
  contracts.check_run(program, oracle, protocol, seeds)
  identity = run_state.identity_of(program, identity)
  runs, fitting, serial = run_state.restore(
    program, checkpointer, seeds, identity, upgraded
  )
  if runs is None:
    runs = [
      run_state.Run(seed, acquisition.begin(program, oracle, protocol, seed))
      for seed in seeds
    ]
  for run in runs:
    yield from run.records

  compiled_before = xla.programs_compiled()
  while any(run.ended is None for run in runs):
    active = [run for run in runs if run.ended is None]
    for progress in _train(
      program, protocol, runs, should_stop, resume=fitting
    ):
      if np.all(progress.done):
        break
      serial = run_state.save(
        checkpointer, serial, runs, identity, fitting=True
      )
      if should_stop():
        raise Interrupted
    for run in active:
      of_lane = _lane(progress, runs.index(run))
      record = _finish_round(program, oracle, protocol, run, of_lane)
      compiled = xla.programs_compiled() - compiled_before
      run.records.append(dataclasses.replace(record, compilations=compiled))
    fitting = False
    serial = run_state.save(checkpointer, serial, runs, identity, fitting=False)
    if checkpointer is not None and _is_long(active):
      # Whoever is killed from now on loses nothing of what was reported.
      checkpointer.wait()
    for run in active:
      yield run.records[-1]
    if should_stop() and any(run.ended is None for run in runs):
      raise Interrupted
  return {run.seed: run.ended for run in runs}


def _is_long(active):
  """Whether a round took so long that waiting for its save is nothing."""
  return max(run.records[-1].seconds for run in active) > _LONG_ROUND_SECONDS


def _train(program, protocol, runs, should_stop, *, resume):
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
    at_interval = int(np.max(progress.step)) % protocol.save_every_steps == 0
    if not (np.all(progress.done) or at_interval or should_stop()):
      continue
    seconds = stopwatch.lap()
    for run, learner in zip(runs, program.fit.unpack(packed), strict=True):
      if run.ended is None:
        run.state = run.state.replace(learner=learner)
        run.seconds_fit += seconds
    yield progress


def _lane(progress, lane):
  return jax.tree.map(lambda leaf: leaf[lane], progress)


def _finish_round(program, oracle, protocol, run, progress):
  """Evaluates, asks, records, and moves the run to its next round."""
  stopwatch, trained = Stopwatch(), run.state
  evaluated = _evaluate(program, run)
  machine = _by_machine(program, oracle, trained)
  run.ended = _reason_to_end(protocol, program.system.facts, run, evaluated)
  acquired, described = acquisition.NOTHING, {}
  if run.ended is None:
    acquired, described = _ask(program, oracle, protocol, run)
  record = RoundRecord(
    system=program.system.name,
    seed=run.seed,
    round=run.round,
    labels=trained.paid,
    trainable=evaluated.trainable,
    steps=progress.step,
    test=evaluated.test,
    test_class_accuracy=evaluated.class_accuracy,
    train={**progress.metrics, **machine},
    picks=acquired.picks,
    pick_ids=program.ids[acquired.picks].tolist(),
    pick_classes=_class_histogram(acquired, program.system.facts.num_classes),
    batch=described,
    compilations=0,
    validation=evaluated.validation,
    **_seconds(run, evaluated, acquired, stopwatch.lap()),
  )
  run.round += 1
  run.seconds_fit = 0.0
  return record


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
  trainable = int(np.sum(pool_lib.trainable(run.state.pool)))
  key = keys.for_round(run.seed, run.round, keys.EVALUATE)
  test, class_accuracy = jax.device_get(
    program.evaluate(key, run.state.learner)
  )
  validation = {}
  if program.validate is not None:
    validation, _ = jax.device_get(program.validate(key, run.state.learner))
  seconds = stopwatch.lap()
  by_class = [None if np.isnan(share) else share for share in class_accuracy]
  return _Evaluated(trainable, test, by_class, validation, seconds)


def _ask(program, oracle, protocol, run):
  """Asks what the strategy selects, and describes it if that is wanted."""
  k = min(
    protocol.labels_per_round,
    protocol.budget - run.state.paid,
    program.system.facts.num_examples,
  )
  run.state, acquired = acquisition.acquire(
    program, oracle, run.state, k, seed=run.seed, round=run.round
  )
  described = {}
  if program.describe is not None:
    described = program.describe(run.state.learner, acquired.picks, k)
  return acquired, described


def _by_machine(program, oracle, state):
  """How many labels the learner gave itself, and how many of them are right."""
  if program.pseudo_labels is None:
    return {}
  labels = np.asarray(program.pseudo_labels(state.learner, state.pool))
  return {
    'machine_labels': float(np.count_nonzero(labels >= 0)),
    'machine_accuracy': oracle.share_right(labels),
  }


def _reason_to_end(protocol, facts, run, evaluated):
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
  if run.state.paid >= facts.num_examples:
    return 'pool exhausted'
  before = sum(record.seconds for record in run.records)
  spent = before + run.seconds_fit + evaluated.seconds
  if protocol.max_seconds is not None and spent >= protocol.max_seconds:
    return f'{protocol.max_seconds} seconds spent'
  return None


def _seconds(run, evaluated, acquired, since_trained):
  """The seconds of a round's parts, as fields of its record."""
  parts = {
    'seconds_evaluate': evaluated.seconds,
    'seconds_measure': acquired.seconds_measure,
    'seconds_select': acquired.seconds_select,
  }
  other = max(since_trained - sum(parts.values()), 0.0)
  return {'seconds_fit': run.seconds_fit, **parts, 'seconds_other': other}


def _class_histogram(acquired, num_classes):
  answered = acquired.answers.annotator == pool_lib.ORACLE
  return np.bincount(acquired.answers.targets[answered], minlength=num_classes)
