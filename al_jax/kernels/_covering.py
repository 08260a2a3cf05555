"""Distances to the nearest center, as scores of a greedy selection."""

import jax
import jax.numpy as jnp

from al_jax.kernels import _checks, _greedy, distances, sharded


def begin(
  sq_norms: jax.Array,
  eligible: jax.Array | None,
  centers: jax.Array | None,
  k: int,
  block: int,
) -> _greedy.Picks:
  """Returns the state before the pool meets any center.

  Args:
    sq_norms: Squared norms, [N], N above 0.
    eligible: bool[N], or None.
    centers: bool[N], or None. Without any center, the longest point is picked.
    k: Number of picks; static.
    block: Maximum number of picks between two shortlists; static.
  """
  pickable = distances.finite(sq_norms)
  if centers is not None:
    centers &= pickable
    pickable &= ~centers
  pickable = _checks.among(pickable, eligible)
  # inf: no center yet; -inf: never the largest.
  sq_dists = jnp.where(pickable, jnp.inf, -jnp.inf).astype(sq_norms.dtype)
  state = _greedy.start(sq_dists, centers, k, block)
  return _with_a_center(state, sq_norms, pickable)


def scoring(pool: sharded.Rows) -> _greedy.Scoring:
  """Returns the scoring of k-center: squared distances to the nearest center.

  Args:
    pool: Rows of `distances.WithNorms`.
  """
  return _greedy.Scoring(pool, _lower, _caps)


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
  # inf: an absent center lowers no distance.
  to_centers = jnp.where(present[None, :], _distances(rows, centers), jnp.inf)
  return jnp.minimum(sq_dists, jnp.min(to_centers, axis=1))


def _caps(rows):
  return _distances(rows, rows)


def _distances(a, b):
  """Returns squared distances, [A, B]; 0 where they are rounding error or NaN.

  Points that are not finite start at -inf, and a distance of 0 does not raise
  it.
  """
  return distances.clear_squared_distances(
    a.points, b.points, a.sq_norms, b.sq_norms
  )
