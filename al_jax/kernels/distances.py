"""Norms and squared distances of points, plain or factored.

Every kernel that needs distances takes Points: an array [N, D], or Factors,
which represent points of dimension C*D and are never multiplied out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _xla

# Below this share of the two squared norms, the expanded form of a squared
# distance loses digits: errors of 5e-7 of the norms were measured.
_NEAR = 1 / 16
# Two Factors (q, h) and (p, g) are rescaled where |q| |g| or |p| |h| is above
# |q| |h| and |p| |g| by more than this factor. Otherwise their differences
# would lose the digits of the distance.
_UNBALANCED = 16
# Pairs recomputed from differences at a time; each needs two gathered rows.
_PAIRS_AT_ONCE = 1024


class Factors(NamedTuple):
  """N points of dimension C*D, each the outer product of its two rows.

  Attributes:
    left: float [N, C].
    right: float [N, D].
  """

  left: jax.Array
  right: jax.Array


Points = jax.Array | Factors


def squared_norms(points: Points) -> jax.Array:
  """Computes the squared Euclidean length of every point.

  For Factors it is the product of the squared lengths of the two rows,

    |q h^T|^2 = |q|^2 |h|^2.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> left, right = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 0.0, 1.0]])
  >>> kernels.squared_norms(kernels.Factors(left, right)).tolist()
  [50.0]

  Args:
    points: float [N, D], or Factors.

  Returns:
    [N], float32 or wider.
  """
  points = checked('points', points)
  norms = [jnp.sum(jnp.square(part), axis=1) for part in parts(points)]
  return norms[0] if len(norms) == 1 else norms[0] * norms[1]


class WithNorms(NamedTuple):
  """N points and their squared norms [N]."""

  points: Points
  sq_norms: jax.Array


def with_norms(points: Points) -> WithNorms:
  """Returns the points, at least float32, with their squared norms."""
  points = cast(points)
  return WithNorms(points, squared_norms(points))


def finite(sq_norms: jax.Array) -> jax.Array:
  """Returns which points have finite distances to each other, bool[N].

  A squared distance is at most twice the sum of two squared norms.
  """
  return sq_norms < jnp.finfo(sq_norms.dtype).max / 8


def squared_distances(a: Points, b: Points) -> jax.Array:
  """Computes squared Euclidean distances from points of `a` to points of `b`.

  For Factors it takes two matrix products and no array with C*D columns:

    |q h^T - p g^T|^2 = |q|^2 |h|^2 + |p|^2 |g|^2 - 2 (q . p) (h . g).

  That expansion loses the digits that two long, nearly identical points share.
  Pairs that are near for their length are therefore recomputed from their
  differences. Identical points are then at 0, and all distances agree with the
  multiplied-out ones to 1e-5. The extra work grows with the number of such
  pairs. Reverse-mode gradients are not defined.

  Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain Gradient
  Lower Bounds", section 3, uses points that are such products.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> a = jnp.array([[0.0, 0.0], [3.0, 4.0]])
  >>> kernels.squared_distances(a, a).tolist()
  [[0.0, 25.0], [25.0, 0.0]]

  Args:
    a: float [A, D], or Factors.
    b: float [B, D], or Factors with the same numbers of columns as `a`.

  Returns:
    [A, B], float32 or wider, never below 0; NaN or inf where a coordinate is.

  Raises:
    ValueError: If kinds or widths differ, or there are 2^31 pairs or more.
  """
  a, b = checked('a', a), checked('b', b)
  if [part.shape[1:] for part in _arrays(a)] != [
    part.shape[1:] for part in _arrays(b)
  ]:
    shapes = [[part.shape for part in _arrays(points)] for points in (a, b)]
    raise ValueError(
      f'a has shape {shapes[0]} and b {shapes[1]}; they must be of one kind '
      'and agree in all but the first axis.'
    )
  num_pairs = number(a) * number(b)
  if num_pairs >= 2**31:
    raise ValueError(
      f'a and b have {num_pairs} pairs; there must be fewer than 2^31. Pass '
      'tiles.'
    )
  return _squared_distances(a=a, b=b)


@_xla.compiled
def _squared_distances(*, a, b):
  a, b = cast(a), cast(b)
  a_norms, b_norms = squared_norms(a), squared_norms(b)
  sq_dists = expanded_squared_distances(a, b, a_norms, b_norms)
  if not sq_dists.size:
    return sq_dists
  near = sq_dists < _NEAR * (a_norms[:, None] + b_norms[None, :])
  return recompute_pairs(sq_dists, near, a, b)


def expanded_squared_distances(
  a: Points, b: Points, a_norms: jax.Array, b_norms: jax.Array
) -> jax.Array:
  """Computes squared distances as |a|^2 + |b|^2 - 2 a.b, clipped at 0.

  It is as fast as a matrix product, with an error of up to `rounding_error`.
  A point with a norm of inf is at inf from all others.
  """
  products = [
    jnp.matmul(a_part, b_part.T, precision=lax.Precision.HIGHEST)
    for a_part, b_part in zip(parts(a), parts(b), strict=True)
  ]
  products = products[0] if len(products) == 1 else products[0] * products[1]
  return jnp.maximum(a_norms[:, None] + b_norms[None, :] - 2 * products, 0.0)


def rounding_error(a_norms: jax.Array, b_norms: jax.Array) -> jax.Array:
  """Returns error bounds of `expanded_squared_distances`, [A, B]."""
  return 8 * jnp.finfo(a_norms.dtype).eps * (a_norms[:, None] + b_norms[None])


def clear_squared_distances(
  a: Points, b: Points, a_norms: jax.Array, b_norms: jax.Array
) -> jax.Array:
  """Computes `expanded_squared_distances`, with 0 for rounding error or NaN.

  Returns:
    [A, B].
  """
  sq_dists = expanded_squared_distances(a, b, a_norms, b_norms)
  error = rounding_error(a_norms, b_norms)
  return jnp.where(sq_dists > error, sq_dists, 0.0)


def paired_squared_distances(a: Points, b: Points) -> jax.Array:
  """Computes squared distances of rows of `a` to the same rows of `b`, [N].

  It uses differences, so that nothing cancels. With d = q - p, e = h - g and
  the midpoints m and n, q h^T - p g^T = d n^T + m e^T. Its two terms can only
  cancel in the direction of m n^T, which is split off:

    |.|^2 = (s + t)^2 |m|^2 |n|^2 + |d - s m|^2 |n|^2 + |m|^2 |e - t n|^2,

  with s = d.m / |m|^2 and t = e.n / |n|^2. The factors (x q, h / x) represent
  the same point as (q, h). Where the scales of two points differ so much that
  |m| |n| dwarfs the distance, one point is rescaled first.
  """
  if not isinstance(a, Factors):
    (a,), (b,) = parts(a), parts(b)
    return jnp.sum(jnp.square(a - b), axis=1)
  a, b = _balanced(cast(a), cast(b))
  along, across, lengths = [], [], []
  for a_part, b_part in zip(parts(a), parts(b), strict=True):
    difference, middle = a_part - b_part, (a_part + b_part) / 2
    length = jnp.sum(jnp.square(middle), axis=1)
    slope = jnp.sum(difference * middle, axis=1) / jnp.where(
      length > 0, length, 1.0
    )
    rest = difference - slope[:, None] * middle
    along.append(slope)
    across.append(jnp.sum(jnp.square(rest), axis=1))
    lengths.append(length)
  return (
    jnp.square(along[0] + along[1]) * lengths[0] * lengths[1]
    + across[0] * lengths[1]
    + lengths[0] * across[1]
  )


def _balanced(a, b):
  """Returns the same points, with rows of `a` rescaled to match `b` if needed.

  The scales are powers of 2, and 1 where no digits are at stake: no product
  changes, and rows of similar scale give the same distance bit for bit.
  """
  (left, right), (other_left, other_right) = (
    [jnp.max(jnp.abs(part), axis=1, initial=0.0) for part in points]
    for points in (a, b)
  )
  size, other_size = left * right, other_left * other_right
  own = jnp.maximum(size, other_size)
  crossed = jnp.maximum(left * other_right, other_left * right)
  unbalanced = crossed > _UNBALANCED * own
  factor = jnp.sqrt(other_left / left) * jnp.sqrt(right / other_right)
  factor = jnp.where(unbalanced & (size > 0) & (other_size > 0), factor, 1.0)
  # No mantissa bits: rounds to a power of 2.
  factor = lax.reduce_precision(factor, jnp.finfo(factor.dtype).nexp, 0)
  # If either factor is 0, the point is 0, however large the other factor.
  kept, other_kept = (
    jnp.where(unbalanced & (size == 0), 0.0, 1.0)[:, None]
    for size in (size, other_size)
  )
  factor = factor[:, None]
  return (
    Factors(a.left * (factor * kept), a.right * (kept / factor)),
    Factors(b.left * other_kept, b.right * other_kept),
  )


def checked(name: str, points: Points) -> Points:
  """Returns points as arrays, after checking their shapes and types.

  Args:
    name: Name of the argument, for the message.
    points: Value of the argument.

  Returns:
    The points, not cast.

  Raises:
    ValueError: Unless they are float [N, D] or Factors of float [N, C] and
      [N, D].
  """
  if not isinstance(points, Factors):
    return _checks.floats(name, points, 'N, D')
  left = _checks.floats(f'{name}.left', points.left, 'N, C')
  right = _checks.floats(f'{name}.right', points.right, 'N, D')
  if len(left) != len(right):
    raise ValueError(
      f'{name}.left is {_checks.described(left)} and {name}.right '
      f'{_checks.described(right)}; they must have the same number of rows.'
    )
  return Factors(left, right)


def number(points: Points) -> int:
  """Returns the number of points, N."""
  return len(_arrays(points)[0])


def parts(points: Points) -> tuple[jax.Array, ...]:
  """Returns the arrays that make up the points, at least float32."""
  arrays = _arrays(points)
  dtype = jnp.result_type(jnp.float32, *arrays)
  return tuple(array.astype(dtype) for array in arrays)


def cast(points: Points) -> Points:
  """Returns the same points, at least float32."""
  arrays = parts(points)
  return arrays[0] if len(arrays) == 1 else Factors(*arrays)


def _arrays(points):
  return tuple(points) if isinstance(points, Factors) else (points,)


def take(points: Points, indices: jax.Array) -> Points:
  """Gathers the points at `indices`, which must be in range."""
  return jax.tree.map(
    lambda part: part.at[indices].get(mode='promise_in_bounds'), points
  )


def recompute_pairs(
  sq_dists: jax.Array, near: jax.Array, a: Points, b: Points
) -> jax.Array:
  """Recomputes the `near` pairs of `sq_dists` [A, B] from differences."""
  num_columns = sq_dists.shape[1]
  pairs_at_once = min(_PAIRS_AT_ONCE, sq_dists.size)
  counts = jnp.cumsum(near.reshape(-1))

  def some_pairs(state):
    done, flat = state
    # The n-th near pair is where the running count first reaches n.
    number = done + 1 + jnp.arange(pairs_at_once)
    pair = jnp.searchsorted(counts, number)
    inside = jnp.minimum(pair, flat.size - 1)
    exact = paired_squared_distances(
      take(a, inside // num_columns), take(b, inside % num_columns)
    )
    # Past the last near pair the position is `size`, which is dropped.
    return done + pairs_at_once, flat.at[pair].set(exact, mode='drop')

  _, flat = lax.while_loop(
    lambda state: state[0] < counts[-1],
    some_pairs,
    (jnp.zeros((), counts.dtype), sq_dists.reshape(-1)),
  )
  return flat.reshape(sq_dists.shape)
