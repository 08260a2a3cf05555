"""A small linear network and hostile pools, to try strategies on.

Imports only dependencies that `pip install al-jax` installs.
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
  """Returns the facts of a pool of float32 [N, ...], with mean 0 and std 1."""
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
  """Makes a linear network with dropout of inputs, one mask for all rows.

  Args:
    task: Task of the network.
    num_features: Number of features D. Inputs are float32 [B, D]; the embedding
      is the inputs.

  Returns:
    The network, as an `apply` argument of `measure`.
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
  """Makes pools by name, each with the shape of `inputs`, float32 [N, ...]."""
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

  Uses NumPy, because `pool.reveal` would compile for every length.

  Args:
    asked: Pool indices of the queried examples, in order.
    targets: Class numbers of their answers; ignored for other tasks.
    num_examples: Number of examples N.
    annotator: Annotator of each answer.
    task: Task of the targets.

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
  """Returns the pool with garbage in place of hidden answers."""
  hidden = ~np.asarray(pool_lib.trainable(pool))

  def spoil(leaf):
    leaf = np.array(leaf)
    is_float = leaf.dtype.kind == 'f'
    leaf[hidden] = np.nan if is_float else 10**9
    return jnp.asarray(leaf)

  return pool.replace(targets=jax.tree.map(spoil, pool.targets))
