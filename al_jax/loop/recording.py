"""Evaluates a round's model, applies the stop rules, and records the round."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from al_jax import keys, made
from al_jax import pool as pool_lib
from al_jax.data import transforms
from al_jax.interfaces import Oracle
from al_jax.loop import ledger, passing, run_state
from al_jax.loop.acquisition import Proposal
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import Run
from al_jax.loop.stopwatch import Stopwatch
from al_jax.storage.records import RoundRecord


class Evaluated(NamedTuple):
  """Evaluation of a round's model.

  Attributes:
    trainable: number of labels that it was trained on.
    test: metrics on the test split.
    class_accuracy: accuracy per class on the test split; None for a class
      without examples.
    validation: metrics on the validation split; empty without one.
    seconds: seconds of the evaluation.
  """

  trainable: int
  test: Mapping[str, np.ndarray]
  class_accuracy: list[float | None]
  validation: Mapping[str, np.ndarray]
  seconds: float


def evaluate(program: Program, run: Run) -> Evaluated:
  """Evaluates the model that a round has trained.

  Args:
    program: the compiled system.
    run: the run, after its training.

  Returns:
    Evaluated.
  """
  stopwatch = Stopwatch()
  trainable = int(pool_lib.num_trainable(run.state.pool))
  key = keys.for_round(run.seed, run.round, keys.EVALUATE)
  try:
    (test, class_accuracy), (validation, _) = (
      ({}, [])
      if evaluate is None
      else jax.device_get(evaluate(key, run.state.learner))
      for evaluate in (program.evaluate, program.validate)
    )
  except FloatingPointError as error:
    raise FloatingPointError(
      f'round {run.round}, seed {run.seed}, system {program.system.name!r}: '
      f'{error}'
    ) from error
  seconds = stopwatch.lap()
  by_class = [None if np.isnan(share) else share for share in class_accuracy]
  return Evaluated(trainable, test, by_class, validation, seconds)


def reason_to_end(
  program: Program, protocol: Protocol, run: Run, evaluated: Evaluated
) -> str | None:
  """Returns the first stop rule of a run that holds, or None.

  Args:
    program: the compiled system.
    protocol: the protocol.
    run: the run, after its training.
    evaluated: evaluation of the round's model.
  """
  for split, target, metrics in (
    ('validation', protocol.target_accuracy, evaluated.validation),
    ('test', protocol.test_accuracy, evaluated.test),
  ):
    if target is not None and metrics['accuracy'] >= target:
      return f'{split} accuracy reached {target}'
  if run.round + 1 >= protocol.rounds:
    return 'all rounds are over'
  if run_state.answered(run.state) >= protocol.budget:
    return 'label budget spent'
  if program.stream is not None and program.stream.is_over(run.state.stream):
    return program.stream.OVER
  made = program.synthesis
  needs_pool = made is None or made.options.begins_in_pool
  if needs_pool and not np.any(pool_lib.eligible(run.state.pool)):
    return 'pool exhausted'
  before = sum(record.seconds for record in run.records)
  spent = before + run.seconds_fit + evaluated.seconds
  if protocol.max_seconds is not None and spent >= protocol.max_seconds:
    return f'{protocol.max_seconds} seconds spent'
  return None


def draft(
  program: Program,
  oracle: Oracle | None,
  run: Run,
  evaluated: Evaluated,
  proposal: Proposal,
  described: Mapping[str, float],
  since_trained: float,
  prices: Mapping[str, float],
) -> RoundRecord:
  """Drafts the record of a round, without the parts that need its answers.

  Args:
    program: the compiled system.
    oracle: the oracle, which may know the share of right pseudo-labels. If
      None, this share is left out.
    run: the run, after its training, with queries pending.
    evaluated: evaluation of the round's model.
    proposal: the queries.
    described: description of the batch of queries. `made` is added if there is
      room for made examples: their share of the queries. `outliers` is added if
      the pool has pictures of nothing: their share of the queries. A stream is
      described by `passing.described` instead.
    since_trained: seconds since the training of the round.
    prices: see `ledger.of`.

  Returns:
    A RoundRecord.
  """
  pseudo = _pseudo_labels(program, oracle, run.state)
  if proposal.passed is not None:
    described = passing.described(program, oracle, proposal.passed)
  strange = transforms.are_outliers(program.ids)
  if np.any(strange) and len(proposal.picks):
    # Clipped because made examples come after those of the pool.
    picks = np.minimum(proposal.picks, len(strange) - 1)
    of_pool = np.asarray(proposal.picks) < len(strange)
    described = {**described, 'outliers': np.mean(strange[picks] & of_pool)}
  if run.state.pool.made is not None and len(proposal.picks):
    is_made = np.asarray(proposal.picks) >= len(program.ids)
    described = {**described, 'made': np.mean(is_made)}
  return RoundRecord(
    system=program.system.name,
    seed=run.seed,
    round=run.round,
    labels=run_state.answered(run.state),
    trainable=evaluated.trainable,
    steps=run.trained['steps'],
    test=evaluated.test,
    test_class_accuracy=evaluated.class_accuracy,
    train={**run.trained['metrics'], **pseudo},
    picks=proposal.picks,
    pick_ids=_ids(program, proposal),
    pick_classes=[],
    batch=described,
    compilations=0,
    validation=evaluated.validation,
    parts=dict(program.system.parts),
    ledger=ledger.of(run.state, oracle, pseudo, prices),
    **_seconds(run, evaluated, proposal, since_trained),
  )


def record(
  program: Program, run: Run, drafted: RoundRecord, seconds: float
) -> RoundRecord:
  """Completes the record of a round when its queries are answered.

  Args:
    program: the compiled system.
    run: the run, with the answers.
    drafted: record from `draft`.
    seconds: seconds that the answers took.

  Returns:
    The RoundRecord.
  """
  pool, picks = run.state.pool, np.asarray(drafted.picks, np.int32)
  if pool.made is not None:
    pool = made.joined(pool)
  answered = picks[np.asarray(pool_lib.trainable(pool))[picks]]
  batch = drafted.batch
  if 'made' in batch:
    batch = {**batch, 'invalid': 1 - len(answered) / len(picks)}
  if program.probe is not None and len(picks):
    of_pool = answered[answered < len(program.ids)]
    by = np.asarray(run.state.pool.annotator)[of_pool]
    # Left out for a batch that a machine answered alone.
    if not len(by) or np.any(by != pool_lib.MACHINE):
      known = program.probe.share_right(run.state.pool, drafted.round, of_pool)
      batch = {**batch, 'probe_right': known}
  return dataclasses.replace(
    drafted,
    batch=batch,
    pick_classes=_class_histogram(program, pool, answered),
    seconds_other=drafted.seconds_other + seconds,
  )


def _pseudo_labels(program, oracle, state):
  """Counts the pseudo-labels, and measures their accuracy if it is known."""
  if program.pseudo_labels is None:
    return {}
  labels = np.asarray(program.pseudo_labels(state.learner, state.pool))
  found = {'pseudo_labels': float(np.count_nonzero(labels >= 0))}
  if hasattr(oracle, 'share_right'):
    found['pseudo_label_accuracy'] = oracle.share_right(labels)
  return found


def _seconds(run, evaluated, proposal, since_trained):
  """Returns the seconds of a round's parts, as fields of its record."""
  parts = {
    'seconds_evaluate': evaluated.seconds,
    'seconds_measure': proposal.seconds_measure,
    'seconds_select': proposal.seconds_select,
  }
  other = max(since_trained - sum(parts.values()), 0.0)
  return {'seconds_fit': run.seconds_fit, **parts, 'seconds_other': other}


def _ids(program, proposal):
  """Returns the names of queries; those of made examples include the origin."""
  num_examples = len(program.ids)
  found = []
  for number, pick in enumerate(proposal.picks):
    if pick < num_examples:
      found.append(program.ids[pick].item())
      continue
    name = f'made {pick - num_examples}'
    if proposal.origins is not None:
      origin = proposal.origins[number]
      name += ' of the prior' if origin < 0 else f' of {program.ids[origin]}'
    found.append(name)
  return found


def _class_histogram(program, pool, answered):
  """Counts the answers per class."""
  task = program.system.facts.task
  classes = task.strata(
    jax.tree.map(lambda leaf: np.asarray(leaf)[answered], pool.targets)
  )
  if classes is None:
    return []
  return np.bincount(classes, minlength=len(task.class_names))
