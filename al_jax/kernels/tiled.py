"""Points that stay on the host and are read in parts."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _host_rows, distances
from al_jax.kernels.distances import Points


class Tiled(_host_rows.HostRows):
  """N points whose arrays stay on the host, such as memory-mapped files.

  `kmeans_plus_plus` and `k_center` take it in place of points. They read the
  arrays in parts, a few times, and otherwise only the rows of single
  candidates. In memory they keep a few numbers per point. Such a call runs on
  the host and cannot be inside `jit` or `vmap`.

  >>> import jax
  >>> import numpy as np
  >>> from al_jax import kernels
  >>> rows = np.array([[0.0], [0.0], [5.0], [5.0]])  # or np.load(mmap_mode='r')
  >>> points = kernels.Tiled(rows)
  >>> picks = kernels.kmeans_plus_plus(jax.random.key(0), points, 2)
  >>> sorted(rows[picks.indices, 0].tolist())
  [0.0, 5.0]

  Attributes:
    num_points: Number of points, N.
    form: Shape and type of one point, as `jax.ShapeDtypeStruct`.
    points_of: Function from the rows of each array to their points, float32 or
      wider; hashable.

  Args:
    *arrays: One or more arrays [N, ...]. Any object with a shape and a dtype
      that returns NumPy arrays for a slice and for an array of positions.
    points: Function from rows of each array to Points, one for each row, such
      as `gradient_factors` of logits and embeddings. Each new function compiles
      again. If None, one array is the points, and two are the rows of Factors.
    bytes_at_once: Size of a part. If None, 64 MB.

  Raises:
    ValueError: If the arrays differ in length or do not give points.
  """

  def __init__(
    self,
    *arrays: Any,
    points: Callable[..., Points] | None = None,
    bytes_at_once: int | None = None,
  ):
    if bytes_at_once is not None:
      bytes_at_once = _checks.count('bytes_at_once', bytes_at_once)
    super().__init__(*arrays, bytes_at_once=bytes_at_once)
    self.points_of = _PointsOf(points or _as_given)
    self.form = jax.eval_shape(self.points_of, self.forms(1))


def squared_norms(points: Tiled) -> jax.Array:
  """Computes squared norms, [N], in one pass over the points."""
  norms = jnp.zeros(points.num_points, norm_dtype(points))
  for start, rows in points.parts():
    norms = write_norms(norms, rows, start, points_of=points.points_of)
    # Wait, or parts would queue up in memory.
    norms.block_until_ready()
  return norms


def norm_dtype(points: Tiled) -> jax.typing.DTypeLike:
  """Returns the type of the norms."""
  return jax.eval_shape(distances.squared_norms, points.form).dtype


@functools.partial(jax.jit, static_argnames='points_of', donate_argnums=0)
def write_norms(
  norms: jax.Array,
  rows: _host_rows.Rows,
  start: int,
  *,
  points_of: Callable[[_host_rows.Rows], Points],
) -> jax.Array:
  """Returns the norms, [N], with those of a part written from `start` on."""
  part = distances.squared_norms(points_of(rows))
  return lax.dynamic_update_slice_in_dim(norms, part, start, 0)


class _PointsOf:
  """Function from rows to points that hashes as the function it wraps."""

  def __init__(self, make):
    self._make = make

  def __call__(self, rows):
    return distances.cast(distances.checked('points', self._make(*rows)))

  def __eq__(self, other):
    return isinstance(other, _PointsOf) and self._make == other._make

  def __hash__(self):
    return hash(self._make)


def _as_given(*rows):
  return rows[0] if len(rows) == 1 else distances.Factors(*rows)
