"""Greedy k-center: cover the pool with balls of the smallest radius."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from al_jax.kernels import _checks, _greedy, _xla, distances, selection
from al_jax.kernels.selection import Selection


def k_center(
  points: distances.Points,
  k: int,
  *,
  eligible: jax.Array | None = None,
  centers: jax.Array | None = None,
  block: int = 128,
) -> Selection:
  """The point farthest from all centers, k times, each becoming a center.

  Covers the pool: the largest distance of a point to its nearest center is at
  most twice what the best k centers leave. Each pick is

    argmax_x s_x,   s_x = min_c |x - c|^2 over all centers c,

  ties going to the lowest index. Distances to the nearest center only shrink,
  so an s that lacks some centers is an upper bound. All points meet the first
  128 centers. From then on only the points of largest bound meet the others,
  and picks are decided among them while the best is above everybody's bound.
  The picks are those of one pass over the pool per pick.

  That takes N (K + M) pairs of a point and a center at most, for M centers. Of
  50,000 points with random features, 1,000 centers and 1,000 picks it took 14%
  of these (`python -m experiments.benchmark covering`). Points that lie densely
  in few dimensions take more.

  Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks:
  A Core-Set Approach", Algorithm 1.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> points = jnp.array([[0.0], [1.0], [5.0], [9.0]])
  >>> covered = jnp.array([True, False, False, False])
  >>> kernels.k_center(points, 2, centers=covered)
  Selection(indices=Array([3, 2], dtype=int32), values=Array([81., 16.], \
dtype=float32))

  Args:
    points: float [N, D], or Factors. A point whose squared length is not
      finite, or within a factor 8 of overflow, is neither picked nor a center.
      A squared distance below the rounding error of the expanded
      form, about 1e-6 of the squared lengths, counts as 0.
    k: how many, at least 1; static.
    eligible: bool[N], what may be picked; None: all.
    centers: bool[N], the points that are centers from the start, such as the
      labelled ones. They are not picked. With none, the first pick is the
      eligible point of the largest length.
    block: the most picks before points are brought up to date, at least 1;
      static. It changes the speed and the memory. The picks are the same but
      for near ties: a product with one center and one with many may round two
      equal distances differently, so that another of the two comes first.

  Returns:
    A Selection whose values are the squared distances to the nearest center,
    or the squared length for a first pick without centers. Points that
    coincide with a center are picked last, at 0. Past the number that can be
    picked its indices are -1 and its values -inf.

  Raises:
    ValueError: k or block below 1.
  """
  k, block = _checks.count('k', k), _checks.count('block', block)
  points = distances.checked('points', points)
  num_points = distances.number(points)
  eligible = _checks.mask('eligible', eligible, num_points)
  centers = _checks.mask('centers', centers, num_points)
  return _k_center(
    points=points, k=k, eligible=eligible, centers=centers, block=block
  )


@_xla.compiled
def _k_center(*, points, k, eligible, centers, block):
  points = distances.cast(points)
  if not distances.number(points):
    return selection.nothing(k, distances.squared_norms(points).dtype)
  return _greedy.selected(covering(points, k, eligible, centers, block), k)


def covering(
  points: distances.Points,
  k: int,
  eligible: jax.Array | None,
  centers: jax.Array | None,
  block: int,
) -> _greedy.Picks:
  """Returns the state after the last pick of `k_center`, for N above 0.

  Its `met` tells how many centers each point was compared with.
  """
  sq_norms = distances.squared_norms(points)
  pickable = distances.finite(sq_norms)
  if centers is not None:
    centers &= pickable
    pickable &= ~centers
  pickable = _checks.among(pickable, eligible)
  # inf: no center yet; -inf: never the largest.
  sq_dists = jnp.where(pickable, jnp.inf, -jnp.inf).astype(sq_norms.dtype)
  block = min(block, k)
  state = _greedy.start(sq_dists, centers, k, block)
  state = _with_a_center(state, sq_norms, pickable)
  scoring = _greedy.Scoring(_Points(points, sq_norms), _lower, _caps)
  return _greedy.pick(scoring, state, k, block)


class _Points(NamedTuple):
  """N points and their squared norms [N]."""

  points: distances.Points
  sq_norms: jax.Array


def _with_a_center(state, sq_norms, pickable):
  """Picks the longest point if there is no center."""
  # -inf: below every squared norm.
  sq_norms = jnp.where(pickable, sq_norms, -jnp.inf)
  longest = jnp.argmax(sq_norms).astype(jnp.int32)
  alone = (state.num_centers == 0) & state.more
  return state._replace(
    scores=state.scores.at[longest].set(
      jnp.where(alone, -jnp.inf, state.scores[longest])
    ),
    order=state.order.at[0].set(jnp.where(alone, longest, state.order[0])),
    values=state.values.at[0].set(
      jnp.where(alone, sq_norms[longest], -jnp.inf)
    ),
    num_centers=state.num_centers + alone,
    count=alone.astype(jnp.int32),
  )


def _lower(sq_dists, rows, centers, present):
  # inf: further than any center.
  to_centers = jnp.where(present[None, :], _distances(rows, centers), jnp.inf)
  return jnp.minimum(sq_dists, jnp.min(to_centers, axis=1))


def _caps(rows):
  return _distances(rows, rows)


def _distances(a, b):
  """Squared distances [A, B].

  Points that are not finite are at -inf from the start, which 0 leaves so.
  """
  return distances.clear_squared_distances(
    a.points, b.points, a.sq_norms, b.sq_norms
  )
