"""The course of a round: its steps, epochs, metrics, and end.

A learner's state has its networks (see `networks`), one `Course`, and fields of
its own. A learner defines the examples and the loss of a step; `Rules` define
the epochs, the surveys and the end of the round.
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

# Name of the validation survey of stop rules with patience.
VALIDATION = 'validation'


@flax.struct.dataclass
class Mean:
  """A running mean.

  Attributes:
    total: float32, sum of the values; a scalar or an array.
    count: int32, number of values.
  """

  total: jax.Array
  count: jax.Array

  @property
  def value(self) -> jax.Array:
    """The mean so far; 0 if there are no values."""
    return self.total / jnp.maximum(self.count, 1)


@flax.struct.dataclass
class Best:
  """The epoch with the lowest validation loss, of rules with patience."""

  loss: jax.Array  # float32
  variables: PyTree
  epochs_since: jax.Array  # int32


@flax.struct.dataclass
class Course:
  """State of a round's training.

  Attributes:
    key: key of this round; steps derive theirs from it.
    epochs: order of this epoch and the position in it.
    step: int32, number of steps taken in this round.
    tally: running means of the current epoch, by name.
    metrics: metrics of the last whole epoch.
    finished: bool, whether a stop rule has fired.
    due: bool by the name of a survey, whether it must be taken before the next
      step.
    best: the epoch with the lowest validation loss. If None, the stop rule has
      no patience.
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
    """Whether a survey must be taken before the next step: bool."""
    waits = jnp.zeros((), jnp.bool_)
    for is_due in self.due.values():
      waits |= is_due
    return waits


@dataclasses.dataclass(frozen=True, eq=False)
class Rules:
  """Rules of a learner's rounds, the same in every round.

  Attributes:
    stop: stop rule of a round.
    capacity: largest number of examples in an epoch.
    batch_size: number of the epoch's examples per step.
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
    """Begins a round whose epochs are still empty.

    Args:
      key: key of the steps.
      variables: variables of the network, of which patience keeps the best.

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
    """Gives a course epochs over the labelled set; without labels, ends it.

    Args:
      key: key that shuffles the first epoch.
      course: course at the beginning of a round.
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
    """Returns the next examples of the epoch: int32[batch_size], -1 pads."""
    return plans.next_batch(course.epochs, self.batch_size)

  def share_of_round(self, course: Course) -> jax.Array:
    """Returns the share of the round that is over: [0, 1), never decreasing."""
    # In float32, since int32 would overflow with a huge number of epochs.
    per_epoch = plans.steps_per_epoch(course.epochs, self.batch_size)
    taken = course.epochs.epoch * per_epoch
    taken += course.epochs.position // self.batch_size
    total = jnp.float32(self.stop.epochs) * per_epoch
    share = taken / jnp.maximum(total, 1)
    if self.stop.steps is not None:
      share = jnp.maximum(share, course.step / self.stop.steps)
    return share

  def count(self, course: Course, seen: Mapping[str, Mean]) -> Course:
    """Counts a step, advances the epoch, and applies the stop rules at its end.

    Args:
      course: course before the step.
      seen: a Mean over the step for each name in `watched`.

    Returns:
      The course after the step. If the stop rule has patience, the validation
      survey is due at the end of an epoch or of the round.
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
    # A round that ends within its first epoch reports that part of the epoch.
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
    """Returns the progress of a course, for the host."""
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
    stop: keyword arguments of `StopRule`.
    capacity: largest number of examples in an epoch.
    batch_size: number of the epoch's examples per step.
    watched: shapes by name, see `forward.watched`.
    report: `(means by name) -> metrics`.
    surveys: names of the learner's own surveys, besides the validation survey.

  Returns:
    Rules.

  Raises:
    ValueError: an option is unknown, or a value is not allowed.
  """
  errors.check_number('batch_size', batch_size, int, least=1)
  rule = errors.made_of('stop', stop, StopRule)
  if rule.train_accuracy is not None and 'accuracy' not in watched:
    raise ValueError(
      f'stop.train_accuracy is {rule.train_accuracy}; the training measures '
      f'{" and ".join(watched)} and no accuracy.'
    )
  return Rules(
    stop=rule,
    capacity=capacity,
    # A larger batch would only add padding.
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
    real: bool[B], False in padding rows.

  Returns:
    A Mean of [...].
  """
  mask = real.reshape(-1, *(1,) * (values.ndim - 1))
  total = jnp.sum(jnp.where(mask, values, 0.0), axis=0)
  return Mean(total, jnp.sum(real, dtype=jnp.int32))


def step_keys(course: Course) -> tuple[jax.Array, jax.Array]:
  """Returns the keys of this step for augmentation and for dropout.

  Fold a number into a key before further draws: the second key itself also
  draws the order of an epoch.

  Args:
    course: course before the step.

  Returns:
    Two keys.
  """
  augment_key, dropout_key = jax.random.split(
    jax.random.fold_in(course.key, course.step)
  )
  return augment_key, dropout_key


def pause(course: Course, survey: str, every: int = 1) -> Course:
  """Makes a survey due when an epoch is over, unless the round is over too.

  Args:
    course: course after `Rules.count`.
    survey: name of the survey.
    every: number of epochs between two surveys.

  Returns:
    The course.
  """
  # Position 0 is the start of an epoch, so the previous one is over.
  over = (course.epochs.position == 0) & (course.epochs.epoch % every == 0)
  return course.replace(due={**course.due, survey: over & ~course.finished})


def taken(course: Course, survey: str) -> Course:
  """Marks a survey as taken.

  Args:
    course: course while the survey is due.
    survey: name of the survey.

  Returns:
    The course.
  """
  return course.replace(due={**course.due, survey: jnp.zeros((), jnp.bool_)})


def hold(course: Course, before: PyTree, after: PyTree) -> PyTree:
  """Keeps a step from changing a round that is over or waits for a survey.

  Args:
    course: course before the step.
    before: state before the step.
    after: state after the step.

  Returns:
    `before` if the course is finished or waits, otherwise `after`.
  """
  return unless(course.finished | course.waits, before, after)


def unless(frozen: jax.Array, before: PyTree, after: PyTree) -> PyTree:
  """Returns `before` if `frozen`, otherwise `after`.

  Args:
    frozen: bool, a scalar.
    before: state before a step.
    after: state after the step.
  """
  return jax.tree.map(lambda a, b: jnp.where(frozen, a, b), before, after)
