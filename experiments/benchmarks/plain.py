"""The kernels' selections as one would write them without a library.

They are jitted with one pick per pass over the pool, or use NumPy and SciPy.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.special
from jax import lax
from scipy.sparse import linalg

from al_jax.kernels import Factors

_HIGHEST = lax.Precision.HIGHEST
# Initial centers per matrix product.
_CENTERS_AT_ONCE = 500


def one_seed_per_pass(
  key: jax.Array, points: Factors, k: int
) -> tuple[jax.Array, jax.Array]:
  """Runs k-means++ on Factors, to be jitted, with a pool pass per pick.

  The distances to a pick are two matrix-vector products, which XLA fuses with
  the minimum. A draw takes one of the rows of 256 points by its sum, then a
  point within the row.

  Args:
    key: PRNG key, consumed.
    points: N points.
    k: number of picks; static.

  Returns:
    The picks, int32[k], and squared distances to the nearest pick, [N].
  """
  left, right = points
  norms = jnp.sum(left**2, axis=1) * jnp.sum(right**2, axis=1)
  width = 256

  def drawn(key, mass):
    rows = jnp.pad(mass, (0, -len(mass) % width)).reshape(-1, width)
    row_key, column_key = jax.random.split(key)
    row = drawn_from_few(row_key, jnp.sum(rows, axis=1))
    column = drawn_from_few(column_key, rows[row])
    return jnp.minimum(row * width + column, len(mass) - 1)

  def drawn_from_few(key, mass):
    running = jnp.cumsum(mass)
    mark = jax.random.uniform(key) * running[-1]
    return jnp.searchsorted(running, mark, side='right').astype(jnp.int32)

  def pick(number, state):
    picks, sq_dists = state
    mass = jnp.where(number > 0, sq_dists, 1.0)
    chosen = drawn(jax.random.fold_in(key, number), mass)
    products = jnp.matmul(left, left[chosen], precision=_HIGHEST)
    products *= jnp.matmul(right, right[chosen], precision=_HIGHEST)
    to_pick = jnp.maximum(norms + norms[chosen] - 2 * products, 0.0)
    sq_dists = jnp.minimum(sq_dists, to_pick).at[chosen].set(0.0)
    return picks.at[number].set(chosen), sq_dists

  picks = jnp.zeros(k, jnp.int32)
  return lax.fori_loop(0, k, pick, (picks, jnp.full_like(norms, jnp.inf)))


def one_center_per_pass(
  points: jax.Array, centers: jax.Array, k: int
) -> jax.Array:
  """Runs greedy k-center, to be jitted, with a pool pass per pick.

  Args:
    points: [N, D].
    centers: indices of the initial centers, int32[M].
    k: number of picks; static.

  Returns:
    int32[k].
  """
  norms = jnp.sum(points**2, axis=1)

  def to_some(some):
    products = jnp.matmul(points, points[some].T, precision=_HIGHEST)
    return jnp.min(norms[:, None] + norms[some][None] - 2 * products, axis=1)

  sq_dists = jnp.full_like(norms, jnp.inf)
  for start in range(0, len(centers), _CENTERS_AT_ONCE):
    some = centers[start : start + _CENTERS_AT_ONCE]
    sq_dists = jnp.minimum(sq_dists, to_some(some))
  # -inf, so that a center is never the farthest point.
  sq_dists = sq_dists.at[centers].set(-jnp.inf)

  def pick(number, state):
    picks, sq_dists = state
    chosen = jnp.argmax(sq_dists).astype(jnp.int32)
    products = jnp.matmul(points, points[chosen], precision=_HIGHEST)
    to_pick = norms + norms[chosen] - 2 * products
    sq_dists = jnp.minimum(sq_dists, to_pick).at[chosen].set(-jnp.inf)
    return picks.at[number].set(chosen), sq_dists

  return lax.fori_loop(0, k, pick, (jnp.zeros(k, jnp.int32), sq_dists))[0]


def numpy_seeds(left: np.ndarray, right: np.ndarray, k: int) -> np.ndarray:
  """Runs k-means++ on Factors in NumPy: two matrix-vector products per pick."""
  rng = np.random.default_rng(0)
  norms = (left**2).sum(axis=1) * (right**2).sum(axis=1)
  picks = [int(rng.integers(len(norms)))]
  sq_dists = np.full(len(norms), np.inf, norms.dtype)
  while len(picks) < k:
    last = picks[-1]
    products = (left @ left[last]) * (right @ right[last])
    to_last = norms + norms[last] - 2 * products
    np.minimum(sq_dists, np.maximum(to_last, 0.0), out=sq_dists)
    sq_dists[last] = 0.0
    running = np.cumsum(sq_dists, dtype=np.float64)
    picks.append(int(np.searchsorted(running, rng.random() * running[-1])))
  return np.array(picks)


def numpy_hybrid(
  scores: np.ndarray,
  points: np.ndarray,
  references: np.ndarray,
  k: int,
  gamma: float = 0.5,
  labeled: np.ndarray | None = None,
) -> np.ndarray:
  """Selects by score times density times novelty, with a pass per pick."""
  unit = points / np.linalg.norm(points, axis=1, keepdims=True)
  similar = np.maximum(unit @ unit[references].T, 0.0)
  # A reference is not compared with itself.
  is_reference = np.isin(np.arange(len(unit)), references)
  worth = scores * (similar.sum(axis=1) - is_reference)
  worth /= len(references) - is_reference
  redundancy = np.zeros(len(unit), unit.dtype)
  if labeled is not None:
    redundancy = np.minimum((unit @ unit[labeled].T).max(axis=1), 1.0)
    redundancy = np.maximum(redundancy, 0.0)
  picks = []
  for _ in range(k):
    value = worth * (1 - redundancy) ** gamma
    # -inf, so that no point is picked twice.
    value[picks] = -np.inf
    if labeled is not None:
      value[labeled] = -np.inf
    picks.append(int(np.argmax(value)))
    similar = np.minimum(unit @ unit[picks[-1]], 1.0)
    redundancy = np.maximum(redundancy, similar)
  return np.array(picks)


def numpy_information_density(
  points: np.ndarray, scores: np.ndarray
) -> np.ndarray:
  """Computes information density from all cosines, 1,000 rows at a time."""
  unit = points / np.linalg.norm(points, axis=1, keepdims=True)
  means = [
    ((1 + unit[start : start + 1000] @ unit.T) / 2).mean(axis=1)
    for start in range(0, len(unit), 1000)
  ]
  return scores * np.concatenate(means)


def numpy_graph_density(
  neighbors: np.ndarray, similarities: np.ndarray, k: int
) -> np.ndarray:
  """Selects greedily by graph density, with a SciPy matrix of edges."""
  edges = _edges(neighbors, np.exp(similarities / np.abs(similarities).mean()))
  edges = edges.maximum(edges.T).tocsr()
  degrees = np.diff(edges.indptr)
  density = np.asarray(edges.sum(axis=1)).ravel() / np.maximum(degrees, 1)
  picked = np.zeros(len(density), bool)
  picks = []
  for _ in range(k):
    chosen = int(np.argmax(np.where(picked, -np.inf, density)))
    picked[chosen] = True
    picks.append(chosen)
    near = edges.indices[edges.indptr[chosen] : edges.indptr[chosen + 1]]
    density[near] -= density[chosen]
  return np.array(picks)


def reciprocal_matrix(
  neighbors: np.ndarray, similarities: np.ndarray, gamma: float = 3.0
) -> scipy.sparse.csr_array:
  """Computes normalised affinities in SciPy, of edges that both ends list."""
  edges = _edges(neighbors, np.maximum(similarities, 0.0) ** gamma)
  return _normalised(edges.minimum(edges.T))


def union_matrix(
  neighbors: np.ndarray, similarities: np.ndarray, gamma: float = 3.0
) -> scipy.sparse.csr_array:
  """Computes affinities of edges that either end lists; both count twice."""
  edges = _edges(neighbors, np.maximum(similarities, 0.0) ** gamma)
  return _normalised(edges + edges.T)


def _normalised(edges):
  degrees = np.asarray(edges.sum(axis=1)).ravel()
  scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1.0))
  scale = scipy.sparse.diags_array(scale.astype(edges.dtype))
  return (scale @ edges @ scale).tocsr()


def _edges(neighbors, weights):
  num_points, k = neighbors.shape
  starts = np.arange(0, num_points * k + 1, k)
  shape = (num_points, num_points)
  return scipy.sparse.csr_array(
    (weights.ravel(), neighbors.ravel(), starts), shape=shape
  )


def scipy_solve(
  matrix: scipy.sparse.csr_array,
  sources: np.ndarray,
  *,
  alpha: float = 0.99,
  num_iters: int = 20,
  start: np.ndarray | None = None,
) -> np.ndarray:
  """Solves (I - alpha W) Z = Y by SciPy's conjugate gradients, per class."""
  system = scipy.sparse.eye_array(matrix.shape[0], dtype=matrix.dtype)
  system = (system - alpha * matrix).tocsr()
  columns = [
    linalg.cg(system, column, x0=start, rtol=1e-6, maxiter=num_iters)[0]
    for column in sources.T
  ]
  return np.stack(columns, axis=1)


def label_sources(targets: np.ndarray, num_classes: int) -> np.ndarray:
  """Returns 1 / |L_c| at the labelled points of class c, float32 [N, C]."""
  sources = np.eye(num_classes, dtype=np.float32)[targets]
  sources[targets < 0] = 0
  return sources / sources.sum(axis=0, keepdims=True)


def published_labels(
  search: Callable[[], Any], targets: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
  """Updates pseudo-labels as in the code of Iscen et al. 2019.

  The update uses the union graph in SciPy, and a solve per class in float64.

  Args:
    search: call that returns cosines and neighbours, [N, k + 1]; the first
      neighbour is taken to be the point itself.
    targets: int32[N], -1 where no label is known.
    num_classes: C.

  Returns:
    Pseudo-labels and their certainties, [N].
  """
  similarities, neighbors = search()
  matrix = union_matrix(neighbors[:, 1:], similarities[:, 1:])
  sources = label_sources(targets, num_classes)
  scores = np.maximum(scipy_solve(matrix.astype(np.float64), sources), 0.0)
  scores /= np.maximum(scores.sum(axis=1, keepdims=True), 1e-12)
  entropy = -scipy.special.xlogy(scores, scores).sum(axis=1)
  certainty = 1 - entropy / np.log(num_classes)
  labels = np.where(targets >= 0, targets, scores.argmax(axis=1))
  return labels, np.where(targets >= 0, 1.0, certainty / certainty.max())


def scipy_diffusion(
  neighbors: np.ndarray,
  similarities: np.ndarray,
  labeled: np.ndarray,
  k: int,
) -> np.ndarray:
  """Picks the least reached point, k times, each solve warm-started."""
  matrix = reciprocal_matrix(neighbors, similarities)
  sources = labeled.astype(similarities.dtype)
  reach, picks = None, []
  for _ in range(k):
    reach = scipy_solve(matrix, sources[:, None], start=reach)[:, 0]
    picks.append(int(np.argmin(np.where(sources > 0, np.inf, reach))))
    sources[picks[-1]] = 1.0
  return np.array(picks)


def numpy_stream(
  utilities: np.ndarray, ask: Callable[[float, float], tuple[float, bool]]
) -> Any:
  """Runs a budget manager in a Python loop.

  Args:
    utilities: utilities of the stream's examples.
    ask: (spent, utility) -> (spent, whether to query).

  Returns:
    bool[T].
  """
  spent, asked = 0.0, []
  for utility in utilities:
    spent, this = ask(spent, utility)
    asked.append(this)
  return np.array(asked)
