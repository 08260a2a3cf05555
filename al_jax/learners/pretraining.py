"""Pretraining on the whole pool, before any label is paid for."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import (
  Batch,
  Facts,
  Learner,
  ModelFns,
  Progress,
  PyTree,
  Survey,
)
from al_jax.learners import one_network
from al_jax.learners.one_network import Training, Trains
from al_jax.models import common
from al_jax.training import augment as augment_lib
from al_jax.training import course, networks, objectives, plans

# Name of the empty survey at the end of each epoch.
EPOCH = 'epoch'


class Pretraining(NamedTuple):
  """A learner that needs no labels, and the function that keeps its result.

  Attributes:
    learner: learner to train for one round, with no labels. `Progress.metrics`
      has `epoch`, the number of whole epochs so far.
    keep: `(state) -> variables` of a model without its head, with which other
      learners begin.
    most_steps: upper bound of the number of steps.
    features: `(kept, inputs) -> [B, D]`, features in which a `'k_center'` first
      set is spread, for a training that gives features and no weights. If None,
      other learners begin with the kept weights.
  """

  learner: Learner
  keep: Callable[[Any], PyTree]
  most_steps: int
  features: Callable[[PyTree, PyTree], jax.Array] | None = None


def without_head(variables: PyTree) -> PyTree:
  """Returns the variables of a model without its heads."""
  trunk, _ = divided(variables['params'])
  return {**variables, 'params': trunk}


def divided(params: PyTree) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
  """Divides the parameters of a model into its trunk and its heads.

  Args:
    params: parameters by the names of layers.

  Returns:
    Parameters of the trunk, and those of the heads, which depend on the task.

  Raises:
    ValueError: no layer is a head.
  """
  trunk, heads = {}, {}
  for name, of in params.items():
    (heads if common.is_head(name) else trunk)[name] = of
  if not heads:
    raise ValueError(
      f'the model has the layers {", ".join(sorted(params))}; none is a head, '
      "which pretraining leaves out: name its last layer 'head'."
    )
  return trunk, heads


def beginning_with(model: ModelFns, variables: PyTree) -> ModelFns:
  """Makes a model begin with pretrained weights and a new head.

  Args:
    model: a network.
    variables: variables of the same network without its head, as returned by
      `Pretraining.keep`.

  Returns:
    ModelFns.

  Raises:
    ValueError: the variables do not fit the network.
  """
  expected = jax.eval_shape(lambda: without_head(model.init(jax.random.key(0))))
  if _shapes(expected) != _shapes(variables):
    raise ValueError(
      'the pretrained weights are of another network: '
      f'{_first_difference(_shapes(expected), _shapes(variables))}.'
    )

  def init(key):
    _, heads = divided(model.init(key)['params'])
    return {**variables, 'params': {**variables['params'], **heads}}

  return model._replace(init=init)


def _shapes(variables):
  return {
    jax.tree_util.keystr(path): (leaf.shape, str(leaf.dtype))
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
  }


def _first_difference(expected, found):
  for name in sorted({*expected, *found}):
    if expected.get(name) != found.get(name):
      return (
        f'{name} is {found.get(name, "absent")}, not '
        f'{expected.get(name, "there")}'
      )
  return 'their order'


@dataclasses.dataclass(frozen=True, eq=False)
class WholePool(Trains):
  """Options of a training whose epochs are passes over the whole pool.

  Every epoch ends in a survey that measures nothing, so that the host can
  report it.

  Attributes:
    build: `(facts) -> ModelFns`.
    facts: facts of the task.
    optimizer: keyword arguments of `training.optimizers.build`.
    batch_size: number of examples per step.
    stop: keyword arguments of `StopRule`; rules that need labels are rejected.
  """

  build: Callable[[Facts], ModelFns]
  facts: Facts
  _: dataclasses.KW_ONLY
  optimizer: Mapping[str, Any] | None = None
  batch_size: int = 128
  stop: Mapping[str, Any] | None = None

  # Stop rules that need labels.
  refused: ClassVar[tuple[str, ...]] = ('patience', 'train_accuracy')
  watched: ClassVar[Mapping[str, tuple[int, ...]]] = {'loss': ()}
  augment: ClassVar[Sequence[Any]] = ()
  continues: ClassVar[bool] = False
  features: ClassVar[Callable[..., jax.Array] | None] = None

  @functools.cached_property
  def model(self) -> ModelFns:
    """The network, with any parts that are trained with it."""
    return self.build(self.facts)

  @functools.cached_property
  def trainer(self) -> networks.Trainer:
    """Initialisation and optimizer of the network."""
    return networks.trainer(self.model.init, optimizer=self.optimizer)

  @functools.cached_property
  def rules(self) -> course.Rules:
    """Rules of the training: epochs over the whole pool.

    Raises ValueError for stop rules that need labels.
    """
    errors.check_mapping('stop', self.stop or {})
    for name in self.refused:
      value = (self.stop or {}).get(name)
      if value is not None:
        raise ValueError(
          f'stop.{name} is {value}; before the first label it must be None.'
        )
    return course.rules(
      stop=self.stop,
      capacity=self.facts.num_examples,
      batch_size=self.batch_size,
      watched=self.watched,
      surveys=(EPOCH,),
    )

  @functools.cached_property
  def augmented(self) -> Callable[..., PyTree]:
    """Augments a batch: `(key, draws, inputs) -> inputs`."""
    return augment_lib.build(self.augment, self.facts.example)

  @property
  def surveys(self) -> dict[str, Survey]:
    """An empty survey that pauses after each epoch; it costs no pass."""

    def absorb(key, state, measured, pool):
      del key, measured, pool
      return state.replace(course=course.taken(state.course, EPOCH))

    return {EPOCH: Survey(lambda key, apply, batch: (), absorb)}

  def losses(self, state: Any, batch: Batch) -> Callable[..., Any]:
    """Makes `(params) -> (to minimise, to show, statistics)` for a batch.

    By default the model's predictions in training are both the values to
    minimise and the values to show.

    Args:
      state: state before the step.
      batch: examples of the step.

    Returns:
      A function whose first two results are float32[B].
    """
    of_params = self.in_training(state, batch)

    def of_batch(params):
      output, statistics = of_params(params)
      return output.predictions, output.predictions, statistics

    return of_batch

  def init(self, key: jax.Array) -> Training:
    """See `interfaces.Learner`."""
    return Training(*self.init_training(key))

  def start(self, key: jax.Array, state: Training, pool: Any) -> Training:
    """See `interfaces.Learner`."""
    del pool
    init_key, round_key, order_key = jax.random.split(key, 3)
    network, begun = self.begin_training(init_key, round_key, state)
    members = jnp.arange(self.facts.num_examples, dtype=jnp.int32)
    epochs = plans.begin(
      order_key, members, jnp.int32(len(members)), self.rules.batch_size
    )
    return Training(network, begun.replace(epochs=epochs))

  def plan(self, state: Training, pool: Any) -> dict[str, jax.Array]:
    """See `interfaces.Phase`."""
    del pool
    return {'all': self.rules.next_batch(state.course)}

  def step(
    self, state: Training, batches: Mapping[str, Batch], pool: Any
  ) -> tuple[Training, Progress]:
    """See `interfaces.Phase`."""
    del pool
    batch = batches['all']
    real = batch.index >= 0
    of_params = self.losses(state, batch)

    def objective(params):
      to_minimise, to_show, statistics = of_params(params)
      count = jnp.sum(real, dtype=jnp.int32)
      seen = course.Mean(jnp.sum(jnp.where(real, to_show, 0.0)), count)
      loss = objectives.masked_mean(to_minimise, real)
      return loss, (statistics, {'loss': seen})

    network, after = self.updated(state, objective)
    moved = Training(network, course.pause(after, EPOCH))
    state = course.hold(state.course, state, moved)
    return state, self.with_epoch(state.course)

  def with_epoch(self, at: course.Course) -> Progress:
    """Returns the progress, with the number of whole epochs in its metrics."""
    progress = self.rules.progress(at)
    epoch = at.epochs.epoch.astype(jnp.float32)
    return progress._replace(metrics={**progress.metrics, 'epoch': epoch})

  def most_steps(self, num_labels: int = 0) -> int:
    """Returns the most steps of the training."""
    del num_labels
    return self.rules.most_steps(self.facts.num_examples)

  def keep(self, state: Any) -> PyTree:
    """Returns the weights for other learners: the network without its head."""
    return without_head(state.network.variables)


def bound(options: WholePool) -> Pretraining:
  """Binds the methods of a WholePool into a Pretraining."""
  learner = one_network.bound(options)
  return Pretraining(
    learner, options.keep, options.most_steps(), options.features
  )
