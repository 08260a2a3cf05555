"""BADGE: a batch of gradients that are large and different.

Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain Gradient
Lower Bounds". The gradient of the last layer, as if the predicted label were
true, is long where the network is unsure; k-means++ seeding draws long ones
that are far from each other.
"""

import functools

import jax

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.measured import among_measured
from al_jax.strategies.scored import stateless

_NEEDS = {
  needs.CLASSES: (
    'it compares gradients of the loss as if the likeliest class were true'
  ),
  needs.EMBEDDING: '',
}


def badge(*, first: str = 'uniform') -> Strategy:
  """k-means++ over gradient embeddings, which are never multiplied out.

  Args:
    first: how the batch begins: `'uniform'` as in the paper (algorithm 2), or
      `'max_norm'` as in the authors' code.

  Returns:
    A Strategy that measures Factors: residuals [N, C] and embeddings [N, D].
  """
  if first not in ('uniform', 'max_norm'):
    raise ValueError(f"first is {first!r}; it must be 'uniform' or 'max_norm'.")
  select = functools.partial(_select, first=first)
  return Strategy(
    stateless,
    _measure,
    select,
    needs=_NEEDS,
    score='squared distance of gradients to the nearest earlier pick',
  )


def _measure(key, apply, batch):
  del key
  output = apply(batch.inputs)
  return kernels.gradient_factors(output.predictions, output.embedding)


@among_measured
@functools.partial(jax.jit, static_argnames=('k', 'first'))
def _select(key, state, factors, seen, pool, k, *, first):
  eligible = pool_lib.eligible(pool) & seen
  return state, kernels.kmeans_plus_plus(
    key, factors, k, eligible=eligible, first=first
  )
