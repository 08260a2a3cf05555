"""Queries the examples whose predictions vary most among sampled networks.

Cohn, Ghahramani and Jordan 1996, "Active Learning with Statistical Models", in
its simplest form: query where the variance of the prediction is largest. A
sampled network is a dropout mask, one for the whole pool.
"""

import jax
import jax.numpy as jnp

from al_jax import errors, tasks
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.scored import scored


def variance(
  *, num_samples: int = 100, draw: str = 'top', coldness: float = 1.0
) -> Strategy:
  """Queries the largest variances of the prediction, summed over coordinates.

  For classes this is the variance of their probabilities. For a task of several
  parts it is summed over the parts.

  Args:
    num_samples: number S of dropout samples, at least 2.
    draw: how scores become a batch, see `scored`.
    coldness: coldness of the draw, see `scored`.

  Returns:
    A Strategy that measures two variances of each part of a prediction,
    float32[N, 2]: of its values, and of their softmax. Its state says which of
    the two counts.
  """
  errors.check_number('num_samples', num_samples, int, least=2)

  def measure(key, apply, batch):
    keys = jax.random.split(key, num_samples)
    samples = apply(batch.inputs, keys=keys).predictions
    return jax.tree.map(_both_variances, samples)

  by_score = scored(
    measure,
    draw=draw,
    coldness=coldness,
    score='variance of the prediction over dropout samples',
  )

  def select(key, holds_classes, measured, seen, pool, k):
    scores = _scores(holds_classes, measured)
    _, selection = by_score.select(key, (), scores, seen, pool, k)
    return holds_classes, selection

  return by_score._replace(
    init=_holds_classes,
    select=select,
    needs={needs.DROPOUT: ''},
    takes_sharded=False,
  )


def _holds_classes(facts):
  """Returns for each part of a prediction whether it is logits of classes."""
  return jax.tree.map(jnp.asarray, tasks.are_classes(facts.task))


def _both_variances(samples):
  """Computes variances [B, 2] of samples [S, B, ...] and of their softmax."""
  samples = samples.reshape(*samples.shape[:2], -1)
  both = samples, jax.nn.softmax(samples, axis=-1)
  return jnp.stack(
    [jnp.sum(jnp.var(each, axis=0), axis=-1) for each in both], axis=-1
  )


@jax.jit
def _scores(holds_classes, measured):
  of_parts = jax.tree.map(
    lambda is_classes, both: jnp.where(is_classes, both[:, 1], both[:, 0]),
    holds_classes,
    measured,
  )
  return sum(jax.tree.leaves(of_parts))
