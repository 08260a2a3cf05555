"""Queries the examples on which sampled networks disagree.

Houlsby et al. 2011, "Bayesian Active Learning for Classification and Preference
Learning"; Gal et al. 2017, "Deep Bayesian Active Learning with Image Data". A
sampled network is a dropout mask, one for the whole pool.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.measured import among_measured
from al_jax.strategies.scored import scored, stateless

_NEEDS = {needs.CLASSES: '', needs.DROPOUT: ''}


def bald(
  *, num_samples: int = 100, draw: str = 'top', coldness: float = 1.0
) -> Strategy:
  """Queries examples whose labels are the most informative about the network.

  Each example is scored on its own. Samples are accumulated one by one, so
  memory does not depend on their number, and layers before the first dropout
  run once.

  Args:
    num_samples: number S of dropout samples, at least 2.
    draw: how scores become a batch, see `scored`; `'power'` is PowerBALD
      (Kirsch et al. 2023).
    coldness: coldness of the draw, see `scored`.

  Returns:
    A Strategy that measures float32[N] scores.
  """
  _check_samples(num_samples)

  def measure(key, apply, batch):
    def logits(key):
      return apply(batch.inputs, keys=key[None]).predictions[0]

    return kernels.streamed_bald(jax.random.split(key, num_samples), logits)

  return scored(
    measure,
    draw=draw,
    coldness=coldness,
    needs=_NEEDS,
    score='information of the label about the network, in nats',
  )


def disagreement(
  score: Callable[[jax.Array], jax.Array],
  called: str,
  *,
  num_samples: int = 100,
  draw: str = 'top',
  coldness: float = 1.0,
) -> Strategy:
  """Queries the examples whose dropout samples score highest.

  Args:
    score: `logits [S, B, C] -> [B]`; the largest scores are queried first.
    called: meaning of the score, see `Strategy.score`.
    num_samples: number S of dropout samples, at least 2.
    draw: how scores become a batch, see `scored`.
    coldness: coldness of the draw, see `scored`.

  Returns:
    A Strategy that measures float32[N] scores.
  """
  _check_samples(num_samples)

  def measure(key, apply, batch):
    keys = jax.random.split(key, num_samples)
    return score(apply(batch.inputs, keys=keys).predictions)

  return scored(
    measure, draw=draw, coldness=coldness, needs=_NEEDS, score=called
  )


variation_ratio = functools.partial(
  disagreement,
  kernels.variation_ratio,
  'share of dropout samples against the most frequent vote',
)
mean_std = functools.partial(
  disagreement,
  kernels.mean_std,
  'standard deviation of probabilities over dropout samples',
)


def batch_bald(
  *, num_samples: int = 100, num_configurations: int = 10_000
) -> Strategy:
  """Queries a batch whose labels are jointly informative about the network.

  Kirsch et al. 2019, "BatchBALD: Efficient and Diverse Batch Acquisition for
  Deep Bayesian Active Learning". It keeps the samples of every measured
  example, 4 S C bytes each: use a subset of a large pool.

  Args:
    num_samples: number S of dropout samples, at least 2.
    num_configurations: largest number of label configurations of the partial
      batch that are enumerated, at least num_samples. Beyond it, this many
      configurations are drawn.

  Returns:
    A Strategy that measures float32[N, S, C] logits.
  """
  _check_samples(num_samples)
  errors.check_number('num_configurations', num_configurations, int, least=1)
  if num_configurations < num_samples:
    raise ValueError(
      f'num_configurations is {num_configurations}; it must be at least '
      f'num_samples, {num_samples}.'
    )

  def measure(key, apply, batch):
    keys = jax.random.split(key, num_samples)
    return jnp.moveaxis(apply(batch.inputs, keys=keys).predictions, 0, 1)

  select = functools.partial(_select, num_configurations=num_configurations)
  return Strategy(
    stateless,
    measure,
    select,
    needs=_NEEDS,
    score='information that the label adds to the batch, in nats',
  )


def _check_samples(num_samples):
  """Raises ValueError for fewer than 2 samples, which cannot disagree."""
  errors.check_number('num_samples', num_samples, int, least=2)


@among_measured
@functools.partial(jax.jit, static_argnames=('k', 'num_configurations'))
def _select(key, state, logits, seen, pool, k, *, num_configurations):
  eligible = pool_lib.eligible(pool) & seen
  return state, kernels.batch_bald(
    key,
    jnp.moveaxis(logits, 1, 0),
    k,
    eligible=eligible,
    num_samples=num_configurations,
  )
