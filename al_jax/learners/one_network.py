"""Bases of learners: dataclasses of options, bound into tuples of functions."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import flax.struct
import jax

from al_jax.interfaces import (
  Facts,
  Generator,
  Learner,
  ModelFns,
  ModelOutput,
  Phase,
  PyTree,
  Report,
  Survey,
)
from al_jax.pool import PoolState
from al_jax.training import augment as augment_lib
from al_jax.training import course, forward, losses, networks, validation
from al_jax.training.course import Course
from al_jax.training.networks import Network


@flax.struct.dataclass
class Training:
  """State of a learner that trains one network and needs nothing else."""

  network: Network
  course: Course


class Trains:
  """Base of learners that train one network by mini-batches.

  Subclasses are frozen dataclasses of options. Their states have `network`,
  `course`, and any fields of their own.

  Attributes:
    model: the network.
    facts: facts of the task.
    trainer: initialisation and optimizer of the network.
    rules: rules of a round.
    augmented: augments a batch, `(key, draws, inputs) -> inputs`.
    warnings: sentences to log, by the metric that is above 0 if they are true.
    pseudo_labels: see `interfaces.Learner`.
    pictures: see `interfaces.Learner`.
    report: see `interfaces.Learner`.
    generator: see `interfaces.Learner`.
  """

  model: ModelFns
  facts: Facts
  trainer: networks.Trainer
  rules: course.Rules
  augmented: Callable[..., PyTree]
  warnings: ClassVar[Mapping[str, str]] = {}
  pseudo_labels: ClassVar[Callable[..., jax.Array] | None] = None
  pictures: ClassVar[Callable[..., Mapping[str, jax.Array]] | None] = None
  report: ClassVar[Report | None] = None
  generator: ClassVar[Generator | None] = None

  @property
  def surveys(self) -> dict[str, Survey]:
    """Surveys by name: validation, if the stop rule has patience."""
    return validation.surveys(self.rules, self.facts.task)

  @property
  def phases(self) -> tuple[Phase, ...]:
    """The parts of a round: one, made of `plan` and `step`."""
    return (Phase(self.plan, self.step),)

  def check(self) -> None:
    """Raises ValueError for options that are not allowed."""
    # These are made on first access, which checks their options.
    _ = self.trainer, self.rules, self.augmented

  def init_training(self, key: jax.Array) -> tuple[Network, Course]:
    """Makes the network and the course before any round."""
    network = self.trainer.first(key)
    return network, self.rules.begin(key, network.variables)

  def begin_training(
    self, init_key: jax.Array, round_key: jax.Array, state: Any
  ) -> tuple[Network, Course]:
    """Begins the network and the course of a round."""
    network = self.trainer.begin(init_key, state.network)
    return network, self.rules.begin(round_key, network.variables)

  def in_training(self, state: Any, batch: Any, draws: Any = None) -> Callable:
    """Returns the network in training on a batch, see `forward.train`."""
    return forward.train(
      self.model,
      state.network.variables,
      state.course,
      self.augmented,
      batch,
      draws,
    )

  def updated(
    self, state: Any, objective: Callable[..., Any]
  ) -> tuple[Network, Course]:
    """Takes a gradient step on an objective, and counts it.

    Args:
      state: state before the step.
      objective: `(params) -> (loss, (statistics, seen))`; `seen` maps each name
        in `rules.watched` to a Mean.

    Returns:
      The network and the course after the step.
    """
    params = state.network.variables['params']
    gradients, (statistics, seen) = jax.grad(objective, has_aux=True)(params)
    network = self.trainer.moved(
      state.network,
      gradients,
      statistics,
      self.rules.share_of_round(state.course),
      state.course.epochs.count,
    )
    return network, self.rules.count(state.course, seen)

  def apply(
    self, state: Any, inputs: PyTree, *, keys: jax.Array | None = None
  ) -> ModelOutput:
    """Evaluates the network, see `interfaces.Learner`."""
    return forward.apply(self.model, state.network.variables, inputs, keys=keys)

  def variables(self, state: Any) -> PyTree:
    """Returns the weights of the model, see `interfaces.Learner`."""
    return state.network.variables

  def finite(self, state: Any) -> dict[str, jax.Array]:
    """Tells whether the variables of the network are finite."""
    return {'network': networks.is_finite(state.network.variables)}


@dataclasses.dataclass(frozen=True, eq=False)
class OneNetwork(Trains):
  """Options of learners that train one network on labelled examples.

  The state is a `Training`, and a step takes a batch of labelled examples. A
  learner with another state or other batches overrides `init`, `start`, `plan`.

  Attributes:
    model: the network.
    facts: facts of the task.
    optimizer: keyword arguments of `training.optimizers.build`.
    batch_size: number of labelled examples per step; at most the label budget.
    stop: keyword arguments of `StopRule`.
    weights: initial weights of a round, see `training.networks.trainer`.
    augment: augmentations, see `training.augment.build`.
    loss: training loss, see `training.losses.build`. If None, the losses of the
      task.
  """

  model: ModelFns
  facts: Facts
  _: dataclasses.KW_ONLY
  optimizer: Mapping[str, Any] | None = None
  batch_size: int = 64
  stop: Mapping[str, Any] | None = None
  weights: str = 'same'
  augment: Sequence[augment_lib.Spec] = ()
  loss: losses.Spec | None = None

  @functools.cached_property
  def trainer(self) -> networks.Trainer:
    """Initialisation and optimizer of the network."""
    return networks.trainer(
      self.model.init, optimizer=self.optimizer, weights=self.weights
    )

  @functools.cached_property
  def rules(self) -> course.Rules:
    """Rules of a round: epochs over the labelled set."""
    return course.rules(
      stop=self.stop,
      capacity=self.facts.label_budget,
      batch_size=self.batch_size,
      watched=self.watched,
    )

  @property
  def watched(self) -> dict[str, tuple[int, ...]]:
    """Maps each quantity accumulated over an epoch to its shape."""
    return forward.watched(self.facts.task)

  @functools.cached_property
  def augmented(self) -> Callable[..., PyTree]:
    """Augments a batch: `(key, draws, inputs) -> inputs`."""
    return augment_lib.build(self.augment, self.facts.example)

  @functools.cached_property
  def losses(self) -> Callable[[PyTree, PyTree], jax.Array]:
    """Training loss: `(predictions, targets) -> float32[B]`."""
    return losses.build(self.loss, self.facts.task)

  def check(self) -> None:
    """See `Trains`."""
    super().check()
    _ = self.losses

  def init(self, key: jax.Array) -> Any:
    """See `interfaces.Learner`."""
    return Training(*self.init_training(key))

  def start(self, key: jax.Array, state: Any, pool: PoolState) -> Any:
    """See `interfaces.Learner`."""
    init_key, round_key, order_key = jax.random.split(key, 3)
    network, begun = self.begin_training(init_key, round_key, state)
    return Training(network, self.rules.over_labelled(order_key, begun, pool))

  def plan(self, state: Any, pool: PoolState) -> dict[str, jax.Array]:
    """See `interfaces.Phase`."""
    del pool
    return {'labelled': self.rules.next_batch(state.course)}

  @property
  def continues(self) -> bool:
    """Whether a round begins with the weights of the previous round."""
    return self.weights == 'warm'

  def most_steps(self, num_labels: int) -> int:
    """Returns the most steps of a round with `num_labels` labels."""
    return self.rules.most_steps(num_labels)


def bound(options: Any) -> Learner:
  """Binds the methods of a dataclass of options into a Learner.

  Args:
    options: an object with the methods of `OneNetwork` and `step`.

  Returns:
    A Learner.
  """
  options.check()
  return Learner(
    init=options.init,
    start=options.start,
    phases=options.phases,
    apply=options.apply,
    finite=options.finite,
    surveys=options.surveys,
    pseudo_labels=options.pseudo_labels,
    most_steps=options.most_steps,
    continues=options.continues,
    warnings=options.warnings,
    pictures=options.pictures,
    report=options.report,
    generator=options.generator,
    variables=options.variables,
  )


def factory(kind: type, bind: Callable[[Any], Any] = bound) -> Callable:
  """Makes a function that builds a dataclass of options and binds it.

  Args:
    kind: frozen dataclass of options.
    bind: makes a Learner, or a Pretraining, of an instance.

  Returns:
    A function with the signature and the docstring of the dataclass.
  """

  def make(*arguments, **options):
    return bind(kind(*arguments, **options))

  make.__signature__ = inspect.signature(kind)
  make.__doc__ = kind.__doc__
  make.__module__ = kind.__module__
  return make
