"""How a seeding begins, and how it ends."""

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
    norms: [N], squared norms.
    eligible: bool[N], or None.
    weights: float [N], or None.

  Returns:
    bool[N]; and the weights, at most 1 and 0 for points that cannot, or None.
  """
  found = _checks.among(distances.finite(norms), eligible)
  if weights is not None:
    weights = weights.astype(norms.dtype)
    # A CPU may count smaller numbers as 0, and would draw from nothing.
    found &= weights >= jnp.finfo(norms.dtype).tiny
    found &= weights < jnp.inf
    weights = _draws.scaled(jnp.where(found, weights, 0.0))
  return found, weights


def is_unfinished(state: _blocks.Draws, mass: jax.Array) -> jax.Array:
  """Tells whether another pick is wanted, and left at a distance."""
  # Smaller ones may add up to 0, and then nothing that is drawn is accepted.
  return (state.count < state.indices.shape[0]) & jnp.any(
    mass >= jnp.finfo(mass.dtype).tiny
  )


def first_pick(
  key: jax.Array, first: str, pool: _blocks.Candidates, pickable: jax.Array
) -> jax.Array:
  """int32[1], the pick that has no distances to go by."""
  if first == 'max_norm':
    # -1: below every squared norm.
    return jnp.argmax(jnp.where(pickable, pool.norms, -1.0), keepdims=True)
  mass = pickable if pool.weights is None else pool.weights
  return _draws.draw(key, mass.astype(pool.norms.dtype), 1)


def fill_up(
  key: jax.Array, state: _blocks.Draws, pickable: jax.Array
) -> selection.Selection:
  """The picks as a Selection; what is missing is drawn uniformly."""
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
