"""Describes a batch of queries: its gradient norms and its diversity."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import kernels, sources
from al_jax.interfaces import Facts, Learner, LearnerState, PyTree

# A larger batch is cut to this size: the determinant costs its cube.
MOST_PICKS = 1000


def describe(
  logits: jax.Array, embedding: jax.Array, inputs: jax.Array, real: jax.Array
) -> Mapping[str, jax.Array]:
  """Computes the diversity of a batch and the mean norm of its gradients.

  With gradient embeddings g (see `kernels.gradient_factors`) scaled to length 1
  and their Gram matrix G, for K picks,

    log_det = log det(I + G) / K,

  which is log 2 if all are orthogonal and near 0 if all are alike. A near
  duplicate is a pick whose input lies within half the batch's median distance
  of an earlier pick.

  Args:
    logits: float[K, C].
    embedding: float[K, D].
    inputs: float[K, D'], in units of their standard deviations.
    real: bool[K], False in padding rows.

  Returns:
    `gradient_norm`, `log_det` and `near_duplicates` (a share); the last two are
    NaN for fewer than two picks.
  """
  number = jnp.sum(real)
  factors = kernels.gradient_factors(logits, embedding)
  norms = jnp.sqrt(kernels.squared_norms(factors))
  inner = (factors.left @ factors.left.T) * (factors.right @ factors.right.T)
  lengths = jnp.maximum(norms, 1e-12)
  gram = inner / (lengths[:, None] * lengths[None, :])
  both = real[:, None] & real[None, :]
  identity = jnp.eye(len(real))
  _, log_det = jnp.linalg.slogdet(identity + jnp.where(both, gram, 0))
  distances = jnp.sqrt(kernels.squared_distances(inputs, inputs))
  earlier = both & jnp.tril(jnp.ones_like(both), -1)
  median = jnp.nanmedian(jnp.where(earlier, distances, jnp.nan))
  is_near = jnp.any(earlier & (distances < median / 2), axis=1)
  several = number > 1
  return {
    'gradient_norm': jnp.sum(jnp.where(real, norms, 0)) / number,
    'log_det': jnp.where(several, log_det / number, jnp.nan),
    'near_duplicates': jnp.where(several, jnp.sum(is_near) / number, jnp.nan),
  }


def make_describe(
  learner: Learner, facts: Facts, inputs: PyTree
) -> Callable[[LearnerState, np.ndarray], dict[str, float]]:
  """Compiles the function that describes the batches of a run.

  Args:
    learner: the learner whose gradients and embeddings are used.
    facts: facts of the task.
    inputs: inputs of the pool.

  Returns:
    `(learner state, picks int32[K], K) -> description`; fewer picks than K are
    padded, so that the last batch of a run compiles nothing.
  """
  read = sources.reader(inputs)

  @jax.jit
  def of_batch(state, batch, real):
    output = learner.apply(state, batch)
    rows = jax.tree.map(_in_units_of, batch, facts.std)
    flat = jnp.concatenate(
      [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(rows)], axis=1
    )
    return describe(output.predictions, output.embedding, flat, real)

  def of_picks(state, picks, k):
    index = np.full(min(k, MOST_PICKS), -1, np.int32)
    some = picks[: len(index)]
    index[: len(some)] = some
    batch = read(index)
    found = jax.device_get(of_batch(state, batch, index >= 0))
    return {name: float(value) for name, value in found.items()}

  return of_picks


def _in_units_of(leaf, std):
  """Divides [K, ...] by a std that broadcasts against one row."""
  missing = leaf.ndim - np.ndim(std)
  std = np.reshape(std, (1,) * missing + np.shape(std))
  return leaf.astype(jnp.float32) / std.astype(np.float32)
