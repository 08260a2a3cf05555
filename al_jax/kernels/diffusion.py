"""Selection of the points that diffusion from labelled points reaches least."""

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _affinity, _checks, _xla, selection
from al_jax.kernels.graph import Graph, cast, checked
from al_jax.kernels.selection import Selection


def diffusion_selection(
  key: jax.Array,
  graph: Graph,
  labeled: jax.Array,
  k: int,
  *,
  eligible: jax.Array | None = None,
  alpha: float | jax.Array = 0.99,
  gamma: float = 3,
  graph_kind: str = 'reciprocal',
  num_iters: int = 20,
  tol: float = 1e-6,
) -> Selection:
  """Picks k times the point that diffusion from known points reaches least.

  With y = 1 at the labelled and the picked points, 0 elsewhere, each pick is

    argmin_i z_i,   (I - alpha D^-1/2 W D^-1/2) z = y,

  after which y_i becomes 1. W is that of `label_propagation`. This is core-set
  selection on the manifold of the data: it ignores the classes. A pick changes
  z little, so that each solve starts from the previous solution.

  Points that diffusion does not reach, such as isolated nodes, all have z = 0
  and are picked first. These and all other ties are broken at random.

  Simeoni et al. 2020, "Rethinking Deep Active Learning: Using Unlabeled Data at
  Model Training", section 4: jLP.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> angles = jnp.array([0.0, 0.1, 0.2, 1.4, 1.5])
  >>> points = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
  >>> graph = kernels.knn_graph(points, 1)
  >>> labeled = jnp.array([True, False, False, False, False])
  >>> picks = kernels.diffusion_selection(jax.random.key(0), graph, labeled, 1)
  >>> picks.indices[0] >= 2
  Array(True, dtype=bool)

  Args:
    key: Random key that breaks ties.
    graph: A `knn_graph` of cosines, or of dot products.
    labeled: Points where diffusion starts, bool[N]. They are not picked.
    k: Number of picks, at least 1; static.
    eligible: Points that may be picked, bool[N]. If None, all. A point that is
      not finite in the graph is never picked.
    alpha: Reach of the diffusion, from 0 to below 1.
    gamma: Exponent of the similarities, above 0.
    graph_kind: 'reciprocal' or 'union'; static.
    num_iters: Maximum number of iterations of each solve, at least 1.
    tol: Tolerance: a solve ends once its residual is below `tol` times the
      length of y.

  Returns:
    A Selection whose values are -z_i at the time of each pick. If fewer than k
    points can be picked, the remaining indices are -1 and values -inf.

  Raises:
    ValueError: If k is below 1 or an option is not allowed.
  """
  k, key = _checks.count('k', k), _checks.key(key)
  _affinity.check_options(alpha, gamma, graph_kind, num_iters)
  graph = checked(graph)
  num_points = len(graph.neighbors)
  labeled = _checks.mask('labeled', labeled, num_points)
  eligible = _checks.mask('eligible', eligible, num_points)
  return _diffusion_selection(
    key=key,
    graph=graph,
    labeled=labeled,
    k=k,
    eligible=eligible,
    alpha=alpha,
    gamma=gamma,
    graph_kind=graph_kind,
    num_iters=num_iters,
    tol=tol,
  )


@_xla.compiled
def _diffusion_selection(
  *,
  key,
  graph,
  labeled,
  k,
  eligible,
  alpha,
  gamma,
  graph_kind,
  num_iters,
  tol,
):
  graph = cast(graph)
  if labeled is None:
    labeled = jnp.zeros(len(graph.neighbors), jnp.bool_)
  pickable = ~labeled & ~jnp.any(jnp.isnan(graph.similarities), axis=1)
  pickable = _checks.among(pickable, eligible)
  nothing = selection.nothing(k, graph.similarities.dtype)
  if not labeled.size:
    return nothing
  matrix = _affinity.affinity(graph, gamma, graph_kind)

  def pick(number, state):
    reach, sources, pickable, picks = state
    reach = _affinity.solve(
      matrix, sources, reach, alpha=alpha, num_iters=num_iters, tol=tol
    )
    (place,), (value,) = selection.top_k(
      -reach[:, 0],
      1,
      eligible=pickable,
      key=jax.random.fold_in(key, number),
    )
    picks = Selection(
      picks.indices.at[number].set(place), picks.values.at[number].set(value)
    )
    sources = sources.at[place, 0].set(1.0)
    return reach, sources, pickable.at[place].set(False), picks

  sources = labeled.astype(graph.similarities.dtype)[:, None]
  num_picks = jnp.minimum(k, jnp.sum(pickable))
  state = (jnp.zeros_like(sources), sources, pickable, nothing)
  return lax.fori_loop(0, num_picks, pick, state)[-1]
