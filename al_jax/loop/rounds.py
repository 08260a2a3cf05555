"""The loop: train, evaluate, ask, reveal, record; once per round.

`run_rounds` is a generator of one `RoundRecord` per round: R rounds are R fits,
R records and R - 1 acquisitions. It keeps nothing that is not in the checkpoint
it saves, so a run that was killed goes on as if nothing had happened.
"""

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from al_jax import keys, xla
from al_jax import pool as pool_lib
from al_jax.loop import acquisition, run_state, stages
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.stopwatch import Clock
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
  _check(program, oracle, protocol, seeds)
  identity = run_state.identity_of(program, identity)
  runs, fitting, serial = run_state.restore(
    program, checkpointer, seeds, identity
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


def _check(program, oracle, protocol, seeds):
  """Refuses what does not fit together, before any work."""
  facts = program.system.facts
  for seed in seeds:
    keys.for_run(seed, keys.INITIALISE)  # refuses what no key can hold
  if len(seeds) != program.fit.num_lanes or len(set(seeds)) < len(seeds):
    raise ValueError(
      f'seeds are {list(seeds)}; the program was compiled for so many '
      f'different seeds: {program.fit.num_lanes}. Call run_rounds for each, or '
      'compile_program with num_lanes.'
    )
  for name, here, wanted in (
    ('examples', oracle.num_examples, facts.num_examples),
    ('classes', oracle.num_classes, facts.num_classes),
  ):
    if here != wanted:
      raise ValueError(
        f'the oracle has {here} {name}; the system was built for {wanted}.'
      )
  protocol.check(facts.num_examples)
  stages.check_candidates(
    program.system.strategy,
    min(protocol.labels_per_round, facts.num_examples),
  )
  if min(protocol.budget, facts.num_examples) > facts.label_budget:
    raise ValueError(
      f'the protocol may pay for {protocol.budget} labels; the system was '
      f'built for {facts.label_budget}.'
    )


def _train(program, protocol, runs, should_stop, *, resume):
  """Trains a round; yields Progress where it may be saved, and when done.

  What it yields at has been taken over into the runs that are active. A run
  that has ended rides along in its lane, and keeps its state.
  """
  clock = Clock()
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
    _check_loss(program, runs, progress)
    _warn_of_collapse(program, runs, progress)
    at_interval = int(np.max(progress.step)) % protocol.save_every_steps == 0
    if not (np.all(progress.done) or at_interval or should_stop()):
      continue
    seconds = clock.lap()
    for run, learner in zip(runs, program.fit.unpack(packed), strict=True):
      if run.ended is None:
        run.state = run.state.replace(learner=learner)
        run.seconds_fit += seconds
    yield progress


def _just_trained(runs, progress):
  """The lanes whose round's training is over, and their runs."""
  for lane, run in enumerate(runs):
    if run.ended is None and progress.done[lane]:
      yield lane, run


def _check_loss(program, runs, progress):
  loss = progress.metrics.get('loss')
  for lane, run in _just_trained(runs, progress):
    if loss is None or progress.step[lane] == 0:
      continue  # without a step nothing has been seen, and the loss is NaN
    if not np.isfinite(loss[lane]):
      raise FloatingPointError(
        f'round {run.round}, seed {run.seed}: the training loss of system '
        f'{program.system.name!r} is {loss[lane]} after '
        f'{progress.step[lane]} steps; a lower learning rate or clip_norm '
        'may help.'
      )


def _warn_of_collapse(program, runs, progress):
  """Of learners whose metrics say that they predict one class for all."""
  collapsed = progress.metrics.get('collapsed')
  for lane, run in _just_trained(runs, progress):
    if collapsed is not None and collapsed[lane]:
      logging.warning(
        'round %d, seed %d: system %r predicts one class for practically all '
        'that is not labelled; a lower entropy_weight or some balance may '
        'help.',
        run.round,
        run.seed,
        program.system.name,
      )


def _lane(progress, lane):
  return jax.tree.map(lambda leaf: leaf[lane], progress)


def _finish_round(program, oracle, protocol, run, progress):
  """Evaluates, asks if the run goes on, and moves the run to its next round."""
  clock, whole = Clock(), Clock()
  facts = program.system.facts
  paid = run.state.paid
  trainable = int(np.sum(pool_lib.trainable(run.state.pool)))
  key = keys.for_round(run.seed, run.round, keys.EVALUATE)
  metrics, class_accuracy = jax.device_get(
    program.evaluate(key, run.state.learner)
  )
  validation = {}
  if program.validate is not None:
    validation, _ = jax.device_get(program.validate(key, run.state.learner))
  seconds_evaluate = clock.lap()
  trained = {**progress.metrics, **_by_machine(program, oracle, run.state)}
  spent = _seconds(run) + run.seconds_fit + seconds_evaluate
  run.ended = _reason_to_end(protocol, facts, run, metrics, spent)
  acquired, described = acquisition.NOTHING, {}
  if run.ended is None:
    k = min(
      protocol.labels_per_round, protocol.budget - paid, facts.num_examples
    )
    run.state, acquired = acquisition.acquire(
      program, oracle, run.state, k, seed=run.seed, round=run.round
    )
    if program.describe is not None:
      described = program.describe(run.state.learner, acquired.picks, k)
  absent = np.isnan(class_accuracy)
  record = RoundRecord(
    system=program.system.name,
    seed=run.seed,
    round=run.round,
    labels=paid,
    trainable=trainable,
    steps=progress.step,
    test=metrics,
    test_class_accuracy=[
      None if missing else accuracy
      for accuracy, missing in zip(class_accuracy, absent, strict=True)
    ],
    train=trained,
    seconds_fit=run.seconds_fit,
    seconds_evaluate=seconds_evaluate,
    seconds_measure=acquired.seconds_measure,
    seconds_select=acquired.seconds_select,
    seconds_other=max(
      whole.lap()
      - seconds_evaluate
      - acquired.seconds_measure
      - acquired.seconds_select,
      0.0,
    ),
    picks=acquired.picks,
    pick_ids=program.ids[acquired.picks].tolist(),
    pick_classes=_class_histogram(acquired, facts.num_classes),
    batch=described,
    compilations=0,
    validation=validation,
  )
  run.round += 1
  run.seconds_fit = 0.0
  return record


def _by_machine(program, oracle, state):
  """How many labels the learner gave itself, and how many of them are right."""
  if program.machine_labels is None:
    return {}
  labels = np.asarray(program.machine_labels(state.learner, state.pool))
  return {
    'machine_labels': float(np.count_nonzero(labels >= 0)),
    'machine_accuracy': oracle.share_right(labels),
  }


def _reason_to_end(protocol, facts, run, metrics, spent):
  """The first stop rule that holds, or None."""
  target = protocol.target_accuracy
  if target is not None and metrics['accuracy'] >= target:
    return f'test accuracy reached {target}'
  if run.round + 1 >= protocol.rounds:
    return 'all rounds are over'
  if run.state.paid >= protocol.budget:
    return 'label budget spent'
  if run.state.paid >= facts.num_examples:
    return 'pool exhausted'
  if protocol.max_seconds is not None and spent >= protocol.max_seconds:
    return f'{protocol.max_seconds} seconds spent'
  return None


def _seconds(run):
  """What the rounds that are over took."""
  return sum(record.seconds for record in run.records)


def _class_histogram(acquired, num_classes):
  answered = acquired.answers.annotator == pool_lib.ORACLE
  return np.bincount(acquired.answers.targets[answered], minlength=num_classes)
