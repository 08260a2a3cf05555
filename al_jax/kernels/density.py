"""Representativeness: density of the pool around a point."""

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import (
  _affinity,
  _checks,
  _padding,
  _similarities,
  _xla,
  distances,
  selection,
)
from al_jax.kernels.graph import Graph, cast, checked
from al_jax.kernels.selection import Selection


def information_density(
  points: distances.Points,
  scores: jax.Array,
  *,
  eligible: jax.Array | None = None,
  beta: float | jax.Array = 1.0,
) -> jax.Array:
  """Weights scores by the mean similarity of each point to the pool.

    u_i (1/n sum_j (1 + cos(h_i, h_j)) / 2)^beta,   over the n eligible j,

  so that outliers, which are uncertain too, do not win. The mean is taken in
  closed form, as the inner product with the mean direction. It costs one pass
  over the pool, and for Factors needs no array with C*D columns per point.

  Settles and Craven 2008, "An Analysis of Active Learning Strategies for
  Sequence Labeling Tasks", section 3.4.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> points = jnp.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
  >>> kernels.information_density(points, jnp.ones(4)).tolist()
  [0.75, 0.75, 0.25, 0.75]

  Args:
    points: float [N, D], or Factors. Their lengths do not matter; a point of
      length 0 has cosine 0 with every other.
    scores: Uncertainties u, float [N], 0 or above.
    eligible: Points that the mean is over, bool[N]. If None, all. Every point
      gets a value, whether eligible or not.
    beta: Weight of the density, 0 or above; at 0 the scores do not change.

  Returns:
    [N], float32 or wider; NaN for a point with a coordinate that is not finite.
    The mean leaves such points out.
  """
  points = distances.checked('points', points)
  num_points = distances.number(points)
  scores = _checks.per_point('scores', scores, num_points, 'points')
  eligible = _checks.mask('eligible', eligible, num_points)
  unit, finite = _similarities.normalised(points)
  cosines = _mean_cosines(unit.parts, _checks.among(finite, eligible))
  # Rounding may take a mean of cosines past 1.
  density = jnp.clip((1 + cosines) / 2, 0, 1)
  scores = _checks.at_least_float32(scores)
  return jnp.where(finite, scores * density**beta, jnp.nan)


def graph_density(
  key: jax.Array,
  graph: Graph,
  k: int,
  *,
  eligible: jax.Array | None = None,
  gamma: float | jax.Array | None = None,
) -> Selection:
  """Picks greedily the k densest points, lowering the density around each.

  An edge joins i and j if either lists the other. With -s_ij the distance of
  point i from its neighbour j, the density of i is

    g_i = mean over its edges of exp(gamma s_ij).

  The densest point is picked, and its density is subtracted from that of each
  of its neighbours, which keeps the picks apart. Every call starts from the
  original densities.

  Ebert, Fritz and Schiele 2012, "RALF: A Reinforced Active Learning
  Formulation for Object Class Recognition", section 3.2; their graph has 10
  neighbours by manhattan distance and their gamma is 1 / D.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> points = jnp.array([[0.0], [0.1], [0.3], [5.0], [9.0]])
  >>> graph = kernels.knn_graph(points, 1, metric='manhattan')
  >>> picks = kernels.graph_density(jax.random.key(0), graph, 2, gamma=1.0)
  >>> picks.indices.tolist()
  [0, 2]

  Args:
    key: Random key that breaks ties.
    graph: A `knn_graph` by manhattan or euclidean distance.
    k: Number of picks, at least 1; static.
    eligible: Points that may be picked, bool[N]. If None, all. Densities are
      those of the whole graph. A point that is not finite in the graph is never
      picked.
    gamma: Scale of the distances, above 0. If None, 1 / their mean in the
      graph.

  Returns:
    A Selection whose values are the densities at the time of each pick; they
    may be below 0. The density of a point without edges is 0. If fewer than k
    points can be picked, the remaining indices are -1 and values -inf.

  Raises:
    ValueError: If k is below 1, or gamma not above 0.
  """
  k = _checks.count('k', k)
  if gamma is not None:
    _checks.number('gamma', gamma, 'above 0', lambda value: value > 0)
  key, graph = _checks.key(key), checked(graph)
  eligible = _checks.mask('eligible', eligible, len(graph.neighbors))
  return _graph_density(
    key=key, graph=graph, k=k, eligible=eligible, gamma=gamma
  )


@_xla.compiled
def _graph_density(*, key, graph, k, eligible, gamma):
  graph = cast(graph)
  pickable = ~jnp.any(jnp.isnan(graph.similarities), axis=1)
  pickable = _checks.among(pickable, eligible)
  neighbors = graph.neighbors
  nothing = selection.nothing(k, graph.similarities.dtype)
  if not pickable.size:
    return nothing

  def pick(number, state):
    density, pickable, picks = state
    (place,), (value,) = selection.top_k(
      density, 1, eligible=pickable, key=jax.random.fold_in(key, number)
    )
    is_near = jnp.any(neighbors == place, axis=1)
    near = _padding.past_end(neighbors[place], len(neighbors))
    is_near = is_near.at[near].set(True, mode='drop')
    density = jnp.where(is_near, density - density[place], density)
    picks = Selection(
      picks.indices.at[number].set(place), picks.values.at[number].set(value)
    )
    return density, pickable.at[place].set(False), picks

  num_picks = jnp.minimum(k, jnp.sum(pickable))
  state = (_edge_mean(graph, gamma), pickable, nothing)
  return lax.fori_loop(0, num_picks, pick, state)[-1]


def _mean_cosines(parts, among):
  """Computes the mean cosine of each point with the points in `among`, [N]."""
  precision = lax.Precision.HIGHEST
  share = (among / jnp.maximum(jnp.sum(among), 1)).astype(parts[0].dtype)
  if len(parts) == 1:
    (directions,) = parts
    mean = jnp.matmul(share, directions, precision=precision)
    return jnp.matmul(directions, mean, precision=precision)
  left, right = parts
  mean = jnp.matmul((share[:, None] * left).T, right, precision=precision)
  return jnp.sum(jnp.matmul(left, mean, precision=precision) * right, axis=1)


def _edge_mean(graph, gamma):
  """Computes the mean weight of each point's edges, [N]; 0 without any."""
  present = graph.neighbors >= 0
  dists = jnp.where(present, -graph.similarities, 0.0)
  if gamma is None:
    mean = jnp.sum(dists) / jnp.maximum(jnp.sum(present), 1)
    gamma = 1 / jnp.where(mean > 0, mean, 1.0)
  weights = jnp.where(present, jnp.exp(-gamma * dists), 0.0)
  # An edge that only one end lists counts at the other end too.
  one_way = present & (_affinity.weights_back(graph.neighbors, weights) < 0)
  target = _padding.past_end(graph.neighbors, len(weights))
  totals = [
    jnp.sum(own, axis=1)
    .at[target]
    .add(jnp.where(one_way, own, 0.0), mode='drop')
    for own in (weights, present.astype(weights.dtype))
  ]
  return totals[0] / jnp.maximum(totals[1], 1)
