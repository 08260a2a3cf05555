"""Cosine similarities of a pool to a set of its points.

The pool and the set are compared in tiles of rows and members.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import distances, sharded

# Pool rows and set members compared at a time.
_TILE = 2048
_MEMBERS = 512
# Similarities this close to 1 count as 1. Otherwise the rounding of an inner
# product would distinguish copies of a point.
_ROUNDING = 1e-6


class Unit(NamedTuple):
  """Points of length 1 or 0, with their places in the pool.

  Attributes:
    parts: One array [N, D], or the two arrays of Factors.
    place: int32[N].
  """

  parts: tuple[jax.Array, ...]
  place: jax.Array


def normalised(points: distances.Points) -> tuple[Unit, jax.Array]:
  """Scales points to length 1; also returns which are finite, bool[N].

  Points that are not finite become zeros, which are similar to nothing. In
  Factors, both rows get length 1.
  """
  parts = distances.parts(points)
  finite = jnp.ones(len(parts[0]), jnp.bool_)
  for part in parts:
    finite &= jnp.all(jnp.isfinite(part), axis=1)
  unit_parts = []
  for part in parts:
    part = jnp.where(finite[:, None], part, 0.0)
    # Divide by the largest coordinate first: squares could overflow.
    largest = jnp.max(jnp.abs(part), axis=1, keepdims=True, initial=0.0)
    part = part / jnp.where(largest > 0, largest, 1.0)
    length = jnp.sqrt(jnp.sum(jnp.square(part), axis=1, keepdims=True))
    unit_parts.append(part / jnp.where(length > 0, length, 1.0))
  place = jnp.arange(len(finite), dtype=jnp.int32)
  return Unit(tuple(unit_parts), place), finite


def similarities(rows: Unit, others: Unit) -> jax.Array:
  """Returns max(0, cos), [A, B]; exactly 1 where it is 1 up to rounding."""
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
  """Sums the contributions of the first `count` members to each point.

  Args:
    unit: Pool, rows of Unit.
    members: Places in the pool, int32[...].
    count: Number of members.
    of_tile: Function (rows of the pool, some members, bool: which members are
      present) -> [rows].

  Returns:
    Sums, [N].
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
