"""Queries batches that are spread over the pool, ignoring predictions.

Points are embeddings, or sketched gradients of all weights of the network.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.measured import among_measured, jitted
from al_jax.strategies.scored import stateless

GRADIENT = 'gradient'
NEEDS_GRADIENT: Mapping[str, str] = {
  needs.EXTRAS + GRADIENT: (
    'the option gradient_sketch adds it, of a learner that has it'
  )
}
_NEEDS = {'embedding': {needs.EMBEDDING: ''}, GRADIENT: NEEDS_GRADIENT}


def k_means_plus_plus(
  *, embedding: str = 'embedding', first: str = 'uniform'
) -> Strategy:
  """Draws each query in proportion to D^2, as k-means++ seeding does.

  D is the distance to the nearest earlier query of the batch; labelled examples
  are ignored. Arthur and Vassilvitskii 2007, "k-means++: The Advantages of
  Careful Seeding".

  Args:
    embedding: `'embedding'`, the input of the last layer, or `'gradient'`, the
      model's output of that name.
    first: choice of the first query: `'uniform'`, or `'max_norm'`, the point of
      the largest norm.

  Returns:
    A Strategy that measures points [N, D].
  """
  check_first(first)
  return Strategy(
    stateless,
    _measure(embedding),
    functools.partial(seed, first=first),
    needs=_NEEDS[embedding],
    score='squared distance to the nearest earlier pick',
    takes_tiles=True,
    takes_sharded=True,
  )


def lcmd(*, embedding: str = 'embedding') -> Strategy:
  """Selects the farthest example of the largest cluster, k times.

  Labelled and queried examples are the first centers, as in the paper's mode
  for training data. Holzmueller et al. 2023, "A Framework and Benchmark for
  Deep Batch Active Learning for Regression", section 5.

  Args:
    embedding: `'embedding'`, the input of the last layer, or `'gradient'`, the
      model's output of that name.

  Returns:
    A Strategy that measures points [N, D].
  """
  return Strategy(
    stateless,
    _measure(embedding),
    _select_lcmd,
    needs=_NEEDS[embedding],
    score='squared distance to the nearest queried example',
    takes_sharded=True,
  )


def gradient(key: jax.Array, apply: Callable[..., Any], batch: Any) -> Any:
  """Measures sketched gradients, see `interfaces.Measure`."""
  del key
  return apply(batch.inputs).extras[GRADIENT]


def _embedding(key, apply, batch):
  del key
  return apply(batch.inputs).embedding


def _measure(embedding):
  errors.check_name('embedding', embedding, _NEEDS)
  return gradient if embedding == GRADIENT else _embedding


def check_first(first: str) -> None:
  """Raises ValueError for an unknown choice of the first query."""
  if first not in ('uniform', 'max_norm'):
    raise ValueError(f"first is {first!r}; it must be 'uniform' or 'max_norm'.")


@among_measured
@jitted('k', 'first')
def seed(key, state, points, seen, pool, k, *, first):
  """Selects by k-means++, see `interfaces.Select`."""
  eligible = pool_lib.eligible(pool) & seen
  return state, kernels.kmeans_plus_plus(
    key, points, k, eligible=eligible, first=first
  )


@among_measured
@functools.partial(jax.jit, static_argnames='k')
def _select_lcmd(key, state, points, seen, pool, k):
  del key
  eligible = pool_lib.eligible(pool)
  return state, kernels.lcmd(
    points, k, eligible=eligible & seen, centers=~eligible & seen
  )
