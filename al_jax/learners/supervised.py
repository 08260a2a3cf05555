"""Supervised training on the labelled examples, and nothing else."""

import dataclasses

from al_jax.learners import one_network
from al_jax.learners.one_network import OneNetwork, Training
from al_jax.training import course, forward, objectives


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Supervised(OneNetwork):
  """Mini-batch training on what has a label.

  An epoch takes every labelled example once; its last batch may be short, and
  so may every batch while there are fewer labels than `batch_size`. Without any
  label a round is over at once and leaves its starting weights.

  `Progress.metrics` has `loss` and what the task watches (`accuracy`), over the
  last whole epoch, as the training passes saw them.
  """

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


supervised = one_network.factory(Supervised)
