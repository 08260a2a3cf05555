"""Core-set: a batch that leaves no example far from all labelled ones.

Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks: A
Core-Set Approach". Distances are between embeddings, the lengths as they are.
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
  """The example farthest from all that was asked about, k times.

  Args:
    robust: look further, by integer programmes, for a smaller radius around the
      centers that a share of the pool may lie outside of. On the host, for
      pools of up to 2,000.
    outliers: that share; of `robust` only.
    normalise: compare directions: embeddings are divided by their lengths.
    max_seconds: for each integer programme; of `robust` only. One that is not
      solved in time counts as one without a solution.

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
      # A vector of zeros has no direction and stays where it is.
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
  """Begins at the greedy centers, and looks for better ones."""
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
