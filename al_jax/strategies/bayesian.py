"""Asks about the examples over which sampled networks disagree.

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
  """What a label would tell about the network, each example for itself.

  The samples are added up one by one: memory does not depend on their number,
  and layers before the first dropout run once.

  Args:
    num_samples: S, dropout samples, at least 2.
    draw: how a batch is made of the scores, see `scored`; `'power'` is
      PowerBALD (Kirsch et al. 2023).
    coldness: of a draw.

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
  """A batch by a score of the samples of each example.

  Args:
    score: `logits [S, B, C] -> [B]`, larger is asked first.
    called: what the score is, see `Strategy.score`.
    num_samples: S, dropout samples, at least 2.
    draw: how a batch is made of the scores, see `scored`.
    coldness: of a draw.

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
  """What the labels of a batch would tell together about the network.

  Kirsch et al. 2019, "BatchBALD: Efficient and Diverse Batch Acquisition for
  Deep Bayesian Active Learning". It keeps the samples of all that it measures,
  4 S C bytes per example: look at a subset of a large pool.

  Args:
    num_samples: S, dropout samples, at least 2.
    num_configurations: of the labels of the batch so far: all of them while
      there are no more than these, afterwards so many draws.

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
  """Refuses one network: it does not disagree with itself."""
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
