"""First and last steps of a k-means++ seeding."""

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import (
  _blocks,
  _checks,
  _draws,
  _padding,
  distances,
  selection,
)


def pickable(
  norms: jax.Array, eligible: jax.Array | None, weights: jax.Array | None
) -> tuple[jax.Array, jax.Array | None]:
  """Finds which points can be picked.

  Args:
    norms: Squared norms, [N].
    eligible: bool[N], or None.
    weights: float [N], or None.

  Returns:
    bool[N]; and the weights scaled to at most 1, 0 for points that cannot be
    picked, or None.
  """
  found = _checks.among(distances.finite(norms), eligible)
  if weights is not None:
    weights = weights.astype(norms.dtype)
    # A CPU may flush subnormal numbers to 0, which leaves nothing to draw from.
    found &= weights >= jnp.finfo(norms.dtype).tiny
    found &= weights < jnp.inf
    weights = _draws.scaled(jnp.where(found, weights, 0.0))
  return found, weights


def is_unfinished(state: _blocks.Draws, mass: jax.Array) -> jax.Array:
  """Returns whether another pick is wanted and some point has mass."""
  # Subnormal masses may sum to 0, and then no draw would be accepted.
  return (state.count < state.indices.shape[0]) & jnp.any(
    mass >= jnp.finfo(mass.dtype).tiny
  )


def first_pick(
  key: jax.Array, first: str, pool: _blocks.Candidates, pickable: jax.Array
) -> jax.Array:
  """Draws the first pick, for which there are no distances yet, int32[1]."""
  if first == 'max_norm':
    # -1: below every squared norm.
    return jnp.argmax(jnp.where(pickable, pool.norms, -1.0), keepdims=True)
  mass = pickable if pool.weights is None else pool.weights
  return _draws.draw(key, mass.astype(pool.norms.dtype), 1)


def fill_up(
  key: jax.Array, state: _blocks.Draws, pickable: jax.Array
) -> selection.Selection:
  """Returns the picks as a Selection, and draws missing picks uniformly."""
  k = state.indices.shape[0]
  picks = selection.Selection(state.indices, state.values)

  def filled():
    place = _padding.past_end(picks.indices, pickable.size)
    left = pickable.at[place].set(False, mode='drop')
    rest = selection.uniform(key, left, k)
    missing = jnp.arange(k) >= state.count
    nth = jnp.maximum(jnp.arange(k) - state.count, 0)
    return jax.tree.map(
      lambda ours, more: jnp.where(missing, more[nth], ours), picks, rest
    )

  return lax.cond(state.count < k, filled, lambda: picks)
