"""k-means++ seeding of points that stay on the host.

This is the loop of `kmeans_plus_plus`, run by Python. The same functions run on
the same tiles, so that the picks are the same.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from al_jax.kernels import _blocks, _seeding, distances, selection
from al_jax.kernels.tiled import (
  Tiled,
  norm_dtype,
  squared_norms,
  write_norms,
)


def kmeans_plus_plus(
  *,
  key: jax.Array,
  points: Tiled,
  k: int,
  eligible: jax.Array | None,
  weights: jax.Array | None,
  first: str,
  block: int,
  patience: float | jax.Array,
) -> selection.Selection:
  """Runs `kmeans_plus_plus.kmeans_plus_plus` on checked arguments."""
  if not points.num_points:
    return selection.nothing(k, norm_dtype(points))
  first_key, blocks_key, rest_key = jax.random.split(key, 3)
  state, pool, pickable = _begun(first_key, points, k, eligible, weights, first)
  while True:
    more, drawn, accept_key = _draw(blocks_key, state, pool, block=block)
    if not more:
      return _fill_up(rest_key, state, pickable)
    rows = points.rows(np.asarray(drawn))
    state, visit_is_due = _try_block(
      state.bounds,
      state._replace(bounds=None),
      accept_key,
      pool,
      drawn,
      rows,
      patience,
      points_of=points.points_of,
    )
    if visit_is_due:
      state = _visited(state, points, pool)


def _begun(key, points, k, eligible, weights, first):
  """Returns the state after the first pick, the pool, and the pickable mask.

  A uniform first pick needs no norm but its own if all norms are finite. It is
  drawn on that assumption, so that one pass computes the norms and visits the
  pool. Another pass follows only if some norm is not finite.
  """
  are_known = first == 'max_norm'
  norms = (
    squared_norms(points)
    if are_known
    else jnp.zeros(points.num_points, norm_dtype(points))
  )
  while True:
    start, pickable, weights_of_pickable = _start(
      key, norms, eligible, weights, first=first
    )
    if not are_known:
      # Computed for the whole part, so that it rounds as it does in the pass.
      at, rows = points.part_of(int(start[0]), _blocks.ROWS_AT_ONCE)
      norms = write_norms(norms, rows, at, points_of=points.points_of)
    rows = points.rows(np.asarray(start))
    state = _begin(
      norms, pickable, start, rows, k=k, points_of=points.points_of
    )
    state, found = _first_visit(state, points)
    if are_known or _is_as_assumed(norms, found, start):
      pool = _blocks.Candidates(None, found, weights_of_pickable)
      return _blocks.begun(state, start), pool, pickable
    norms, are_known = found, True


@functools.partial(jax.jit, static_argnames='first')
def _start(key, norms, eligible, weights, *, first):
  pickable, weights = _seeding.pickable(norms, eligible, weights)
  pool = _blocks.Candidates(None, norms, weights)
  return _seeding.first_pick(key, first, pool, pickable), pickable, weights


@functools.partial(jax.jit, static_argnames=('k', 'points_of'))
def _begin(norms, pickable, start, rows, *, k, points_of):
  return _blocks.begin(norms, pickable, start, points_of(rows), k)


@jax.jit
def _is_as_assumed(norms, found, start):
  """Returns whether all norms are finite and the norm used is right."""
  all_are_finite = jnp.all(distances.finite(found))
  return all_are_finite & jnp.all(norms[start] == found[start])


@functools.partial(jax.jit, static_argnames='block')
def _draw(key, state, pool, *, block):
  """Returns whether to continue, a block of candidates, and its accept key."""
  mass = _blocks.mass(state, pool)
  key = jax.random.fold_in(key, state.round)
  return _seeding.is_unfinished(state, mass), *_blocks.draw_block(
    key, mass, block
  )


@functools.partial(jax.jit, static_argnames='points_of', donate_argnums=0)
def _try_block(bounds, state, key, pool, drawn, rows, patience, *, points_of):
  """Returns the next state, and whether a visit is due."""
  state = state._replace(bounds=bounds)
  norms = distances.take(pool.norms, drawn)
  state = _blocks.try_block(key, state, drawn, points_of(rows), norms)
  return state, _blocks.visit_is_due(state, patience)


def _first_visit(state, points):
  """Returns the state once the pool has met the first pick, and the norms."""
  bounds, rest = state.bounds, state._replace(bounds=None)
  norms = jnp.zeros_like(bounds)
  for start, rows in points.parts(_blocks.ROWS_AT_ONCE):
    norms = write_norms(norms, rows, start, points_of=points.points_of)
    bounds = _write_bounds(
      bounds,
      rest,
      norms,
      rows,
      start,
      picks_at_once=1,
      points_of=points.points_of,
    )
    # Wait, or parts would queue up in memory.
    bounds.block_until_ready()
  return _blocks.visited(state._replace(bounds=bounds)), norms


def _visited(state, points, pool):
  """Runs `_blocks.visit` in one pass over the points."""
  bounds, rest = state.bounds, state._replace(bounds=None)
  for start, rows in points.parts(_blocks.ROWS_AT_ONCE):
    bounds = _write_bounds(
      bounds,
      rest,
      pool.norms,
      rows,
      start,
      picks_at_once=_blocks.PICKS_AT_ONCE,
      points_of=points.points_of,
    )
    bounds.block_until_ready()
  return _blocks.visited(state._replace(bounds=bounds))


@functools.partial(
  jax.jit, static_argnames=('picks_at_once', 'points_of'), donate_argnums=0
)
def _write_bounds(
  bounds, state, norms, rows, start, *, picks_at_once, points_of
):
  size = jax.tree.leaves(rows)[0].shape[0]
  old, part_norms = (
    lax.dynamic_slice_in_dim(of_all, start, size) for of_all in (bounds, norms)
  )
  new = _blocks.renew(
    state,
    old,
    rows,
    part_norms,
    picks_at_once=picks_at_once,
    points_of=points_of,
  )
  return lax.dynamic_update_slice_in_dim(bounds, new, start, 0)


_fill_up = jax.jit(_seeding.fill_up)
