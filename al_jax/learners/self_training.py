"""Trains on labels, and on pseudo-labels from the previous round's model."""

import dataclasses
import functools
from typing import Any, Protocol

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import pool as pool_lib
from al_jax import tasks
from al_jax.interfaces import (
  Applied,
  Batch,
  Facts,
  Learner,
  LearnerState,
  Phase,
  PyTree,
  Survey,
)
from al_jax.learners.one_network import OneNetwork, factory
from al_jax.learners.supervised import supervised

_SURVEY = 'self_training'


class Rule(Protocol):
  """Decides which examples a model is sure of."""

  def check(self, facts: Facts) -> None:
    """Raises ValueError for options that are not allowed."""

  def measure(self, key: jax.Array, apply: Applied, batch: Batch) -> PyTree:
    """Measures examples of the pool, see `interfaces.Measure`."""

  def labels(
    self, round: jax.Array, measured: PyTree, free: jax.Array
  ) -> jax.Array:
    """Returns pseudo-labels int32[N]; -1 where the model is not sure.

    Args:
      round: int32, the number T of the round that begins, from 1.
      measured: pytree of [N, ...], the results of `measure`.
      free: bool[N], examples that were not queried. All others must get -1.
    """


@flax.struct.dataclass
class SelfTrainingState:
  """State of the inner learner, and its pseudo-labels.

  Attributes:
    inner: state of the inner learner.
    key: key with which its round begins.
    round: int32, number of rounds begun.
    pending: bool, whether the survey must be taken before the round begins.
    labels: int32[N], pseudo-labels; -1 where the model was not sure.
  """

  inner: LearnerState
  key: jax.Array
  round: jax.Array
  pending: jax.Array
  labels: jax.Array


def room_for_all(facts: Facts) -> Facts:
  """Returns the facts to build the inner learner of `self_training` with.

  Args:
    facts: facts of the task.

  Returns:
    Facts with a label budget of the whole pool, since every example may have a
    label or a pseudo-label.
  """
  return facts._replace(label_budget=facts.num_examples)


@dataclasses.dataclass(frozen=True, eq=False)
class SelfTraining:
  """Gives a learner pseudo-labels that the previous round's model is sure of.

  Before each round but the first, the model of the previous round predicts the
  pool. Where an example was not queried and the rule is sure of the prediction,
  the prediction is its label for this round only. Pseudo-labels cost nothing,
  and their examples can still be queried.

  Attributes:
    inner: a learner of one phase, built with `room_for_all(facts)`.
    facts: facts of the task.
    rule: decides which examples the model is sure of.
  """

  inner: Learner
  facts: Facts
  rule: Rule

  def check(self):
    """Raises ValueError for a task without classes, or bad options."""
    tasks.need_classes(self.facts.task, 'self-training')
    self.rule.check(self.facts)

  @property
  def surveys(self) -> dict[str, Survey]:
    """Its own survey, then those of the inner learner."""
    own = Survey(measure=self.rule.measure, absorb=self._absorb)
    inner = {
      name: survey._replace(
        absorb=functools.partial(self._absorb_inner, survey),
        where=None
        if survey.where is None
        else functools.partial(self._where_inner, survey),
      )
      for name, survey in self.inner.surveys.items()
    }
    return {_SURVEY: own, **inner}

  def init(self, key):
    """See `interfaces.Learner`."""
    return SelfTrainingState(
      # The key is passed on as it is, to get the inner learner's own weights.
      inner=self.inner.init(key),
      key=key,
      round=jnp.zeros((), jnp.int32),
      pending=jnp.zeros((), jnp.bool_),
      labels=jnp.full(self.facts.num_examples, -1, jnp.int32),
    )

  def start(self, key, state, pool):
    """See `interfaces.Learner`."""
    first = state.round == 0
    begun = self.inner.start(key, state.inner, pool)
    return SelfTrainingState(
      # The survey needs the weights of the previous round.
      inner=_either(first, begun, state.inner),
      key=key,
      round=state.round + 1,
      pending=~first,
      labels=jnp.full_like(state.labels, -1),
    )

  def plan(self, phase, state, pool):
    """See `interfaces.Phase`; plans a phase of the inner learner."""
    return phase.plan(state.inner, _with_labels(pool, state.labels))

  def step(self, phase, state, batches, pool):
    """See `interfaces.Phase`; takes a step of the inner learner."""
    pool = _with_labels(pool, state.labels)
    # While the survey is pending, the inner round is still the previous one,
    # which is done: the step changes nothing.
    after, progress = phase.step(state.inner, batches, pool)
    return state.replace(inner=after), progress._replace(
      done=progress.done & ~state.pending,
      due={_SURVEY: state.pending, **progress.due},
    )

  def apply(self, state, inputs, *, keys=None):
    """See `interfaces.Learner`."""
    return self.inner.apply(state.inner, inputs, keys=keys)

  def variables(self, state):
    """See `interfaces.Learner`; returns those of the inner learner."""
    return self.inner.variables(state.inner)

  def finite(self, state):
    """See `interfaces.Learner`."""
    return self.inner.finite(state.inner)

  def _absorb(self, key, state, measured, pool):
    """Makes pseudo-labels, and begins the round of the inner learner."""
    del key
    labels = self.rule.labels(
      state.round - 1, measured, pool.annotator == pool_lib.NOBODY
    )
    return state.replace(
      inner=self.inner.start(
        state.key, state.inner, _with_labels(pool, labels)
      ),
      pending=jnp.zeros((), jnp.bool_),
      labels=labels,
    )

  def _absorb_inner(self, survey, key, state, measured, pool):
    if survey.source == 'pool':
      pool = _with_labels(pool, state.labels)
    return state.replace(inner=survey.absorb(key, state.inner, measured, pool))

  def _where_inner(self, survey, state, pool):
    return survey.where(state.inner, _with_labels(pool, state.labels))

  def pseudo_labels(self, state, pool):
    """See `interfaces.Learner`."""
    own = jnp.where(pool_lib.trainable(pool), -1, state.labels)
    if self.inner.pseudo_labels is None:
      return own
    inner = self.inner.pseudo_labels(
      state.inner, _with_labels(pool, state.labels)
    )
    return jnp.where(own >= 0, own, inner)

  def most_steps(self, num_labels):
    """Returns the steps of a round in which all examples have a label."""
    del num_labels
    return self.inner.most_steps(self.facts.num_examples)


def _bound(options: SelfTraining) -> Learner:
  """Binds the methods into a Learner with the phases of the inner learner."""
  options.check()
  inner = options.inner
  phases = tuple(
    Phase(
      functools.partial(options.plan, phase),
      functools.partial(options.step, phase),
    )
    for phase in inner.phases
  )
  return Learner(
    init=options.init,
    start=options.start,
    phases=phases,
    apply=options.apply,
    finite=options.finite,
    surveys=options.surveys,
    pseudo_labels=options.pseudo_labels,
    most_steps=options.most_steps if inner.most_steps else None,
    continues=True,
    warnings=inner.warnings,
    variables=options.variables if inner.variables else None,
  )


self_training = factory(SelfTraining, _bound)


def of_supervised(options: Any, rule: type, called: str) -> Learner:
  """Makes `supervised` train on its own pseudo-labels.

  Args:
    options: instance with the options of `supervised` and of a rule.
    rule: class of the rule.
    called: name of the learner, for messages.

  Returns:
    A Learner.
  """
  facts = options.facts
  tasks.need_classes(facts.task, f'learner {called!r}')
  inner = supervised(
    options.model, room_for_all(facts), **_keywords(options, OneNetwork)
  )
  return self_training(inner, facts, rule(**_keywords(options, rule)))


def _keywords(options, kind):
  """Returns the keyword options of a learner that belong to a base class."""
  return {
    field.name: getattr(options, field.name)
    for field in dataclasses.fields(kind)
    if field.kw_only
  }


def _either(condition, yes, no):
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _with_labels(pool, labels):
  """Adds the pseudo-labels to the pool, for the inner learner."""
  is_labelled = labels >= 0
  return pool.replace(
    targets=jnp.where(is_labelled, labels, pool.targets),
    annotator=jnp.where(
      is_labelled, jnp.int8(pool_lib.MACHINE), pool.annotator
    ),
  )
