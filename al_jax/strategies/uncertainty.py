"""Asks about the examples whose prediction is least certain.

Score every example by its predictive distribution, take the top k. The
distribution is the softmax of one pass, or its mean over dropout samples (Gal
et al. 2017, "Deep Bayesian Active Learning with Image Data", section 3).
"""

import functools
from collections.abc import Callable

import jax

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy


def top_uncertain(
  score: Callable[[jax.Array], jax.Array], *, num_samples: int = 0
) -> Strategy:
  """The top k of a score of the predictive distribution.

  Args:
    score: `logits [..., C] -> [...]`, larger is asked first.
    num_samples: S dropout samples to average over; 0 for one pass without
      dropout. The samples are shared by the whole pool.

  Returns:
    A Strategy that measures float32[N] scores. Ties are broken at random.
  """
  if num_samples < 0:
    raise ValueError(f'num_samples is {num_samples}; it must be at least 0.')

  def measure(key, apply, batch):
    if num_samples == 0:
      return score(apply(batch.inputs).predictions)
    keys = jax.random.split(key, num_samples)
    samples = apply(batch.inputs, keys=keys).predictions
    return score(kernels.predictive_log_probs(samples))

  return Strategy(init=_init, measure=measure, select=_select)


least_confidence = functools.partial(top_uncertain, kernels.least_confidence)
margin = functools.partial(top_uncertain, kernels.margin)
entropy = functools.partial(top_uncertain, kernels.entropy)


def _init(facts):
  del facts
  return ()


@functools.partial(jax.jit, static_argnames='k')
def _select(key, state, scores, pool, k):
  eligible = pool_lib.eligible(pool)
  return state, kernels.top_k(scores, k, eligible=eligible, key=key)
