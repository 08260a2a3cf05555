"""When a validation split says that a round is over."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from al_jax.interfaces import Survey
from al_jax.training import course, objectives
from al_jax.training.stopping import StopRule


def survey(
  rule: StopRule, of: Callable[..., Any] = lambda state: state
) -> Survey | None:
  """Looks at the validation loss, and keeps the weights that had the lowest.

  Args:
    rule: of the learner.
    of: the Training in the state of the learner, which is that itself or has
      it as `training`.

  Returns:
    A Survey; None if the rule has no patience.
  """
  if rule.patience is None:
    return None

  def measure(key, apply, batch):
    del key
    return apply(batch.inputs).predictions

  def absorb(key, state, logits, held_out):
    del key
    losses = objectives.cross_entropy(logits, held_out.targets)
    training = _validated(rule, of(state), jnp.mean(losses))
    if of(state) is state:
      return training
    return state.replace(training=training)

  return Survey(measure=measure, absorb=absorb, source='validation')


def _validated(rule, state, loss):
  improves = loss < state.best.loss
  best = jax.tree.map(
    lambda new, old: jnp.where(improves, new, old),
    course.Best(loss, state.variables, jnp.zeros((), jnp.int32)),
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
