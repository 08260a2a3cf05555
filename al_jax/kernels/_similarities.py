"""Cosine similarities of points, and what a pool's points have of many others.

For kernels that compare a whole pool with a set of points in it, some rows and
some of the set at a time.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import distances, sharded

# Rows of the pool, and members of the set, that are compared at a time.
_TILE = 2048
_MEMBERS = 512
# Similarities this close to 1 are 1, or the rounding of an inner product would
# tell copies of a point apart.
_ROUNDING = 1e-6


class Unit(NamedTuple):
  """Points of length 1, or 0, and where they are in the pool.

  Attributes:
    parts: one array [N, D], or the two of Factors.
    place: int32[N].
  """

  parts: tuple[jax.Array, ...]
  place: jax.Array


def normalised(points: distances.Points) -> tuple[Unit, jax.Array]:
  """The points at length 1, and bool[N]: which are finite.

  The others become zeros, which are similar to nothing. Of Factors both rows
  get length 1.
  """
  parts = distances.parts(points)
  finite = jnp.ones(len(parts[0]), jnp.bool_)
  for part in parts:
    finite &= jnp.all(jnp.isfinite(part), axis=1)
  unit_parts = []
  for part in parts:
    part = jnp.where(finite[:, None], part, 0.0)
    # First by the largest coordinate: squares could overflow.
    largest = jnp.max(jnp.abs(part), axis=1, keepdims=True, initial=0.0)
    part = part / jnp.where(largest > 0, largest, 1.0)
    length = jnp.sqrt(jnp.sum(jnp.square(part), axis=1, keepdims=True))
    unit_parts.append(part / jnp.where(length > 0, length, 1.0))
  place = jnp.arange(len(finite), dtype=jnp.int32)
  return Unit(tuple(unit_parts), place), finite


def similarities(rows: Unit, others: Unit) -> jax.Array:
  """max(0, cos), [A, B]; 1 where it is 1 but for rounding."""
  cosines = jnp.ones((), jnp.float32)
  for part, other in zip(rows.parts, others.parts, strict=True):
    cosines *= jnp.matmul(part, other.T, precision=lax.Precision.HIGHEST)
  return jnp.where(cosines > 1 - _ROUNDING, 1.0, jnp.maximum(cosines, 0.0))


def total(
  unit: sharded.Rows,
  members: jax.Array,
  count: jax.Array,
  of_tile: Callable[[Unit, Unit, jax.Array], jax.Array],
) -> jax.Array:
  """Sums what the first `count` members add to each point.

  Args:
    unit: the pool, rows of Unit.
    members: int32[...], places in the pool.
    count: how many of them there are.
    of_tile: (rows of the pool, some members, bool: which of them are there) ->
      [rows].

  Returns:
    [N].
  """
  per_pass = min(_MEMBERS, members.size)
  members = jnp.pad(members, (0, per_pass))

  def add_some(state):
    done, sums = state
    some = lax.dynamic_slice_in_dim(members, done, per_pass)
    others = sharded.take(unit, some)
    present = jnp.arange(per_pass) < count - done

    def of_row(row):
      row = jax.tree.map(lambda leaf: leaf[None], row)
      return of_tile(row, others, present)[0]

    said = sharded.per_row(
      lambda rows: lax.map(of_row, rows, batch_size=_TILE), unit
    )
    return done + per_pass, sums + said

  of_part = jax.tree.leaves(unit)[0]
  zeros = jnp.zeros(sharded.number(unit), of_part.dtype)
  _, sums = lax.while_loop(lambda state: state[0] < count, add_some, (0, zeros))
  return sums
