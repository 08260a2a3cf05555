"""Training on what the last round's model is sure of, beside the labels."""

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
  """When a model is sure of a label."""

  def check(self, facts: Facts) -> None:
    """Raises ValueError for options that are not allowed."""

  def measure(self, key: jax.Array, apply: Applied, batch: Batch) -> PyTree:
    """Looks at examples of the pool, see `interfaces.Measure`."""

  def labels(
    self, round: jax.Array, measured: PyTree, free: jax.Array
  ) -> jax.Array:
    """Returns int32[N], class numbers; -1 where the model is not sure.

    Args:
      round: int32, the number T of the round that begins, from 1.
      measured: pytree of [N, ...].
      free: bool[N], where nobody was asked; no other example has a label.
    """


@flax.struct.dataclass
class SelfTrainingState:
  """The state of the wrapped learner, and its pseudo-labels.

  Attributes:
    inner: the state of the wrapped learner.
    key: to begin its round with.
    round: int32, rounds begun.
    pending: bool, the pool is to be labelled before the round begins.
    labels: int32[N], pseudo-labels; -1 where the model was not sure.
  """

  inner: LearnerState
  key: jax.Array
  round: jax.Array
  pending: jax.Array
  labels: jax.Array


def room_for_all(facts: Facts) -> Facts:
  """Returns the facts that a learner within `self_training` is built with.

  Args:
    facts: facts of the task.

  Returns:
    With a label for every example of the pool, since machines may label all.
  """
  return facts._replace(label_budget=facts.num_examples)


@dataclasses.dataclass(frozen=True, eq=False)
class SelfTraining:
  """Gives a learner the labels that the last round's model is sure of.

  Before each round but the first the model of the round before looks at the
  pool. Where nobody was asked, and a rule takes it for sure, its prediction is
  taken for the label in this round; then it is forgotten. These labels are
  never paid for, and never keep an example from being asked about.

  Attributes:
    inner: a learner of one phase, built with `room_for_all(facts)`.
    facts: facts of the task.
    rule: when a model is sure.
  """

  inner: Learner
  facts: Facts
  rule: Rule

  def check(self):
    """Refuses a task without classes, and options that are not allowed."""
    tasks.need_classes(self.facts.task, 'self-training')
    self.rule.check(self.facts)

  @property
  def surveys(self) -> dict[str, Survey]:
    """Its own, and those of the learner within."""
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
      # With the same weights as the learner without pseudo-labels.
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
      # Until the survey the weights of the round before are needed.
      inner=_either(first, begun, state.inner),
      key=key,
      round=state.round + 1,
      pending=~first,
      labels=jnp.full_like(state.labels, -1),
    )

  def plan(self, phase, state, pool):
    """See `interfaces.Phase`; of a phase of the learner within."""
    return phase.plan(state.inner, _with_labels(pool, state.labels))

  def step(self, phase, state, batches, pool):
    """See `interfaces.Phase`; of a phase of the learner within."""
    pool = _with_labels(pool, state.labels)
    # While the survey is pending the round before is done: a fixed point.
    after, progress = phase.step(state.inner, batches, pool)
    return state.replace(inner=after), progress._replace(
      done=progress.done & ~state.pending,
      due={_SURVEY: state.pending, **progress.due},
    )

  def apply(self, state, inputs, *, keys=None):
    """See `interfaces.Learner`."""
    return self.inner.apply(state.inner, inputs, keys=keys)

  def variables(self, state):
    """See `interfaces.Learner`; of the learner within, if it can tell."""
    return self.inner.variables(state.inner)

  def finite(self, state):
    """See `interfaces.Learner`."""
    return self.inner.finite(state.inner)

  def _absorb(self, key, state, measured, pool):
    """Labels what is sure, and begins the round of the learner within."""
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
  """Binds the methods into a Learner with the phases of the one within."""
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
    options: of a class that has the options of `supervised` and of a rule.
    rule: the class of the rule.
    called: the name of the learner, for messages.

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
  """Those of a learner's options that a base class has."""
  return {
    field.name: getattr(options, field.name)
    for field in dataclasses.fields(kind)
    if field.kw_only
  }


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
