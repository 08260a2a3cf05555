"""Rows of a pool that are spread over devices, and kernels that run on all.

Device d of a mesh of one axis holds rows d L to (d + 1) L; the last rows may be
padding. A kernel is then one program of all devices. Numbers per row are on
every device, and every device makes the same decisions. The rows themselves
stay where they are, except the few that are compared with all others.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _padding, _xla

PyTree = Any

# Maximum number of rows that kernels compare at a time. A device that holds
# fewer gets padding, since a product of fewer rows may round differently.
_MOST_ROWS_AT_ONCE = 2048


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['rows'],
  meta_fields=['num_points', 'mesh'],
)
@dataclasses.dataclass(frozen=True)
class Sharded:
  """N points, or scores, of which each device holds a part.

  `top_k` takes it in place of scores; `kmeans_plus_plus`, `k_center`, `lcmd`
  and `hybrid_informativeness` take it in place of points. Their picks equal
  those of one device, bit for bit, and are on every device. Their other
  arguments must be on every device too.

  >>> import jax
  >>> import numpy as np
  >>> from al_jax import kernels
  >>> mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ('pool',))
  >>> rows = jax.device_put(
  ...   np.array([[0.0], [1.0], [5.0], [9.0]], np.float32),
  ...   jax.NamedSharding(mesh, jax.P('pool')),
  ... )
  >>> kernels.k_center(kernels.Sharded(rows, 4, mesh), 2).indices
  Array([3, 0], dtype=int32)

  Attributes:
    rows: Pytree of [devices x L, ...], sharded over the axis of the mesh; rows
      from N on are padding.
    num_points: Number of points, N.
    mesh: Mesh with one axis.
  """

  rows: PyTree
  num_points: int
  mesh: jax.sharding.Mesh

  @property
  def rows_each(self) -> int:
    """Number of rows that a device holds, L, padding included."""
    return jax.tree.leaves(self.rows)[0].shape[0] // self.mesh.size

  def take(self, indices: jax.Array) -> PyTree:
    """Gathers rows from all devices, in a program of all of them.

    Args:
      indices: Pool indices, int32[B], on every device; -1 is padding.

    Returns:
      Pytree of [B, ...] on every device, bit for bit; zeros where the index is
      -1.
    """
    return _taken(self, jnp.asarray(indices))

  def everywhere(self) -> PyTree:
    """Copies all rows to every device, as a pytree of [N, ...]."""
    return _copied(self)


def within(indices: jax.Array, each: int, axis: str) -> jax.Array:
  """Converts pool indices to positions among the rows of the calling device.

  Args:
    indices: Pool indices, int32[B]; -1 is padding.
    each: Number of rows that each device holds.
    axis: Name of the mesh axis.

  Returns:
    int32[B], -1 where another device holds the row.
  """
  at = indices - each * lax.axis_index(axis)
  return jnp.where((indices >= 0) & (at >= 0) & (at < each), at, -1)


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['rows'],
  meta_fields=['each', 'num_points', 'axis'],
)
@dataclasses.dataclass(frozen=True)
class Part:
  """Rows that one device holds, out of N, in a program of all devices.

  The functions below take a Part, or all rows if there is a single device.

  Attributes:
    rows: Pytree of [L or more, ...].
    each: Number of rows that belong to the device, L.
    num_points: Number of points, N.
    axis: Name of the mesh axis.
  """

  rows: PyTree
  each: int
  num_points: int
  axis: str


Rows = Part | PyTree


def over_devices(
  mesh: jax.sharding.Mesh,
  function: Callable[..., PyTree],
  in_specs: Any,
  out_specs: Any,
) -> Callable[..., PyTree]:
  """Maps a function over the devices of a mesh, see `jax.shard_map`.

  Args:
    mesh: Mesh of the devices.
    function: Function of the rows of one device.
    in_specs: Specs of its arguments.
    out_specs: Specs of its results.

  Returns:
    The function of all rows.
  """
  return jax.shard_map(
    function,
    mesh=mesh,
    in_specs=in_specs,
    out_specs=out_specs,
    # The check is needed for gradients only, and would require loops to
    # declare which values differ between devices.
    check_vma=False,
  )


def on_each_device(kernel: Callable[..., PyTree]) -> Callable[..., PyTree]:
  """Runs a kernel on every device if its points are Sharded.

  Args:
    kernel: Function of keyword arguments only, among them `points`, which are
      Rows. It returns the same value on every device.

  Returns:
    The kernel; its points may be Sharded.
  """

  @functools.wraps(kernel)
  def run(*, points, **arguments):
    if not isinstance(points, Sharded):
      return kernel(points=points, **arguments)
    return _on_each(kernel, points, arguments, _MOST_ROWS_AT_ONCE)

  return run


def _on_each(kernel, points, arguments, rows_at_once=0):
  (axis,) = points.mesh.axis_names
  each, num_points = points.rows_each, points.num_points
  options, arrays = _xla.static_and_arrays(arguments)

  def of_own(rows, arrays):
    lacking = max(0, min(num_points, rows_at_once) - each)
    part = Part(_padded(rows, lacking), each, num_points, axis)
    return kernel(points=part, **arrays, **options)

  run = over_devices(points.mesh, of_own, (jax.P(axis), jax.P()), jax.P())
  return run(points.rows, arrays)


@jax.jit
def _taken(points, indices):
  return _on_each(
    lambda points, indices: take(points, indices), points, {'indices': indices}
  )


@jax.jit
def _copied(points):
  return _on_each(lambda points: per_row(lambda rows: rows, points), points, {})


def checked(
  name: str, points: Any, check: Callable[[str, Any], PyTree]
) -> PyTree:
  """Checks points or scores, which may be Sharded.

  Args:
    name: Name of the argument, for the message.
    points: Value of the argument, maybe Sharded.
    check: Function `(name, rows) -> rows`; for Sharded it gets the rows.

  Returns:
    The value with its rows as `check` returns them.

  Raises:
    TypeError: If num_points is not an integer.
    ValueError: If the check raises it, or the number of rows or the mesh is
      wrong.
  """
  if not isinstance(points, Sharded):
    return check(name, points)
  if not isinstance(points.mesh, jax.sharding.Mesh):
    raise ValueError(
      f'{name}.mesh is {points.mesh!r}; it must be a jax.sharding.Mesh.'
    )
  rows = check(f'{name}.rows', points.rows)
  length = jax.tree.leaves(rows)[0].shape[0]
  if len(points.mesh.axis_names) != 1 or length % points.mesh.size:
    raise ValueError(
      f'{name}.rows has {length} rows over a mesh of '
      f'{dict(points.mesh.shape)}; the mesh must have one axis, and each '
      'device the same number of rows.'
    )
  if _checks.count(f'{name}.num_points', points.num_points) > length:
    raise ValueError(
      f'{name}.num_points is {points.num_points}; it must be at most {length}, '
      'the number of rows.'
    )
  return dataclasses.replace(points, rows=rows)


def number(rows: Rows | Sharded) -> int:
  """Returns the number of points, N."""
  if isinstance(rows, Part | Sharded):
    return rows.num_points
  return jax.tree.leaves(rows)[0].shape[0]


def mapped(
  function: Callable[..., PyTree], rows: Rows, *values: jax.Array
) -> Rows:
  """Applies a function to all rows; each device keeps its own results.

  Args:
    function: Function `(rows, *values) -> pytree of [R, ...]` for any R rows.
    rows: Rows of all points.
    *values: Values per point, [N, ...], on every device.

  Returns:
    New rows of all points.
  """
  if not isinstance(rows, Part):
    return function(rows, *values)
  lacking = number(rows.rows) - rows.each
  values = [_padded(own(rows, value), lacking) for value in values]
  return dataclasses.replace(rows, rows=function(rows.rows, *values))


def per_row(
  function: Callable[..., PyTree], rows: Rows, *values: jax.Array
) -> PyTree:
  """Applies a function as `mapped` does, with all results on every device.

  Returns:
    Pytree of [N, ...].
  """
  found = mapped(function, rows, *values)
  if not isinstance(found, Part):
    return found

  def gathered(leaf):
    of_all = lax.all_gather(leaf[: found.each], found.axis, tiled=True)
    return of_all[: found.num_points]

  return jax.tree.map(gathered, found.rows)


def own(rows: Part, values: jax.Array) -> jax.Array:
  """Returns the values of the points whose rows are on this device.

  Args:
    rows: Rows of the device.
    values: Values per point, [N, ...].

  Returns:
    [L, ...], zeros for padding.
  """
  of_all = rows.each * lax.axis_size(rows.axis)
  values = _padded(values, of_all - len(values))
  begin = rows.each * lax.axis_index(rows.axis)
  return lax.dynamic_slice_in_dim(values, begin, rows.each)


def take(rows: Rows, indices: jax.Array) -> PyTree:
  """Gathers rows to every device.

  Args:
    rows: Rows of all points.
    indices: int32[B], in range; in a Part, -1 is padding.

  Returns:
    Pytree of [B, ...]; in a Part, zeros where the index is -1.
  """
  if not isinstance(rows, Part):
    return jax.tree.map(
      lambda leaf: leaf.at[indices].get(mode='promise_in_bounds'), rows
    )
  at = within(indices, rows.each, rows.axis)
  at = _padding.past_end(at, number(rows.rows))

  def found(leaf):
    own = jnp.take(leaf, at, axis=0, mode='fill', fill_value=0)
    if leaf.dtype == jnp.bool_:
      return lax.psum(own.astype(jnp.uint8), rows.axis).astype(jnp.bool_)
    # One device has the row and all others zeros. Summing bits keeps -0.0.
    bits = own.view(f'uint{8 * leaf.dtype.itemsize}')
    return lax.psum(bits, rows.axis).view(leaf.dtype)

  return jax.tree.map(found, rows.rows)


def _padded(rows, lacking):
  """Appends `lacking` rows of zeros."""
  return jax.tree.map(
    lambda leaf: jnp.pad(leaf, [(0, lacking)] + [(0, 0)] * (leaf.ndim - 1)),
    rows,
  )
