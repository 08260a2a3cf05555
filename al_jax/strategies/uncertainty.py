"""Queries the examples with the least certain predictions.

Every example is scored by its predictive distribution: the softmax of one pass,
or its mean over dropout samples (Gal et al. 2017, "Deep Bayesian Active
Learning with Image Data", section 3).
"""

import functools
from collections.abc import Callable

import jax

from al_jax import errors, kernels
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.scored import scored


def uncertain(
  score: Callable[[jax.Array], jax.Array],
  called: str,
  *,
  num_samples: int = 0,
  draw: str = 'top',
  coldness: float = 1.0,
) -> Strategy:
  """Queries by a score of the predictive distribution.

  Args:
    score: `logits [..., C] -> [...]`; the largest scores are queried first.
    called: meaning of the score, see `Strategy.score`.
    num_samples: number S of dropout samples to average over; 0 for one pass
      without dropout. The whole pool shares the samples.
    draw: how scores become a batch, see `scored`.
    coldness: coldness of the draw, see `scored`.

  Returns:
    A Strategy that measures float32[N] scores.
  """
  errors.check_number('num_samples', num_samples, int, least=0)

  def measure(key, apply, batch):
    if num_samples == 0:
      return score(apply(batch.inputs).predictions)
    keys = jax.random.split(key, num_samples)
    samples = apply(batch.inputs, keys=keys).predictions
    return score(kernels.predictive_log_probs(samples))

  needed = {needs.CLASSES: ''}
  if num_samples:
    needed[needs.DROPOUT] = ''
  strategy = scored(
    measure, draw=draw, coldness=coldness, needs=needed, score=called
  )
  return strategy._replace(is_doubt=score is kernels.least_confidence)


least_confidence = functools.partial(
  uncertain,
  kernels.least_confidence,
  'one minus the probability of the likeliest class',
)
entropy = functools.partial(
  uncertain, kernels.entropy, 'entropy of the prediction in nats'
)


def margin(
  *, num_samples: int = 0, draw: str = 'top', coldness: float = 1.0
) -> Strategy:
  """Queries the smallest gaps between the two largest probabilities.

  The score is minus the gap. For a `'power'` draw, whose scores must not be
  negative, it is 1 minus the gap.

  Args:
    num_samples: number S of dropout samples, see `uncertain`.
    draw: how scores become a batch, see `scored`.
    coldness: coldness of the draw, see `scored`.

  Returns:
    A Strategy that measures float32[N] scores.
  """

  def score(logits):
    gap = kernels.margin(logits)
    return 1 + gap if draw == 'power' else gap

  return uncertain(
    score,
    'minus the gap between the probabilities of the two likeliest classes',
    num_samples=num_samples,
    draw=draw,
    coldness=coldness,
  )
