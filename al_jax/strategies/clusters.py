"""Queries one example of each of k clusters.

Zhdanov 2019, "Diverse mini-batch Active Learning": cluster the embeddings of
the most informative part of the pool, weighted by informativeness, and query
the example nearest to each centroid.
"""

import functools

import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.kernels import _padding
from al_jax.strategies import needs
from al_jax.strategies.measured import among_measured


def k_means(*, prefilter: int | None = None, num_iters: int = 100) -> Strategy:
  """Queries the examples nearest to the centroids of k-means.

  Args:
    prefilter: multiple of k: only the `prefilter` k most informative examples
      are clustered. If None, the whole pool.
    num_iters: largest number of iterations of Lloyd's algorithm.

  Returns:
    A Strategy that measures embeddings [N, D] and informativeness [N].
  """
  return _clustering(prefilter, num_iters, is_weighted=False)


def weighted_k_means(*, prefilter: int = 10, num_iters: int = 100) -> Strategy:
  """Queries as `k_means` does, with examples weighted by informativeness.

  Args:
    prefilter: multiple of k: only the `prefilter` k most informative examples
      are clustered.
    num_iters: largest number of iterations of Lloyd's algorithm.

  Returns:
    A Strategy that measures embeddings [N, D] and informativeness [N].
  """
  return _clustering(prefilter, num_iters, is_weighted=True)


def _clustering(prefilter, num_iters, *, is_weighted):
  errors.check_number('prefilter', prefilter, int, least=1, optional=True)
  errors.check_number('num_iters', num_iters, int, least=0)
  select = functools.partial(
    _select, prefilter=prefilter, num_iters=num_iters, is_weighted=is_weighted
  )
  needed = {needs.EMBEDDING: ''}
  if is_weighted or prefilter is not None:
    needed[needs.CLASSES] = ''
  score = ''
  if needs.CLASSES in needed:
    score = 'one minus the gap between the two largest probabilities'
  return Strategy(_has_scores, _measure, select, needs=needed, score=score)


def _has_scores(facts):
  """Returns the state: whether scores count, which needs classes."""
  return jnp.asarray(needs.has_classes(facts))


def _measure(key, apply, batch):
  del key
  output = apply(batch.inputs)
  return output.embedding, _informativeness(output.predictions)


def _informativeness(predictions):
  """Returns 1 - (p_1 - p_2) of the two top probabilities; 0 without classes."""
  logits, *others = jax.tree.leaves(predictions)
  if others or logits.ndim != 2 or logits.shape[1] < 2:
    return jnp.zeros(len(logits))
  return 1 + kernels.margin(logits)


@among_measured
@functools.partial(
  jax.jit, static_argnames=('k', 'prefilter', 'num_iters', 'is_weighted')
)
def _select(
  key, has_scores, measured, seen, pool, k, *, prefilter, num_iters, is_weighted
):
  embeddings, scores = measured
  scores = jnp.where(has_scores, scores, 0)
  cluster_key, tie_key = jax.random.split(key)
  num_kept = len(scores) if prefilter is None else prefilter * k
  kept = kernels.top_k(
    scores,
    min(num_kept, len(scores)),
    eligible=pool_lib.eligible(pool) & seen,
    key=tie_key,
  )
  points = embeddings[kept.indices]
  is_kept = (kept.indices >= 0) & jnp.all(jnp.isfinite(points), axis=1)
  # Centroids are weighted means: the weights must not all be 0, even where the
  # network is certain.
  weights = kept.values + 1e-12 if is_weighted else jnp.ones(len(points))
  clusters = kernels.k_means(
    cluster_key,
    points,
    k,
    eligible=is_kept,
    weights=jnp.where(is_kept, weights, 0),
    num_iters=num_iters,
  )
  rows = _nearest_members(points, clusters, k)
  return has_scores, _selection(kept, rows, is_kept, k)


def _nearest_members(points, clusters, k):
  """Returns int32[K], the row nearest to each centroid; -1 if it has none."""
  centroids = clusters.centroids[clusters.assignments]
  distances = jnp.sum((points - centroids) ** 2, axis=1)
  # Rows in no cluster sort last.
  cluster = _padding.past_end(clusters.assignments, k)
  order = jnp.lexsort((distances, cluster))
  cluster = cluster[order]
  start = jnp.searchsorted(cluster, jnp.arange(k))
  # The start of an empty cluster is that of a later one, or past the end.
  start = jnp.minimum(start, len(order) - 1)
  return jnp.where(cluster[start] == jnp.arange(k), order[start], -1)


def _selection(kept, rows, is_kept, k):
  """Selects the rows, then fills up with the most informative other ones."""
  num_rows = len(kept.indices)
  is_chosen = jnp.zeros(num_rows, jnp.bool_)
  chosen = _padding.past_end(rows, num_rows)
  is_chosen = is_chosen.at[chosen].set(True, mode='drop')
  # `kept` is sorted by informativeness; the chosen rows keep that order.
  rank = jnp.arange(num_rows) + num_rows * ~is_chosen
  rank = jnp.where(is_kept, rank, 2 * num_rows)
  order = jnp.argsort(rank)
  order = jnp.pad(order, (0, max(0, k - num_rows)))[:k]
  is_there = (jnp.arange(k) < num_rows) & is_kept[order]
  return kernels.Selection(
    jnp.where(is_there, kept.indices[order], -1),
    jnp.where(is_there, kept.values[order], -jnp.inf),
  )
