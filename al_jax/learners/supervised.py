"""Supervised training on the labelled examples, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from al_jax.interfaces import Facts, Learner, ModelFns
from al_jax.training import augment as augment_lib
from al_jax.training import course, forward, objectives, plans, validation


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
    weights: what a round starts from, see `training.course.recipe`.
    augment: see `training.augment.build`.

  Returns:
    A Learner whose state is a `training.course.Training`. `Progress.metrics`
    has `loss` and `accuracy` over the last whole epoch, as the training passes
    saw them.
  """
  recipe = course.recipe(
    model,
    optimizer=optimizer,
    stop=stop,
    weights=weights,
    capacity=facts.label_budget,
    batch_size=batch_size,
  )
  augment_batch = augment_lib.build(augment, facts.example)

  def init(key, facts):
    del facts
    return course.init(recipe, key)

  def start(key, state, pool):
    init_key, round_key, order_key = jax.random.split(key, 3)
    state = course.begin(recipe, init_key, round_key, state)
    return course.over_labelled(recipe, order_key, state, pool)

  def plan(state, pool):
    del pool
    return {'labelled': plans.next_batch(state.epochs, recipe.batch_size)}

  def step(state, batches, pool):
    batch = batches['labelled']
    real = batch.index >= 0
    targets = forward.targets_of(pool.targets, batch.index)
    of_params = forward.train(recipe, state, augment_batch, batch)

    def objective(params):
      output, statistics = of_params(params)
      losses = objectives.cross_entropy(output.predictions, targets)
      seen = forward.watch(output.predictions, losses, targets, real)
      return objectives.masked_mean(losses, real), (statistics, seen)

    moved = course.count(recipe, course.update(recipe, state, objective))
    state = course.hold(state, state, moved)
    return state, course.progress(state)

  def apply(state, inputs, *, keys=None):
    return forward.apply(model, state.variables, inputs, keys=keys)

  survey = validation.survey(recipe.rule)
  return Learner(
    init,
    start,
    plan,
    step,
    apply,
    survey=survey,
    most_steps=recipe.most_steps,
    continues=recipe.continues,
  )
