"""Training on what the last round's model is sure of, beside the labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import (
  Facts,
  Learner,
  LearnerState,
  ModelFns,
  Survey,
)
from al_jax.learners.supervised import supervised

SCHEDULES = ('cumulative', 'linear')


@flax.struct.dataclass
class SelfTrainingState:
  """What the wrapped learner knows, and what the machine labelled.

  Attributes:
    inner: the state of the wrapped learner.
    key: to begin its round with.
    round: int32, rounds begun.
    pending: bool, the pool is to be labelled before the round begins.
    labels: int32[N], by machine; -1 where it was not sure.
  """

  inner: LearnerState
  key: jax.Array
  round: jax.Array
  pending: jax.Array
  labels: jax.Array


def ceal(
  model: ModelFns,
  facts: Facts,
  *,
  threshold: float = 0.05,
  decay: float = 0.0033,
  schedule: str = 'cumulative',
  normalized: bool = False,
  optimizer: Mapping[str, Any] | None = None,
  batch_size: int = 64,
  stop: Mapping[str, Any] | None = None,
  weights: str = 'same',
  augment: Sequence[str | Mapping[str, Any]] = (),
) -> Learner:
  """Cost-effective active learning: `supervised` within `self_training`.

  Wang et al. 2017, "Cost-Effective Active Learning for Deep Image
  Classification", which goes on from the weights of the round before
  (`weights='warm'`).

  Args:
    model: the network.
    facts: of the task.
    threshold: see `self_training`, like the next three.
    decay: of the threshold.
    schedule: of the threshold.
    normalized: of the entropy.
    optimizer: see `supervised`, like all that follow.
    batch_size: labelled examples per step, by whoever.
    stop: of a round.
    weights: what a round starts from.
    augment: of the training images.

  Returns:
    A Learner.
  """
  inner = supervised(
    model,
    room_for_all(facts),
    optimizer=optimizer,
    batch_size=batch_size,
    stop=stop,
    weights=weights,
    augment=augment,
  )
  return self_training(
    inner,
    facts,
    threshold=threshold,
    decay=decay,
    schedule=schedule,
    normalized=normalized,
  )


def room_for_all(facts: Facts) -> Facts:
  """The facts that a learner within `self_training` is built with.

  Args:
    facts: of the task.

  Returns:
    With a label for every example of the pool, since machines may label all.
  """
  return facts._replace(label_budget=facts.num_examples)


def self_training(
  inner: Learner,
  facts: Facts,
  *,
  threshold: float = 0.05,
  decay: float = 0.0033,
  schedule: str = 'cumulative',
  normalized: bool = False,
) -> Learner:
  """Gives a learner the labels that the last round's model is sure of.

  Before round T = 1, 2, ... the model of the round before looks at the pool.
  Where nobody was asked, and its predictive entropy is below

    cumulative: delta - d (T - 1) (T - 2) / 2;   linear: delta - d (T - 1),

  its prediction is taken for the label in this round; then it is forgotten.
  These labels are never paid for, and never keep an example from being asked
  about.

  Args:
    inner: a learner built with `room_for_all(facts)`. If it takes surveys, they
      are of the pool.
    facts: of the task.
    threshold: delta, above 0; in nats, or a share of log C if normalized.
    decay: d, at least 0. Below 0 the threshold is 0, and nothing is sure.
    schedule: `'cumulative'` or `'linear'`.
    normalized: entropies are divided by log C.

  Returns:
    A Learner.
  """
  errors.check_number('threshold', threshold, above=0)
  errors.check_number('decay', decay, least=0)
  errors.check_name('schedule', schedule, SCHEDULES)
  errors.check_flag('normalized', normalized)
  survey = inner.survey
  if survey is not None and survey.source != 'pool':
    raise ValueError(
      f'the learner within looks over the {survey.source} split; self-training '
      'looks over the pool, and can have no other: set stop.patience to None.'
    )

  def init(key, facts):
    return SelfTrainingState(
      # With the same weights as the learner without machine labels.
      inner=inner.init(key, room_for_all(facts)),
      key=key,
      round=jnp.zeros((), jnp.int32),
      pending=jnp.zeros((), jnp.bool_),
      labels=jnp.full(facts.num_examples, -1, jnp.int32),
    )

  def start(key, state, pool):
    first = state.round == 0
    begun = inner.start(key, state.inner, pool)
    return SelfTrainingState(
      # Until the survey the weights of the round before are needed.
      inner=_either(first, begun, state.inner),
      key=key,
      round=state.round + 1,
      pending=~first,
      labels=jnp.full_like(state.labels, -1),
    )

  def plan(state, pool):
    return inner.plan(state.inner, _with_labels(pool, state.labels))

  def step(state, batches, pool):
    pool = _with_labels(pool, state.labels)
    # While the survey is pending the round before is done: a fixed point.
    after, progress = inner.step(state.inner, batches, pool)
    return state.replace(inner=after), progress._replace(
      done=progress.done & ~state.pending,
      stale=progress.stale | state.pending,
    )

  def apply(state, inputs, *, keys=None):
    return inner.apply(state.inner, inputs, keys=keys)

  def measure(key, apply, batch):
    own = apply(batch.inputs).predictions
    if survey is None:
      return own, ()
    return own, survey.measure(key, apply, batch)

  def absorb(key, state, measured, pool):
    logits, of_inner = measured
    labels = jnp.where(
      (_uncertainty(logits) < _threshold(state.round - 1))
      & (pool.annotator == pool_lib.NOBODY),
      jnp.argmax(logits, axis=-1).astype(jnp.int32),
      -1,
    )
    begun = state.replace(
      inner=inner.start(state.key, state.inner, _with_labels(pool, labels)),
      pending=jnp.zeros((), jnp.bool_),
      labels=labels,
    )
    if survey is None:
      return begun
    shown = _with_labels(pool, state.labels)
    going_on = state.replace(
      inner=survey.absorb(key, state.inner, of_inner, shown)
    )
    return _either(state.pending, begun, going_on)

  def _uncertainty(logits):
    entropies = kernels.entropy(logits)
    if normalized and facts.num_classes > 1:
      entropies /= jnp.log(float(facts.num_classes))
    return entropies

  def _threshold(round):
    labelled_before = round - 1
    lowered = labelled_before.astype(jnp.float32)
    if schedule == 'cumulative':
      lowered *= (lowered - 1) / 2
    return jnp.maximum(threshold - decay * lowered, 0.0)

  def machine_labels(state, pool):
    own = jnp.where(pool_lib.trainable(pool), -1, state.labels)
    if inner.machine_labels is None:
      return own
    return jnp.where(
      own >= 0,
      own,
      inner.machine_labels(state.inner, _with_labels(pool, state.labels)),
    )

  return Learner(
    init,
    start,
    plan,
    step,
    apply,
    survey=Survey(measure=measure, absorb=absorb),
    machine_labels=machine_labels,
    most_steps=_most_steps(inner, facts),
    continues=True,
    warnings=inner.warnings,
  )


def _most_steps(inner, facts):
  """The steps of a round in which the machine labels all that is left."""
  if inner.most_steps is None:
    return None
  return lambda labels: inner.most_steps(facts.num_examples)


def _either(condition, yes, no):
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _with_labels(pool, labels):
  """The pool as the learner within sees it."""
  is_labelled = labels >= 0
  return pool.replace(
    targets=jnp.where(is_labelled, labels, pool.targets),
    annotator=jnp.where(
      is_labelled, jnp.int8(pool_lib.MACHINE), pool.annotator
    ),
  )
