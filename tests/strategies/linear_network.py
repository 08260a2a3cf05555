"""Measuring and selecting through `al_jax.testing.linear`, by hand.

Imports only what `pip install al-jax` brings, for tests/package.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import inference
from al_jax.testing import linear

N, D, C = linear.N, linear.D, linear.C
KEY, WEIGHTS = linear.KEY, linear.WEIGHTS
pool_with = linear.pool_with
K = 8  # one number of picks, so that selecting compiles once
FACTS = linear.facts_of(linear.TASK, linear.DRAWN)
_linear = linear.network(linear.TASK, D)
# Of the strategies that need some, or are slow without.
OPTIONS = {
  'albl': {'arms': ('entropy', 'core_set')},
  'bald': {'num_samples': 4},
  'batch_bald': {'num_samples': 4, 'num_configurations': 64},
  'mean_std': {'num_samples': 4},
  'variance': {'num_samples': 4},
  'variation_ratio': {'num_samples': 4},
}


def apply(inputs, *, keys=None):
  """The linear network, with the outputs that some learners add."""
  output = _linear(inputs, keys=keys)
  # Any number per row will do.
  number = output.predictions[..., 0]
  return output._replace(
    extras={'predicted_loss': number, 'unlabelled': number}
  )


@functools.cache
def _pool_map(measure, chunk_size):
  """Compiled once for a strategy, however many pools it measures."""
  return inference.make_pool_map(
    lambda key, batch: measure(key, apply, batch), chunk_size=chunk_size
  )


def measure_pool(strategy, inputs, *, chunk_size=16, where=None):
  """What a strategy measures of a pool; `()` if it looks at nothing."""
  if strategy.measure is None:
    return ()
  return _pool_map(strategy.measure, chunk_size)(KEY, inputs, where)


def select(strategy, measured, pool, *, seen=None, state=None, key=KEY, k=K):
  """What a strategy chooses of what was measured; if `seen` is None, of all."""
  if state is None:
    state = strategy.init(FACTS)
  seen = jnp.ones(pool.num_examples, bool) if seen is None else seen
  return strategy.select(key, state, measured, jnp.asarray(seen), pool, k)


def choose(strategy, inputs, pool, *, where=None, key=KEY, k=K):
  """The indices that a strategy asks about, -1 where there were too few."""
  measured = measure_pool(strategy, inputs, where=where)
  _, selection = select(strategy, measured, pool, seen=where, key=key, k=k)
  return np.asarray(selection.indices)


def softmax(logits):
  """Of float64."""
  logits = np.asarray(logits, np.float64)
  powers = np.exp(logits - logits.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


def sampled_probs(inputs, num_samples):
  """The softmax of each dropout sample: [S, N, C]."""
  masks = [
    np.asarray(jax.random.bernoulli(key, 0.5, (D,)))
    for key in jax.random.split(KEY, num_samples)
  ]
  return np.stack([softmax((inputs * mask) @ WEIGHTS) for mask in masks])
