"""Supervised training on the labelled examples, and nothing else."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax import pool as pool_lib
from al_jax.interfaces import Facts, Learner, ModelFns, Progress, PyTree, Survey
from al_jax.training import augment as augment_lib
from al_jax.training import objectives, optimizers, plans
from al_jax.training.stopping import StopRule

WEIGHTS = ('same', 'new', 'warm')


@flax.struct.dataclass
class Tally:
  """What the training passes of an epoch saw so far."""

  loss: jax.Array  # float32, summed
  correct: jax.Array  # int32
  seen: jax.Array  # int32


@flax.struct.dataclass
class Best:
  """The epoch with the lowest validation loss, of rules with patience."""

  loss: jax.Array  # float32
  variables: PyTree
  epochs_since: jax.Array  # int32


@flax.struct.dataclass
class SupervisedState:
  """Everything that the training knows.

  Attributes:
    key: of this round; steps derive theirs from it.
    initial: the variables that a cold start goes back to.
    variables: the model's `'params'` and `'statistics'`.
    optimizer: its state.
    epochs: the order of this epoch and the place in it.
    step: int32, steps taken in this round.
    tally: of the epoch under way.
    metrics: loss and accuracy over the last whole epoch.
    finished: bool, a stop rule has fired.
    stale: bool, the validation loss is to be taken.
    best: None unless the stop rule has patience.
  """

  key: jax.Array
  initial: PyTree
  variables: PyTree
  optimizer: PyTree
  epochs: plans.Epochs
  step: jax.Array
  tally: Tally
  metrics: Mapping[str, jax.Array]
  finished: jax.Array
  stale: jax.Array
  best: Best | None


def supervised(
  model: ModelFns,
  facts: Facts,
  *,
  optimizer: Mapping[str, Any] | None = None,
  batch_size: int = 64,
  stop: Mapping[str, Any] | None = None,
  weights: str = 'same',
  augment: Sequence[str | Mapping[str, Any]] = (),
) -> Learner:
  """Mini-batch training with cross-entropy on what the pool has labels for.

  An epoch takes every labelled example once; its last batch may be short, and
  so may every batch while there are fewer labels than `batch_size`. Without any
  label a round is over at once and leaves its starting weights.

  Args:
    model: the network.
    facts: of the task.
    optimizer: keywords of `training.optimizers.build`.
    batch_size: labelled examples per step; no more than the label budget.
    stop: keywords of `StopRule`.
    weights: what a round starts from: `'same'`, the same fresh initialisation
      every round; `'new'`, another one each round; `'warm'`, the weights of the
      round before. The optimiser is always new.
    augment: see `training.augment.build`.

  Returns:
    A Learner. `Progress.metrics` has `loss` and `accuracy` over the last whole
    epoch, as the training passes saw them.
  """
  errors.check_name('weights', weights, WEIGHTS)
  errors.check_number('batch_size', batch_size, int, least=1)
  tx = _made_of('optimizer', optimizer, optimizers.build)
  rule = _made_of('stop', stop, StopRule)
  augment_batch = augment_lib.build(augment, facts.example)
  capacity = facts.label_budget
  # Beyond the labels there can be, a batch is padding.
  batch_size = min(batch_size, max(capacity, 1))

  def init(key, facts):
    del facts
    variables = model.init(key)
    return _fresh(key, variables, variables, tx, rule, capacity, batch_size)

  def start(key, state, pool):
    init_key, round_key, order_key = jax.random.split(key, 3)
    initial = model.init(init_key) if weights == 'new' else state.initial
    variables = state.variables if weights == 'warm' else initial
    fresh = _fresh(
      round_key, initial, variables, tx, rule, capacity, batch_size
    )
    members, count = pool_lib.labelled_indices(pool, capacity)
    return fresh.replace(
      epochs=plans.begin(order_key, members, count, batch_size),
      finished=count == 0,
    )

  def plan(state, pool):
    del pool
    return {'labelled': plans.next_batch(state.epochs, batch_size)}

  def step(state, batches, pool):
    moved = _trained(state, batches['labelled'], pool)
    moved = _counted(moved)
    frozen = state.finished | state.stale
    state = jax.tree.map(
      lambda old, new: jnp.where(frozen, old, new), state, moved
    )
    return state, Progress(
      done=state.finished & ~state.stale,
      stale=state.stale,
      step=state.step,
      metrics=state.metrics,
    )

  def _trained(state, batch, pool):
    """One update of the weights, and of the tally."""
    real = batch.index >= 0
    index = jnp.where(real, batch.index, pool.num_examples)
    targets = jnp.take(pool.targets, index, axis=0, mode='fill', fill_value=0)
    augment_key, dropout_key = jax.random.split(
      jax.random.fold_in(state.key, state.step)
    )
    inputs = augment_batch(augment_key, batch.index, batch.inputs)

    def objective(params):
      output, statistics = model.train(
        {**state.variables, 'params': params}, inputs, dropout_key, real=real
      )
      losses = objectives.cross_entropy(output.predictions, targets)
      loss = objectives.masked_mean(losses, real)
      return loss, (output.predictions, losses, statistics)

    params = state.variables['params']
    gradients, (logits, losses, statistics) = jax.grad(objective, has_aux=True)(
      params
    )
    updates, optimizer = tx.update(
      gradients, state.optimizer, params, _share_of_round(state)
    )
    params = jax.tree.map(jnp.add, params, updates)
    correct = real & (jnp.argmax(logits, -1) == targets)
    return state.replace(
      variables=_with(state.variables, params, statistics),
      optimizer=optimizer,
      step=state.step + 1,
      tally=Tally(
        loss=state.tally.loss + jnp.sum(jnp.where(real, losses, 0.0)),
        correct=state.tally.correct + jnp.sum(correct, dtype=jnp.int32),
        seen=state.tally.seen + jnp.sum(real, dtype=jnp.int32),
      ),
    )

  def _share_of_round(state):
    # In float32: with epochs nobody means to wait for, int32 would overflow.
    total = jnp.float32(rule.epochs) * plans.steps_per_epoch(
      state.epochs, batch_size
    )
    if rule.steps is not None:
      total = jnp.minimum(total, rule.steps)
    return state.step / jnp.maximum(total, 1)

  def _counted(state):
    """Moves on in the epoch; the stop rules look at its end."""
    ends = plans.ends_epoch(state.epochs, batch_size)
    order_key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 1)
    epochs = plans.advance(order_key, state.epochs, batch_size)
    seen = jnp.maximum(state.tally.seen, 1)
    accuracy = state.tally.correct / seen
    finished = ends & (epochs.epoch >= rule.epochs)
    if rule.train_accuracy is not None:
      finished |= ends & (accuracy >= rule.train_accuracy)
    if rule.steps is not None:
      finished |= state.step >= rule.steps
    now = {'loss': state.tally.loss / seen, 'accuracy': accuracy}
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
        lambda new, old: jnp.where(report, new, old), now, state.metrics
      ),
    )

  def apply(state, inputs, *, keys=None):
    if keys is None:
      output = model.apply(state.variables, inputs)
      return output._replace(predictions=_set_apart(output.predictions))
    return jax.lax.map(
      lambda key: model.apply(state.variables, inputs, key=key), keys
    )

  survey = _validation_survey(rule) if rule.patience is not None else None
  return Learner(init, start, plan, step, apply, survey=survey)


def _made_of(name, options, make):
  """What `make` makes of options, which may be absent."""
  options = {} if options is None else options
  errors.check_mapping(name, options)
  known = inspect.signature(make).parameters
  for option in options:
    if option not in known:
      raise errors.unknown_option(name, option, known)
  return make(**options)


def _set_apart(predictions):
  """The same numbers, which XLA does not fuse with what is made of them.

  On CPU a maximum over classes would have it compute the dense layers twice:
  7.7 against 4.3 ms for the margins of 1,000 MNIST digits by an MLP. Rounding
  to the precision that they have is a barrier which the compiler keeps.
  """

  def apart(leaf):
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      return leaf
    info = jnp.finfo(leaf.dtype)
    return jax.lax.reduce_precision(leaf, info.nexp, info.nmant)

  return jax.tree.map(apart, predictions)


def _fresh(key, initial, variables, tx, rule, capacity, batch_size):
  """A state at the beginning of a round, with nothing to learn from yet."""
  zero = jnp.zeros((), jnp.int32)
  best = None
  if rule.patience is not None:
    best = Best(jnp.array(jnp.inf, jnp.float32), variables, zero)
  nothing = jnp.array(jnp.nan, jnp.float32)
  return SupervisedState(
    key=key,
    initial=initial,
    variables=variables,
    optimizer=tx.init(variables['params']),
    epochs=plans.empty(capacity, batch_size),
    step=zero,
    tally=Tally(jnp.zeros((), jnp.float32), zero, zero),
    metrics={'loss': nothing, 'accuracy': nothing},
    finished=jnp.zeros((), jnp.bool_),
    stale=jnp.zeros((), jnp.bool_),
    best=best,
  )


def _with(variables, params, statistics):
  variables = {**variables, 'params': params}
  if 'statistics' in variables:
    variables['statistics'] = statistics
  return variables


def _validation_survey(rule):
  """Looks at the validation loss, and keeps the weights that had the lowest."""

  def measure(key, apply, batch):
    del key
    return apply(batch.inputs).predictions

  def absorb(key, state, logits, held_out):
    del key
    losses = objectives.cross_entropy(logits, held_out.targets)
    loss = jnp.mean(losses)
    improves = loss < state.best.loss
    best = jax.tree.map(
      lambda new, old: jnp.where(improves, new, old),
      Best(loss, state.variables, jnp.zeros((), jnp.int32)),
      state.best.replace(epochs_since=state.best.epochs_since + 1),
    )
    finished = state.finished | (best.epochs_since >= rule.patience)
    variables = jax.tree.map(
      lambda old, new: jnp.where(finished, new, old),
      state.variables,
      best.variables,
    )
    return state.replace(
      best=best,
      finished=finished,
      variables=variables,
      stale=jnp.zeros((), jnp.bool_),
    )

  return Survey(measure=measure, absorb=absorb, source='validation')
