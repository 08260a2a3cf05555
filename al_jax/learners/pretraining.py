"""Learning what the pool looks like, before any label is paid for."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
from al_jax.training import course, forward, objectives, plans

# The last dense layer of every model, which each task has its own of.
HEAD = 'head'


class Pretraining(NamedTuple):
  """A learner that needs no labels, and what is kept of it.

  Attributes:
    learner: trained for one round, with an empty pool. `Progress.metrics` has
      `epoch`, the whole epochs so far.
    keep: `(state) -> variables`, for other learners to begin with: those of a
      model without its head.
    most_steps: how many steps the training takes, if nothing ends it early.
  """

  learner: Learner
  keep: Callable[[Any], PyTree]
  most_steps: int


def without_head(variables: PyTree) -> PyTree:
  """The variables of a model but for those of its last layer."""
  params = {
    name: of for name, of in variables['params'].items() if name != HEAD
  }
  return {**variables, 'params': params}


def beginning_with(model: ModelFns, variables: PyTree) -> ModelFns:
  """The same model, whose first weights are these but for a head of its own.

  Args:
    model: a network.
    variables: of the same network without its head, as a Pretraining keeps.

  Returns:
    ModelFns.

  Raises:
    ValueError: they are of another network.
  """
  expected = jax.eval_shape(lambda: without_head(model.init(jax.random.key(0))))
  if _shapes(expected) != _shapes(variables):
    raise ValueError(
      'the pretrained weights are of another network: '
      f'{_first_difference(_shapes(expected), _shapes(variables))}.'
    )

  def init(key):
    made = model.init(key)
    head = made['params'][HEAD]
    return {
      **variables,
      'params': {**variables['params'], HEAD: head},
    }

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


def recipe_of_passes(
  model: ModelFns,
  facts: Facts,
  *,
  optimizer: Mapping[str, Any] | None,
  batch_size: int,
  stop: Mapping[str, Any] | None,
  accuracy: bool = False,
) -> course.Recipe:
  """A Recipe of passes over the whole pool; refuses rules that need labels.

  Args:
    model: the network.
    facts: of the task.
    optimizer: keywords of `training.optimizers.build`.
    batch_size: examples per step.
    stop: keywords of `StopRule`, or None.
    accuracy: there is something to be right about: accuracy is watched too, and
      may end the training.

  Returns:
    A Recipe.

  Raises:
    ValueError: a rule that makes no sense before the first label.
  """
  _check_stop(
    stop, ('patience',) if accuracy else ('patience', 'train_accuracy')
  )
  return course.recipe(
    model,
    optimizer=optimizer,
    stop=stop,
    weights='same',
    capacity=facts.num_examples,
    batch_size=batch_size,
    watched=None if accuracy else {'loss': ()},
  )


def passes(
  recipe: course.Recipe,
  facts: Facts,
  losses: Callable[[course.Training, Batch], Callable[..., Any]],
  prepare: Callable[[course.Training], course.Training] = lambda before: before,
  settle: Callable[..., course.Training] = lambda before, after: after,
) -> Learner:
  """A learner that goes over the whole pool, epoch after epoch.

  Args:
    recipe: see `recipe_of_passes`.
    facts: of the task.
    losses: `(training, batch) -> (params) -> (to minimise, to show,
      statistics)`, the first two float32[B].
    prepare: what a step begins with.
    settle: `(before, after) -> after`, has the last word of a step.

  Returns:
    A Learner; `Progress.metrics` has the mean of what is shown as `loss`.
  """

  def init(key, facts):
    del facts
    return course.init(recipe, key)

  def start(key, state, pool):
    del pool
    init_key, round_key, order_key = jax.random.split(key, 3)
    training = course.begin(recipe, init_key, round_key, state)
    members = jnp.arange(facts.num_examples, dtype=jnp.int32)
    return training.replace(
      epochs=plans.begin(
        order_key, members, jnp.int32(len(members)), recipe.batch_size
      )
    )

  def plan(state, pool):
    del pool
    return {'all': plans.next_batch(state.epochs, recipe.batch_size)}

  def step(state, batches, pool):
    del pool
    batch = batches['all']
    before, state = state, prepare(state)
    real = batch.index >= 0
    of_params = losses(state, batch)

    def objective(params):
      to_minimise, to_show, statistics = of_params(params)
      count = jnp.sum(real, dtype=jnp.int32)
      seen = course.Mean(jnp.sum(jnp.where(real, to_show, 0.0)), count)
      loss = objectives.masked_mean(to_minimise, real)
      return loss, (statistics, {'loss': seen})

    moved = settle(state, course.update(recipe, state, objective))
    moved = course.pause(course.count(recipe, moved))
    state = course.hold(before, before, moved)
    return state, with_epoch(state)

  def apply(state, inputs, *, keys=None):
    return forward.apply(recipe.model, state.variables, inputs, keys=keys)

  # Every epoch ends in a pause so that the host can report it. Measuring `()`
  # costs no pass over the pool.
  survey = Survey(
    measure=lambda key, apply, batch: (),
    absorb=lambda key, state, measured, pool: state.replace(
      stale=jnp.zeros((), jnp.bool_)
    ),
  )
  return Learner(init, start, plan, step, apply, survey=survey)


def with_epoch(training: course.Training) -> Progress:
  """What the host may read, with the number of whole epochs."""
  progress = course.progress(training)
  epoch = training.epochs.epoch.astype(jnp.float32)
  return progress._replace(metrics={**progress.metrics, 'epoch': epoch})


def _check_stop(stop, refused):
  errors.check_mapping('stop', stop or {})
  for name in refused:
    if (stop or {}).get(name) is not None:
      raise ValueError(
        f'stop.{name} is {stop[name]}; before the first label it must be None.'
      )
