"""Core-set: queries a batch that leaves no example far from a queried one.

Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks: A
Core-Set Approach". Distances are between embeddings, by default not normalised.
"""

import functools

import jax.numpy as jnp
import numpy as np

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies import covering, needs
from al_jax.strategies.measured import among_measured, jitted
from al_jax.strategies.scored import stateless


def core_set(
  *,
  robust: bool = False,
  outliers: float = 1e-4,
  normalise: bool = False,
  max_seconds: float = 60.0,
) -> Strategy:
  """Selects the example farthest from all queried examples, k times.

  Args:
    robust: whether to improve on the greedy choice with integer programs. They
      minimise the radius around the centers that covers all but a share of the
      pool. They run on the host, for pools of up to 2,000.
    outliers: share of the pool that may lie outside; for `robust` only.
    normalise: whether to divide embeddings by their lengths.
    max_seconds: time limit of each integer program; for `robust` only. A
      program not solved in time counts as infeasible.

  Returns:
    A Strategy that measures embeddings [N, D].
  """
  errors.check_flag('robust', robust)
  errors.check_number('outliers', outliers, least=0, below=1)
  errors.check_flag('normalise', normalise)
  errors.check_number('max_seconds', max_seconds, above=0)

  def measure(key, apply, batch):
    del key
    embedding = apply(batch.inputs).embedding
    if normalise:
      length = jnp.linalg.norm(embedding, axis=-1, keepdims=True)
      # A zero vector stays zero.
      embedding /= jnp.maximum(length, 1e-12)
    return embedding

  select = _select
  if robust:
    select = functools.partial(
      _select_robustly, outliers=outliers, max_seconds=max_seconds
    )
  return Strategy(
    stateless,
    measure,
    select,
    needs={needs.EMBEDDING: ''},
    score='' if robust else 'squared distance to the nearest queried example',
    takes_tiles=not robust,
    takes_sharded=not robust,
  )


@among_measured
@jitted('k')
def _select(key, state, embeddings, seen, pool, k):
  del key
  eligible = pool_lib.eligible(pool)
  return state, kernels.k_center(
    embeddings, k, eligible=eligible & seen, centers=~eligible & seen
  )


def _select_robustly(
  key, state, embeddings, seen, pool, k, *, outliers, max_seconds
):
  """Improves on the greedy centers with integer programs."""
  finite = np.isfinite(np.asarray(embeddings)).all(axis=1)
  rows = np.flatnonzero(finite & np.asarray(seen))
  if len(rows) > covering.MOST_POINTS:
    raise ValueError(
      f'robust core-set is for up to {covering.MOST_POINTS} examples and was '
      f'given {len(rows)}: set subset_size, or cap the pool.'
    )
  state, greedy = _select(key, state, embeddings, seen, pool, k)
  asked = np.asarray(~pool_lib.eligible(pool))
  picks = np.asarray(greedy.indices)
  chosen = np.flatnonzero(np.isin(rows, picks[picks >= 0]))
  better = covering.smallest_cover(
    np.asarray(embeddings)[rows],
    asked[rows],
    chosen,
    num_outliers=int(outliers * len(rows)),
    max_seconds=max_seconds,
  )
  indices = np.full(k, -1, np.int32)
  indices[: len(better)] = rows[better]
  values = np.full(k, -np.inf, np.float32)
  values[: len(better)] = 0
  return state, kernels.Selection(indices, values)
