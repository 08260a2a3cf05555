"""Supervised training on the labelled examples alone."""

import dataclasses

from al_jax import errors
from al_jax.learners import one_network
from al_jax.learners.one_network import OneNetwork, Training
from al_jax.training import course, forward, objectives, sketches


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Supervised(OneNetwork):
  """Trains a network by mini-batches on the labelled examples.

  An epoch takes every labelled example once. Its last batch may be short, and
  so is every batch while there are fewer labels than `batch_size`. Without any
  label a round ends at once and keeps its initial weights.

  `Progress.metrics` has `loss` and the quantities that the task watches
  (`accuracy`), over the last whole epoch, as measured by the training passes.

  Attributes:
    gradient_sketch: m, number of values per example: `apply` without dropout
      also returns `extras['gradient']`, float32[B, m], see `training.sketches`.
      It is not computed where it is not used. If None, there is no such output.
  """

  gradient_sketch: int | None = None

  def check(self):
    """See `OneNetwork`."""
    errors.check_number(
      'gradient_sketch', self.gradient_sketch, int, least=1, optional=True
    )
    super().check()

  def step(self, state, batches, pool):
    """See `interfaces.Phase`."""
    batch = batches['labelled']
    real, task = batch.index >= 0, self.facts.task
    targets = forward.targets_of(pool.targets, batch.index)
    of_params = self.in_training(state, batch)

    def objective(params):
      output, statistics = of_params(params)
      losses = self.losses(output.predictions, targets)
      seen = forward.watch(task, output.predictions, losses, targets, real)
      return objectives.masked_mean(losses, real), (statistics, seen)

    moved = Training(*self.updated(state, objective))
    state = course.hold(state.course, state, moved)
    return state, self.rules.progress(state.course)

  def apply(self, state, inputs, *, keys=None):
    """See `interfaces.Learner`."""
    output = super().apply(state, inputs, keys=keys)
    if self.gradient_sketch is None or keys is not None:
      return output
    errors.check_free('gradient_sketch', 'gradient', output.extras)
    gradient = sketches.of_gradients(
      self.model,
      state.network.variables,
      self.facts.task,
      inputs,
      self.gradient_sketch,
    )
    return output._replace(extras={**output.extras, 'gradient': gradient})


supervised = one_network.factory(Supervised)
