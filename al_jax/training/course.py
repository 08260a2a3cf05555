"""What learners that train one network by mini-batches have in common.

The weights of a round, its optimiser, its place in an epoch, what its passes
saw on the way, and when it is over. A learner says which examples a step takes
and what it minimises on them.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax import pool as pool_lib
from al_jax.interfaces import ModelFns, Progress, PyTree
from al_jax.training import optimizers, plans
from al_jax.training.stopping import StopRule

WEIGHTS = ('same', 'new', 'warm')


@flax.struct.dataclass
class Mean:
  """A mean on its way.

  Attributes:
    total: float32, of what was seen; a scalar or an array of means.
    count: int32, how many that were.
  """

  total: jax.Array
  count: jax.Array


@flax.struct.dataclass
class Best:
  """The epoch with the lowest validation loss, of rules with patience."""

  loss: jax.Array  # float32
  variables: PyTree
  epochs_since: jax.Array  # int32


@flax.struct.dataclass
class Training:
  """Everything that the training of a network knows.

  Attributes:
    key: of this round; steps derive theirs from it.
    initial: the variables that a cold start goes back to.
    variables: the model's `'params'` and `'statistics'`.
    optimizer: its state.
    epochs: the order of this epoch and the place in it.
    step: int32, steps taken in this round.
    tally: what the passes of the epoch under way saw so far, by name.
    metrics: what the last whole epoch comes to.
    finished: bool, a stop rule has fired.
    stale: bool, a survey is to be taken before the next step.
    best: None unless the stop rule has patience.
  """

  key: jax.Array
  initial: PyTree
  variables: PyTree
  optimizer: PyTree
  epochs: plans.Epochs
  step: jax.Array
  tally: Mapping[str, Mean]
  metrics: Mapping[str, jax.Array]
  finished: jax.Array
  stale: jax.Array
  best: Best | None


class Recipe(NamedTuple):
  """What does not change from round to round.

  Attributes:
    model: the network.
    optimizer: how its weights move.
    rule: when a round is over.
    weights: what a round begins from, one of WEIGHTS.
    capacity: the most examples of an epoch.
    batch_size: examples of an epoch per step.
    watched: what a step tells of what it saw, by name: the shape of one.
    report: `(means, by name) -> metrics`.
  """

  model: ModelFns
  optimizer: optimizers.Optimizer
  rule: StopRule
  weights: str
  capacity: int
  batch_size: int
  watched: Mapping[str, tuple[int, ...]]
  report: Callable[..., Mapping[str, jax.Array]]

  @property
  def continues(self) -> bool:
    """Whether a round begins with the weights of the round before."""
    return self.weights == 'warm'

  def most_steps(self, num_examples: int) -> int:
    """Returns the most steps of a round, given the size of its epochs."""
    of_epochs = self.rule.epochs * -(-num_examples // self.batch_size)
    return min(of_epochs, self.rule.steps or of_epochs)


def recipe(
  model: ModelFns,
  *,
  optimizer: Mapping[str, Any] | None,
  stop: Mapping[str, Any] | None,
  weights: str,
  capacity: int,
  batch_size: int,
  watched: Mapping[str, tuple[int, ...]] | None = None,
  report: Callable[..., Mapping[str, jax.Array]] = dict,
) -> Recipe:
  """Makes a Recipe of options, which are checked.

  Args:
    model: the network.
    optimizer: keywords of `training.optimizers.build`.
    stop: keywords of `StopRule`.
    weights: `'same'`, the same fresh initialisation every round; `'new'`,
      another one each round; `'warm'`, the weights of the round before. The
      optimiser is always new.
    capacity: the most examples of an epoch.
    batch_size: examples of an epoch per step.
    watched: None: loss and accuracy.
    report: what is reported of the means.

  Returns:
    A Recipe.

  Raises:
    ValueError: an unknown option, or a value that is not allowed.
  """
  errors.check_name('weights', weights, WEIGHTS)
  errors.check_number('batch_size', batch_size, int, least=1)
  return Recipe(
    model=model,
    optimizer=_made_of('optimizer', optimizer, optimizers.build),
    rule=_made_of('stop', stop, StopRule),
    weights=weights,
    capacity=capacity,
    # Beyond the examples there can be, a batch is padding.
    batch_size=min(batch_size, max(capacity, 1)),
    watched={'loss': (), 'accuracy': ()} if watched is None else watched,
    report=report,
  )


def _made_of(name, options, make):
  """What `make` makes of options, which may be absent."""
  options = {} if options is None else options
  errors.check_mapping(name, options)
  known = inspect.signature(make).parameters
  for option in options:
    if option not in known:
      raise errors.unknown_option(name, option, known)
  return make(**options)


def init(recipe: Recipe, key: jax.Array) -> Training:
  """The state before any round, full-size."""
  variables = recipe.model.init(key)
  return _fresh(recipe, key, variables, variables)


def begin(
  recipe: Recipe, init_key: jax.Array, round_key: jax.Array, state: Training
) -> Training:
  """Begins a round, with nothing to learn from yet.

  Args:
    recipe: of the learner.
    init_key: of new weights, if the recipe says so.
    round_key: of the steps.
    state: at the end of the round before.

  Returns:
    The state with the weights that the round begins with.
  """
  initial = state.initial
  if recipe.weights == 'new':
    initial = recipe.model.init(init_key)
  variables = state.variables if recipe.weights == 'warm' else initial
  return _fresh(recipe, round_key, initial, variables)


def _fresh(recipe, key, initial, variables):
  zero = jnp.zeros((), jnp.int32)
  best = None
  if recipe.rule.patience is not None:
    best = Best(jnp.array(jnp.inf, jnp.float32), variables, zero)
  tally = {
    name: Mean(jnp.zeros(shape, jnp.float32), zero)
    for name, shape in recipe.watched.items()
  }
  return Training(
    key=key,
    initial=initial,
    variables=variables,
    optimizer=recipe.optimizer.init(variables['params']),
    epochs=plans.empty(recipe.capacity, recipe.batch_size),
    step=zero,
    tally=tally,
    metrics=jax.tree.map(
      lambda mean: jnp.full(mean.shape, jnp.nan, jnp.float32),
      jax.eval_shape(recipe.report, _means(tally)),
    ),
    finished=jnp.zeros((), jnp.bool_),
    stale=jnp.zeros((), jnp.bool_),
    best=best,
  )


def _means(tally):
  return {
    name: mean.total / jnp.maximum(mean.count, 1)
    for name, mean in tally.items()
  }


def step_keys(state: Training) -> tuple[jax.Array, jax.Array]:
  """The keys of this step: of augmentations, and of dropout.

  They are to be folded into: the order of an epoch is drawn from one of them.
  """
  augment_key, dropout_key = jax.random.split(
    jax.random.fold_in(state.key, state.step)
  )
  return augment_key, dropout_key


def update(
  recipe: Recipe, state: Training, objective: Callable[..., Any]
) -> Training:
  """Moves the weights by a step.

  Args:
    recipe: of the learner.
    state: before.
    objective: `(params) -> (loss, (statistics, seen))`, with what was seen of
      what the recipe watches, as Means by name.

  Returns:
    The state after; its place in the epoch is as it was.
  """
  params = state.variables['params']
  gradients, (statistics, seen) = jax.grad(objective, has_aux=True)(params)
  updates, optimizer = recipe.optimizer.update(
    gradients,
    state.optimizer,
    params,
    _share_of_round(recipe, state),
    state.epochs.count,
  )
  variables = {
    **state.variables,
    'params': jax.tree.map(jnp.add, params, updates),
  }
  if 'statistics' in variables:
    variables['statistics'] = statistics
  return state.replace(
    variables=variables,
    optimizer=optimizer,
    step=state.step + 1,
    tally=jax.tree.map(jnp.add, state.tally, seen),
  )


def _share_of_round(recipe, state):
  """In [0, 1), and never less than before, however long each epoch is."""
  # In float32: with epochs nobody means to wait for, int32 would overflow.
  per_epoch = plans.steps_per_epoch(state.epochs, recipe.batch_size)
  taken = state.epochs.epoch * per_epoch
  taken += state.epochs.position // recipe.batch_size
  total = jnp.float32(recipe.rule.epochs) * per_epoch
  share = taken / jnp.maximum(total, 1)
  if recipe.rule.steps is not None:
    share = jnp.maximum(share, state.step / recipe.rule.steps)
  return share


def count(recipe: Recipe, state: Training) -> Training:
  """Moves on in the epoch; the stop rules look at its end."""
  rule = recipe.rule
  ends = plans.ends_epoch(state.epochs, recipe.batch_size)
  order_key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 1)
  epochs = plans.advance(order_key, state.epochs, recipe.batch_size)
  means = _means(state.tally)
  finished = ends & (epochs.epoch >= rule.epochs)
  if rule.train_accuracy is not None:
    finished |= ends & (means['accuracy'] >= rule.train_accuracy)
  if rule.steps is not None:
    finished |= state.step >= rule.steps
  # A round cut short in its first epoch reports what it has seen of it.
  report = ends | (finished & (epochs.epoch == 0))
  return state.replace(
    epochs=epochs,
    finished=finished,
    stale=(ends | finished) & (rule.patience is not None),
    tally=jax.tree.map(
      lambda x: jnp.where(ends, jnp.zeros_like(x), x), state.tally
    ),
    metrics=jax.tree.map(
      lambda new, old: jnp.where(report, new, old),
      recipe.report(means),
      state.metrics,
    ),
  )


def pause(state: Training, every: int = 1) -> Training:
  """Has the survey taken when an epoch is over, unless the round is too.

  Args:
    state: after `count`.
    every: epochs between two surveys.

  Returns:
    The state.
  """
  # At the beginning of an epoch the last one is over.
  over = (state.epochs.position == 0) & (state.epochs.epoch % every == 0)
  return state.replace(stale=over & ~state.finished)


def hold(training: Training, before: PyTree, after: PyTree) -> PyTree:
  """A step of a done or stale state changes nothing.

  Args:
    training: before the step.
    before: what the step may change.
    after: what it changed that to.

  Returns:
    `before` if the training is done or stale, otherwise `after`.
  """
  frozen = training.finished | training.stale
  return jax.tree.map(lambda a, b: jnp.where(frozen, a, b), before, after)


def progress(state: Training) -> Progress:
  """What the host may read of a state."""
  return Progress(
    done=state.finished & ~state.stale,
    stale=state.stale,
    step=state.step,
    metrics=state.metrics,
  )


def over_labelled(
  recipe: Recipe, key: jax.Array, state: Training, pool: pool_lib.PoolState
) -> Training:
  """With epochs over what the pool has labels for; over at once without any.

  Args:
    recipe: of the learner.
    key: shuffles the first epoch.
    state: at the beginning of a round.
    pool: the labelled set.

  Returns:
    The state.
  """
  members, count = pool_lib.labelled_indices(pool, recipe.capacity)
  return state.replace(
    epochs=plans.begin(key, members, count, recipe.batch_size),
    finished=count == 0,
  )
