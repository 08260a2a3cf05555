"""A network small enough to compute by hand, for the tests of strategies."""

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import inference
from al_jax import pool as pool_lib
from al_jax.interfaces import Facts, ModelOutput

N, D, C = 40, 6, 4
K = 8  # one number of picks, so that selecting compiles once
KEY = jax.random.key(2)
WEIGHTS = np.random.default_rng(1).normal(size=(D, C)).astype(np.float32)
FACTS = Facts(
  num_examples=N,
  task='classification',
  num_classes=C,
  label_budget=N,
  example=jax.ShapeDtypeStruct((D,), jnp.float32),
  mean=np.zeros(D, np.float32),
  std=np.ones(D, np.float32),
)


def apply(inputs, *, keys=None):
  """A linear network whose inputs drop out, by one mask for all rows."""
  if keys is None:
    return ModelOutput(inputs @ WEIGHTS, inputs, {})
  masks = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (D,)))(keys)
  dropped = inputs[None] * masks[:, None]
  return ModelOutput(dropped @ WEIGHTS, dropped, {})


def measure_pool(strategy, inputs, *, chunk_size=16, where=None):
  """What a strategy measures of a pool."""

  def measure(key, batch):
    return strategy.measure(key, apply, batch)

  map_pool = inference.make_pool_map(measure, chunk_size=chunk_size)
  return map_pool(KEY, inputs, where)


def pool_with(asked, targets=None):
  """A pool of N examples of which some have been asked about."""
  asked = jnp.asarray(asked, jnp.int32)
  if targets is None:
    targets = jnp.zeros(len(asked), jnp.int32)
  return pool_lib.reveal(
    pool_lib.create(N), asked, jnp.asarray(targets), pool_lib.ORACLE, round=0
  )


def choose(strategy, inputs, pool, *, where=None, key=KEY, k=K):
  """The indices that a strategy asks about, -1 where there were too few."""
  measured = measure_pool(strategy, inputs, where=where)
  _, selection = strategy.select(key, strategy.init(FACTS), measured, pool, k)
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
