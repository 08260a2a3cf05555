"""Lloyd's algorithm on k-means++ seeds."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _xla, distances
from al_jax.kernels.distances import Factors, Points
from al_jax.kernels.kmeans_plus_plus import kmeans_plus_plus

# Pool rows that are assigned, and multiplied out, at a time.
_ROWS_AT_ONCE = 1024


class Clusters(NamedTuple):
  """Centroids, and the assignment of points to them.

  Attributes:
    centroids: Weighted means, [K, D] ([K, C * D] for Factors); NaN for a
      cluster that no point was left to seed.
    assignments: int32[N], the nearest centroid; -1 for points left out.
    inertia: Scalar, weighted sum of squared distances to the nearest centroids.
  """

  centroids: jax.Array
  assignments: jax.Array
  inertia: jax.Array


class _State(NamedTuple):
  centroids: jax.Array
  assignments: jax.Array
  changed: jax.Array
  iteration: jax.Array


class _Pass(NamedTuple):
  """Result of one pass over the pool.

  Attributes:
    assignments: int32[N], the nearest centroid; -1 where the weight is 0.
    sq_dists: [N], squared distances to the nearest centroids.
    sums: [K, D], weighted sums of points by cluster.
    totals: [K], sums of weights by cluster.
  """

  assignments: jax.Array
  sq_dists: jax.Array
  sums: jax.Array
  totals: jax.Array


def k_means(
  key: jax.Array,
  points: Points,
  k: int,
  *,
  eligible: jax.Array | None = None,
  weights: jax.Array | None = None,
  num_iters: int = 100,
) -> Clusters:
  """Finds k clusters that locally minimise squared distances to their means.

  Alternates assigning and averaging, from `kmeans_plus_plus` seeds, until
  nothing changes. Each step lowers

    inertia = sum_i w_i min_j |x_i - m_j|^2.

  A cluster that loses all its points restarts at the point with the largest
  w_i |x_i - m|^2; several such clusters restart at different points. If every
  point is at its centroid, the cluster stays where it was, empty. Factors are
  multiplied out a tile at a time, since means of outer products are not outer
  products.

  Lloyd 1982, "Least Squares Quantization in PCM", section 3.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> points = jnp.array([[0.0], [1.0], [9.0], [11.0]])
  >>> clusters = kernels.k_means(jax.random.key(0), points, 2)
  >>> sorted(clusters.centroids[:, 0].tolist()), float(clusters.inertia)
  ([0.5, 10.0], 2.5)

  Args:
    key: Random key, consumed by the seeding.
    points: float [N, D], or Factors. Points whose squared norm is not finite
      are left out.
    k: Number of clusters, at least 1; static.
    eligible: Points to cluster, bool[N]; the others are left out. If None, all.
    weights: Weights of the points, float [N]; points whose weight is not
      positive and finite are left out. If None, all 1.
    num_iters: Maximum number of iterations, at least 0; static.

  Returns:
    Clusters. If k is above the number of points that are not left out, only
    that many centroids are points and the others are NaN.

  Raises:
    ValueError: If k is below 1, num_iters is below 0, or there are no points.
  """
  k = _checks.count('k', k)
  num_iters = _checks.count('num_iters', num_iters, at_least=0)
  key = _checks.key(key)
  points = distances.checked('points', points)
  num_points = distances.number(points)
  if not num_points:
    raise ValueError('points has no rows; k_means needs at least one.')
  eligible = _checks.mask('eligible', eligible, num_points)
  if weights is not None:
    weights = _checks.per_point('weights', weights, num_points, 'points')
  return _k_means(
    key=key,
    points=points,
    k=k,
    eligible=eligible,
    weights=weights,
    num_iters=num_iters,
  )


@_xla.compiled
def _k_means(*, key, points, k, eligible, weights, num_iters):
  points = distances.cast(points)
  seeds = kmeans_plus_plus(
    key, points, k, eligible=eligible, weights=weights
  ).indices
  weights = _weights_of_members(points, eligible, weights)
  num_points = weights.shape[0]
  chosen = distances.take(points, jnp.maximum(seeds, 0))
  centroids = jnp.where(seeds[:, None] >= 0, _multiplied_out(chosen), jnp.nan)

  def one_iteration(state):
    look = _look(points, weights, state.centroids)
    centroids, restarted = _averaged(points, weights, state.centroids, look)
    moved = jnp.any(look.assignments != state.assignments)
    return _State(
      centroids, look.assignments, moved | restarted, state.iteration + 1
    )

  state = lax.while_loop(
    lambda state: state.changed & (state.iteration < num_iters),
    one_iteration,
    _State(
      centroids,
      jnp.full(num_points, -1, jnp.int32),
      jnp.array(True),
      jnp.zeros((), jnp.int32),
    ),
  )
  look = _look(points, weights, state.centroids)
  inertia = jnp.sum(weights * look.sq_dists)
  return Clusters(state.centroids, look.assignments, inertia)


def _weights_of_members(points, eligible, weights):
  """Returns weights, [N], 0 for points that are left out."""
  norms = distances.squared_norms(points)
  # The rule that the seeding uses too.
  members = _checks.among(distances.finite(norms), eligible)
  if weights is None:
    return members.astype(norms.dtype)
  weights = weights.astype(norms.dtype)
  return jnp.where(members & (weights > 0) & (weights < jnp.inf), weights, 0.0)


def _look(points, weights, centroids):
  """Assigns every point to a centroid, tile by tile, and sums by cluster."""
  num_points, (k, dim) = weights.shape[0], centroids.shape
  num_rows = min(_ROWS_AT_ONCE, num_points)
  num_tiles = -(-num_points // num_rows)
  usable = jnp.all(jnp.isfinite(centroids), axis=1)
  centroids = jnp.where(usable[:, None], centroids, 0.0)
  # inf: no point is near a cluster without a centroid.
  norms = jnp.where(usable, distances.squared_norms(centroids), jnp.inf)

  def one_tile(tile, carry):
    wanted = tile * num_rows
    start = jnp.minimum(wanted, num_points - num_rows)
    rows, row_weights = jax.tree.map(
      lambda array: lax.dynamic_slice_in_dim(array, start, num_rows),
      (points, weights),
    )
    counts = row_weights > 0
    # The last tile overlaps the one before; sums count each point once.
    fresh = jnp.where(start + jnp.arange(num_rows) >= wanted, row_weights, 0.0)
    rows = jnp.where(counts[:, None], _multiplied_out(rows), 0.0)
    to_all = distances.expanded_squared_distances(
      rows, centroids, distances.squared_norms(rows), norms
    )
    nearest = jnp.argmin(to_all, axis=1).astype(jnp.int32)
    sq_dists = distances.paired_squared_distances(
      rows, distances.take(centroids, nearest)
    )
    shares = jax.nn.one_hot(nearest, k, dtype=rows.dtype) * fresh[:, None]
    return _Pass(
      lax.dynamic_update_slice_in_dim(
        carry.assignments, jnp.where(counts, nearest, -1), start, 0
      ),
      lax.dynamic_update_slice_in_dim(
        carry.sq_dists, jnp.where(counts, sq_dists, 0.0), start, 0
      ),
      carry.sums + jnp.matmul(shares.T, rows, precision=lax.Precision.HIGHEST),
      carry.totals + jnp.sum(shares, axis=0),
    )

  nothing = _Pass(
    jnp.full(num_points, -1, jnp.int32),
    jnp.zeros(num_points, weights.dtype),
    jnp.zeros((k, dim), weights.dtype),
    jnp.zeros(k, weights.dtype),
  )
  return lax.fori_loop(0, num_tiles, one_tile, nothing)


def _averaged(points, weights, centroids, look):
  """Returns the new centroids, and whether a cluster restarted."""
  empty = (look.totals == 0) & jnp.all(jnp.isfinite(centroids), axis=1)
  means = look.sums / jnp.where(look.totals > 0, look.totals, 1.0)[:, None]
  centroids = jnp.where((look.totals > 0)[:, None], means, centroids)

  def restart():
    num_worst = min(centroids.shape[0], weights.shape[0])
    misfit, worst = lax.top_k(weights * look.sq_dists, num_worst)
    turn = jnp.minimum(jnp.cumsum(empty) - 1, num_worst - 1)
    chosen = _multiplied_out(distances.take(points, worst[turn]))
    restarts = empty & (misfit[turn] > 0)
    return jnp.where(restarts[:, None], chosen, centroids), jnp.any(restarts)

  return lax.cond(
    jnp.any(empty), restart, lambda: (centroids, jnp.array(False))
  )


def _multiplied_out(points):
  """Returns points as [N, D], or [N, C * D] for Factors."""
  if not isinstance(points, Factors):
    return points
  left, right = points
  return (left[:, :, None] * right[:, None, :]).reshape(left.shape[0], -1)
