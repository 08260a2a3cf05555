"""A linear network, and pools that are not nice, to try strategies on.

Small enough to compute by hand. Imports only what `pip install al-jax` brings.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import pool as pool_lib
from al_jax import tasks
from al_jax.interfaces import Facts, ModelOutput
from al_jax.interfaces.base import Applied
from al_jax.pool import PoolState
from al_jax.tasks import Task

N, D, C = 40, 6, 4
TASK = tasks.numbered(C)
KEY = jax.random.key(2)
WEIGHTS = np.random.default_rng(1).normal(size=(D, C)).astype(np.float32)
DRAWN = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)


def facts_of(task: Task, inputs: np.ndarray) -> Facts:
  """Returns the facts of a pool of float32 [N, ...] without a mean."""
  shape = inputs.shape[1:]
  return Facts(
    num_examples=len(inputs),
    task=task,
    label_budget=len(inputs),
    example=jax.ShapeDtypeStruct(shape, jnp.float32),
    mean=np.zeros(shape, np.float32),
    std=np.ones(shape, np.float32),
  )


def network(task: Task, num_features: int) -> Applied:
  """Makes a linear network whose inputs drop out, by one mask for all rows.

  Args:
    task: What it predicts.
    num_features: D; its inputs are float32 [B, D], and its embedding is these.

  Returns:
    A function as `measure` gets it.
  """
  rng = np.random.default_rng(1)
  weights = jax.tree.map(
    lambda size: rng.normal(size=(num_features, size)).astype(np.float32),
    task.outputs,
  )

  def apply(inputs, *, keys=None):
    if keys is not None:
      masks = jax.vmap(
        lambda key: jax.random.bernoulli(key, 0.5, (num_features,))
      )(keys)
      inputs = inputs[None] * masks[:, None]
    return ModelOutput(jax.tree.map(lambda w: inputs @ w, weights), inputs, {})

  return apply


def hostile(inputs: np.ndarray) -> dict[str, np.ndarray]:
  """Makes pools by name, each of the shape of `inputs`, float32 [N, ...]."""
  size = len(inputs)
  far = inputs.copy()
  far[-1] = 1e4
  return {
    'drawn': inputs,
    'all equal': np.ones_like(inputs),
    'all zero': np.zeros_like(inputs),
    'three of each': np.repeat(inputs, 3, axis=0)[:size],
    'very sure': np.float32(1e3) * inputs,
    'one far away': far,
  }


def pool_with(
  asked: Sequence[int],
  targets: int | Sequence[int] = 0,
  *,
  num_examples: int = N,
  annotator: int | Sequence[int] = pool_lib.ORACLE,
  task: Task = TASK,
) -> PoolState:
  """Makes a pool in which some examples have been queried.

  Written down in NumPy: `pool.reveal` would compile for every length.

  Args:
    asked: Pool indices, in the order of asking.
    targets: Class numbers they were answered by; zeros for any other task.
    num_examples: N.
    annotator: Who answered each.
    task: What is predicted.

  Returns:
    A PoolState.
  """
  asked = np.asarray(asked, np.int64)
  filled = {
    'acquired_round': np.full(num_examples, pool_lib.NEVER, np.int32),
    'acquired_order': np.full(num_examples, pool_lib.NEVER, np.int32),
    'annotator': np.full(num_examples, pool_lib.NOBODY, np.int8),
  }
  filled['acquired_round'][asked] = 0
  filled['acquired_order'][asked] = np.arange(len(asked))
  filled['annotator'][asked] = annotator
  answers = jax.tree.map(np.array, task.empty(num_examples))
  if isinstance(task.outputs, int) and answers.ndim == 1:
    answers[asked] = targets
  return pool_lib.PoolState(
    targets=jax.tree.map(jnp.asarray, answers),
    **{name: jnp.asarray(array) for name, array in filled.items()},
  )


def poisoned(pool: PoolState) -> PoolState:
  """Returns the pool with garbage in place of each answer nobody paid for."""
  hidden = ~np.asarray(pool_lib.trainable(pool))

  def spoil(leaf):
    leaf = np.array(leaf)
    is_float = leaf.dtype.kind == 'f'
    leaf[hidden] = np.nan if is_float else 10**9
    return jnp.asarray(leaf)

  return pool.replace(targets=jax.tree.map(spoil, pool.targets))
