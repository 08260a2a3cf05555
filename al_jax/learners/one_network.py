"""Learners as frozen dataclasses of options, bound into tuples of functions."""

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
  """The state of a learner that trains one network and needs nothing else."""

  network: Network
  course: Course


class Trains:
  """Functions of learners that train one network by mini-batches.

  They are of frozen dataclasses of options. A state has `network`, `course`,
  and what is the learner's own.

  Attributes:
    model: the network.
    facts: facts of the task.
    trainer: how the network begins a round and moves.
    rules: how a round goes on.
    augmented: augments a batch, `(key, draws, inputs) -> inputs`.
    warnings: sentences by the metric that tells when they are true.
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
    """Looks over a whole source, by name: that of patience, if there is any."""
    return validation.surveys(self.rules, self.facts.task)

  @property
  def phases(self) -> tuple[Phase, ...]:
    """The parts of a round: one, which is `plan` and `step`."""
    return (Phase(self.plan, self.step),)

  def check(self) -> None:
    """Raises ValueError for options that are not allowed."""
    # Each is made when it is first asked for.
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
    """Moves the network down an objective, and counts the step.

    Args:
      state: before the step.
      objective: `(params) -> (loss, (statistics, seen))`, with what was seen of
        what the rules watch, as Means by name.

    Returns:
      The network and the course after.
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

  Its state is a `Training`, and a step takes a batch of labelled examples; a
  learner with a state or batches of its own overrides `init`, `start`, `plan`.

  Attributes:
    model: the network.
    facts: facts of the task.
    optimizer: keywords of `training.optimizers.build`.
    batch_size: labelled examples per step; no more than the label budget.
    stop: keywords of `StopRule`.
    weights: what a round starts from, see `training.networks.trainer`.
    augment: see `training.augment.build`.
    loss: what training minimises, see `training.losses.build`. If None, the
      losses of the task.
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
    """How the network begins a round and moves."""
    return networks.trainer(
      self.model.init, optimizer=self.optimizer, weights=self.weights
    )

  @functools.cached_property
  def rules(self) -> course.Rules:
    """How a round goes on: epochs over the labelled set."""
    return course.rules(
      stop=self.stop,
      capacity=self.facts.label_budget,
      batch_size=self.batch_size,
      watched=self.watched,
    )

  @property
  def watched(self) -> dict[str, tuple[int, ...]]:
    """Shapes of what is accumulated over an epoch, by name."""
    return forward.watched(self.facts.task)

  @functools.cached_property
  def augmented(self) -> Callable[..., PyTree]:
    """Augments a batch: `(key, draws, inputs) -> inputs`."""
    return augment_lib.build(self.augment, self.facts.example)

  @functools.cached_property
  def losses(self) -> Callable[[PyTree, PyTree], jax.Array]:
    """What training minimises: `(predictions, targets) -> float32[B]`."""
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
    """Whether a round begins with the weights of the round before."""
    return self.weights == 'warm'

  def most_steps(self, num_labels: int) -> int:
    """Returns the most steps of a round with so many labels."""
    return self.rules.most_steps(num_labels)


def bound(options: Any) -> Learner:
  """Binds the methods of a dataclass of options into a Learner.

  Args:
    options: with the method `step` and those of `OneNetwork`.

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
  """Makes a function that takes what a dataclass does, and binds it.

  Args:
    kind: frozen dataclass of options.
    bind: makes a Learner (or what has one) of an instance.

  Returns:
    A function with the signature and the docstring of the dataclass.
  """

  def make(*arguments, **options):
    return bind(kind(*arguments, **options))

  make.__signature__ = inspect.signature(kind)
  make.__doc__ = kind.__doc__
  make.__module__ = kind.__module__
  return make
