"""SRAAL: VAAL whose critic learns how uncertain unlabelled examples are."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from al_jax import errors, kernels, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import Survey
from al_jax.learners import one_network
from al_jax.learners.vaal import Vaal
from al_jax.training import course, forward, objectives

_SURVEY = 'uncertainty'


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Sraal(Vaal):
  """Trains as `vaal` does, with two changes.

  The latent has a second part, from which a head predicts targets. The critic's
  target for an unlabelled example is U(x), the uncertainty of the task's
  network (`kernels.online_uncertainty`). Steps minimise in turn

    VAE:     w_r (R + beta KL) + w_t CE(head(x_L), y)
             + w_a (BCE(D(x_L), s) + BCE(D(x_U), s)),
    critic:  BCE(D(x_L), 0) + BCE(D(x_U), U(x_U)).

  The KL divergence of the second part is taken over labelled examples alone.
  The critic sees the means of both parts.

  Zhang et al. 2020, "State-Relabeling Adversarial Active Learning".

  `Progress.metrics` adds to those of `vaal` the `target_loss`, and the
  `uncertainty`, the mean of U.

  Attributes:
    target_weight: w_t, at least 0.
    indicator: whether the critic's target is U. If False, it is 1, as in
      `vaal`.
    refresh: number of iterations between two updates of U; the task and the VAE
      are then trained side by side. If None, U is measured once, after the
      task's training.
  """

  target_weight: float = 5.0
  reconstruction_weight: float = 5.0
  indicator: bool = True
  refresh: int | None = None

  name: ClassVar = "learner 'sraal'"
  predicts_targets: ClassVar = True
  vae_defaults: ClassVar = {'target_latent': 32}
  critic_defaults: ClassVar = {'widths': (512, 512, 512, 512)}

  def check(self):
    """See `OneNetwork`; the indicator needs class probabilities."""
    errors.check_number('target_weight', self.target_weight, least=0)
    errors.check_flag('indicator', self.indicator)
    errors.check_number(
      'refresh',
      self.refresh,
      int,
      least=1,
      most=errors.MOST_COUNTED,
      optional=True,
    )
    if self.indicator:
      tasks.need_classes(self.facts.task, f'indicator of {self.name}')
    elif self.refresh is not None:
      raise ValueError(
        f'refresh is {self.refresh}, but indicator is False, so that there is '
        'nothing to refresh: leave refresh out.'
      )
    super().check()

  @property
  def own_surveys(self):
    """See `TwoPhases`."""
    return (_SURVEY,) if self.indicator else ()

  @property
  def in_turn(self):
    """See `TwoPhases`."""
    return self.refresh is None

  @property
  def surveys(self):
    """The task's survey, if any, then that of its uncertainty."""
    found = super().surveys
    if self.indicator:
      found[_SURVEY] = Survey(_unsure, self._absorb, where=_without_label)
    return found

  @property
  def watched_states(self):
    """See `TwoPhases`."""
    own = dict.fromkeys(('target_loss', 'uncertainty'), ())
    return {**super().watched_states, **own}

  def _absorb(self, key, state, unsure, pool):
    del key, pool
    at = course.taken(state.states.course, _SURVEY)
    states = state.states.replace(course=at, uncertainty=unsure)
    return state.replace(states=states)

  def _counted(self, at, seen):
    after = super()._counted(at, seen)
    if self.in_turn:
      return after
    is_due = (after.step % self.refresh == 0) & ~after.finished
    return after.replace(due={**after.due, _SURVEY: is_due})

  def _target_loss(self, pair, pool, coded):
    index = pair.labelled.index
    losses = jnp.zeros(len(index))
    if coded.predictions is not None:
      targets = forward.targets_of(pool.targets, index)
      losses = self.losses(coded.predictions, targets)
    loss = self.target_weight * objectives.masked_mean(losses, index >= 0)
    return loss, {'target_loss': course.mean_of(losses, index >= 0)}

  def _seen(self, pair, unsure):
    real = pair.others.index >= 0
    return {'uncertainty': course.mean_of(unsure, real)}


sraal = one_network.factory(Sraal)


def _unsure(key, apply, batch):
  del key
  return kernels.online_uncertainty(apply(batch.inputs).predictions)


def _without_label(state, pool):
  del state
  return ~pool_lib.trainable(pool)
