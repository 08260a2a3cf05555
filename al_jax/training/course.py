"""The course of a round: its steps and epochs, what they saw, and its end.

A learner's state has its networks (see `networks`), one `Course`, and what is
its own. A learner says which examples a step takes and what it minimises on
them; `Rules` say how the round goes on.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax import pool as pool_lib
from al_jax.interfaces import Progress, PyTree
from al_jax.training import plans
from al_jax.training.stopping import StopRule

# The survey of a validation split, which a rule with patience takes.
VALIDATION = 'validation'


@flax.struct.dataclass
class Mean:
  """A mean on its way.

  Attributes:
    total: float32, of what was seen; a scalar or an array of means.
    count: int32, how many that were.
  """

  total: jax.Array
  count: jax.Array

  @property
  def value(self) -> jax.Array:
    """The mean so far; 0 of nothing."""
    return self.total / jnp.maximum(self.count, 1)


@flax.struct.dataclass
class Best:
  """The epoch with the lowest validation loss, of rules with patience."""

  loss: jax.Array  # float32
  variables: PyTree
  epochs_since: jax.Array  # int32


@flax.struct.dataclass
class Course:
  """Where a round's training is.

  Attributes:
    key: of this round; steps derive theirs from it.
    epochs: the order of this epoch and the place in it.
    step: int32, steps taken in this round.
    tally: what the passes of the epoch under way saw so far, by name.
    metrics: what the last whole epoch comes to.
    finished: bool, a stop rule has fired.
    due: surveys to be taken before the next step, by name: bool.
    best: None unless the stop rule has patience.
  """

  key: jax.Array
  epochs: plans.Epochs
  step: jax.Array
  tally: Mapping[str, Mean]
  metrics: Mapping[str, jax.Array]
  finished: jax.Array
  due: Mapping[str, jax.Array]
  best: Best | None

  @property
  def waits(self) -> jax.Array:
    """Whether a survey is to be taken before the next step: bool."""
    waits = jnp.zeros((), jnp.bool_)
    for is_due in self.due.values():
      waits |= is_due
    return waits


@dataclasses.dataclass(frozen=True, eq=False)
class Rules:
  """What does not change from round to round.

  Attributes:
    stop: when a round is over.
    capacity: the most examples of an epoch.
    batch_size: examples of an epoch per step.
    watched: shape of each quantity accumulated over an epoch, by name.
    report: `(means by name) -> metrics`.
    surveys: names of the learner's own surveys.
  """

  stop: StopRule
  capacity: int
  batch_size: int
  watched: Mapping[str, tuple[int, ...]]
  report: Callable[..., Mapping[str, jax.Array]]
  surveys: tuple[str, ...]

  def begin(self, key: jax.Array, variables: PyTree) -> Course:
    """Begins a round, with nothing to learn from yet.

    Args:
      key: of the steps.
      variables: of the network that patience keeps the best of.

    Returns:
      The course before its first step.
    """
    zero = jnp.zeros((), jnp.int32)
    best, names = None, self.surveys
    if self.stop.patience is not None:
      best = Best(jnp.array(jnp.inf, jnp.float32), variables, zero)
      names = (*names, VALIDATION)
    tally = {
      name: Mean(jnp.zeros(shape, jnp.float32), zero)
      for name, shape in self.watched.items()
    }
    return Course(
      key=key,
      epochs=plans.empty(self.capacity, self.batch_size),
      step=zero,
      tally=tally,
      metrics=jax.tree.map(
        lambda mean: jnp.full(mean.shape, jnp.nan, jnp.float32),
        jax.eval_shape(self.report, _means(tally)),
      ),
      finished=jnp.zeros((), jnp.bool_),
      due={name: jnp.zeros((), jnp.bool_) for name in names},
      best=best,
    )

  def over_labelled(
    self, key: jax.Array, course: Course, pool: pool_lib.PoolState
  ) -> Course:
    """Gives a course epochs over the labelled set; over at once without labels.

    Args:
      key: shuffles the first epoch.
      course: at the beginning of a round.
      pool: the labelled set.

    Returns:
      The course.
    """
    members, count = pool_lib.labelled_indices(pool, self.capacity)
    return course.replace(
      epochs=plans.begin(key, members, count, self.batch_size),
      finished=count == 0,
    )

  def next_batch(self, course: Course) -> jax.Array:
    """Returns the members that come next: int32[batch_size], -1 pads."""
    return plans.next_batch(course.epochs, self.batch_size)

  def share_of_round(self, course: Course) -> jax.Array:
    """Returns the share that is over: in [0, 1), and never less than before."""
    # In float32: with epochs nobody means to wait for, int32 would overflow.
    per_epoch = plans.steps_per_epoch(course.epochs, self.batch_size)
    taken = course.epochs.epoch * per_epoch
    taken += course.epochs.position // self.batch_size
    total = jnp.float32(self.stop.epochs) * per_epoch
    share = taken / jnp.maximum(total, 1)
    if self.stop.steps is not None:
      share = jnp.maximum(share, course.step / self.stop.steps)
    return share

  def count(self, course: Course, seen: Mapping[str, Mean]) -> Course:
    """Counts a step and moves on in the epoch; the stop rules look at its end.

    Args:
      course: before the step.
      seen: what the step saw of what is watched.

    Returns:
      The course after. A survey of the validation split is due at the end of an
      epoch, if the rule has patience.
    """
    stop = self.stop
    course = course.replace(
      step=course.step + 1, tally=jax.tree.map(jnp.add, course.tally, seen)
    )
    ends = plans.ends_epoch(course.epochs, self.batch_size)
    order_key = jax.random.fold_in(
      jax.random.fold_in(course.key, course.step), 1
    )
    epochs = plans.advance(order_key, course.epochs, self.batch_size)
    means = _means(course.tally)
    finished = ends & (epochs.epoch >= stop.epochs)
    if stop.train_accuracy is not None:
      finished |= ends & (means['accuracy'] >= stop.train_accuracy)
    if stop.steps is not None:
      finished |= course.step >= stop.steps
    # A round cut short in its first epoch reports what it has seen of it.
    report = ends | (finished & (epochs.epoch == 0))
    due = dict(course.due)
    if stop.patience is not None:
      due[VALIDATION] = ends | finished
    return course.replace(
      epochs=epochs,
      finished=finished,
      due=due,
      tally=jax.tree.map(
        lambda x: jnp.where(ends, jnp.zeros_like(x), x), course.tally
      ),
      metrics=jax.tree.map(
        lambda new, old: jnp.where(report, new, old),
        self.report(means),
        course.metrics,
      ),
    )

  def progress(self, course: Course) -> Progress:
    """Returns what the host may read of a course."""
    has_begun = course.epochs.position > 0
    running = jax.tree.map(
      lambda mean: jnp.where(has_begun, mean, jnp.nan),
      self.report(_means(course.tally)),
    )
    return Progress(
      done=course.finished & ~course.waits,
      due=course.due,
      step=course.step,
      metrics=course.metrics,
      running=running,
    )

  def most_steps(self, num_examples: int) -> int:
    """Returns the most steps of a round, given the size of its epochs."""
    of_epochs = self.stop.epochs * -(-num_examples // self.batch_size)
    return min(of_epochs, self.stop.steps or of_epochs)


def rules(
  *,
  stop: Mapping[str, Any] | None,
  capacity: int,
  batch_size: int,
  watched: Mapping[str, tuple[int, ...]],
  report: Callable[..., Mapping[str, jax.Array]] = dict,
  surveys: tuple[str, ...] = (),
) -> Rules:
  """Makes Rules from options, which are checked.

  Args:
    stop: keywords of `StopRule`.
    capacity: the most examples of an epoch.
    batch_size: examples of an epoch per step.
    watched: shapes by name, see `forward.watched`.
    report: what is reported of the means.
    surveys: names of the learner's own surveys, beside that of a validation
      split.

  Returns:
    Rules.

  Raises:
    ValueError: an unknown option, or a value that is not allowed.
  """
  errors.check_number('batch_size', batch_size, int, least=1)
  rule = errors.made_of('stop', stop, StopRule)
  if rule.train_accuracy is not None and 'accuracy' not in watched:
    raise ValueError(
      f'stop.train_accuracy is {rule.train_accuracy}; the training watches '
      f'{" and ".join(watched)} and no accuracy.'
    )
  return Rules(
    stop=rule,
    capacity=capacity,
    # Beyond the examples there can be, a batch is padding.
    batch_size=min(batch_size, max(capacity, 1)),
    watched=watched,
    report=report,
    surveys=surveys,
  )


def _means(tally):
  return {name: mean.value for name, mean in tally.items()}


def mean_of(values: jax.Array, real: jax.Array) -> Mean:
  """Makes a Mean over real rows.

  Args:
    values: float32[B, ...].
    real: bool[B].

  Returns:
    A Mean of [...].
  """
  mask = real.reshape(-1, *(1,) * (values.ndim - 1))
  total = jnp.sum(jnp.where(mask, values, 0.0), axis=0)
  return Mean(total, jnp.sum(real, dtype=jnp.int32))


def step_keys(course: Course) -> tuple[jax.Array, jax.Array]:
  """Returns the keys of this step: of augmentations, and of dropout.

  They are to be folded into: the order of an epoch is drawn from one of them.

  Args:
    course: before the step.

  Returns:
    Two keys.
  """
  augment_key, dropout_key = jax.random.split(
    jax.random.fold_in(course.key, course.step)
  )
  return augment_key, dropout_key


def pause(course: Course, survey: str, every: int = 1) -> Course:
  """Has a survey taken when an epoch is over, unless the round is too.

  Args:
    course: after `Rules.count`.
    survey: name of the survey.
    every: epochs between two surveys.

  Returns:
    The course.
  """
  # At the beginning of an epoch the last one is over.
  over = (course.epochs.position == 0) & (course.epochs.epoch % every == 0)
  return course.replace(due={**course.due, survey: over & ~course.finished})


def taken(course: Course, survey: str) -> Course:
  """Marks a survey as taken.

  Args:
    course: while the survey is due.
    survey: name of the survey.

  Returns:
    The course.
  """
  return course.replace(due={**course.due, survey: jnp.zeros((), jnp.bool_)})


def hold(course: Course, before: PyTree, after: PyTree) -> PyTree:
  """Keeps a step from changing a round that is over or waits for a survey.

  Args:
    course: before the step.
    before: what the step may change.
    after: what it changed that to.

  Returns:
    `before` if the course is finished or waits, otherwise `after`.
  """
  return unless(course.finished | course.waits, before, after)


def unless(frozen: jax.Array, before: PyTree, after: PyTree) -> PyTree:
  """Returns `before` if `frozen`, otherwise `after`.

  Args:
    frozen: bool.
    before: state before a step.
    after: state after it.
  """
  return jax.tree.map(lambda a, b: jnp.where(frozen, a, b), before, after)
