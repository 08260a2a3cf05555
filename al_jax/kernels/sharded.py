"""Rows of a pool that several devices share, and kernels that run on all.

Device d of a mesh of one axis holds rows d L to (d + 1) L; the last rows may be
padding. A kernel then is one program of all devices: what there is per row as a
number is on every device, and so is each decision. The rows themselves stay
where they are, but for the few that are compared with all others.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _padding, _xla

PyTree = Any

# Rows that kernels compare at a time, at most. A device that holds fewer gets
# padding, since a product of fewer rows may round differently.
_MOST_ROWS_AT_ONCE = 2048


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['rows'],
  meta_fields=['num_points', 'mesh'],
)
@dataclasses.dataclass(frozen=True)
class Sharded:
  """N points, or scores, of which each device holds a part.

  `top_k` takes it in the place of scores, and `kmeans_plus_plus`, `k_center`,
  `lcmd` and `hybrid_informativeness` in the place of points. Their picks are
  those of one device, bit for bit, and are on every device. What else they are
  given must be on every device too.

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
    rows: pytree of [devices x L, ...], sharded over the axis of the mesh; rows
      from N on are padding.
    num_points: N.
    mesh: with one axis.
  """

  rows: PyTree
  num_points: int
  mesh: jax.sharding.Mesh

  @property
  def rows_each(self) -> int:
    """L, the rows that a device holds, padding included."""
    return jax.tree.leaves(self.rows)[0].shape[0] // self.mesh.size

  def take(self, indices: jax.Array) -> PyTree:
    """Gathers rows from all devices, in a program of all of them.

    Args:
      indices: int32[B], on every device; -1 pads.

    Returns:
      pytree of [B, ...] on every device, bit for bit; zeros where the index is
      -1.
    """
    return _on_each(
      lambda points, indices: take(points, indices), self, {'indices': indices}
    )

  def everywhere(self) -> PyTree:
    """Copies all rows to every device, as pytree of [N, ...]."""
    return _on_each(lambda points: per_row(lambda rows: rows, points), self, {})


def within(indices: jax.Array, each: int, axis: str) -> jax.Array:
  """Turns pool indices into positions among the rows of the device that asks.

  Args:
    indices: int32[B], pool indices; -1 pads.
    each: rows that each device holds.
    axis: of the mesh.

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
  """What a device holds of N rows, in a program of all devices.

  The functions below take it, or all rows of a single device.

  Attributes:
    rows: pytree of [L or more, ...].
    each: L.
    num_points: N.
    axis: of the mesh.
  """

  rows: PyTree
  each: int
  num_points: int
  axis: str


Rows = Part | PyTree


def on_each_device(kernel: Callable[..., PyTree]) -> Callable[..., PyTree]:
  """Has a kernel run on every device where its points are Sharded.

  Args:
    kernel: takes keyword arguments only, `points` among them: Rows. What it
      returns is the same on every device.

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
  options = {
    name: value for name, value in arguments.items() if _xla.is_static(value)
  }
  arrays = {
    name: value for name, value in arguments.items() if name not in options
  }

  def of_own(rows, arrays):
    lacking = max(0, min(num_points, rows_at_once) - each)
    part = Part(_padded(rows, lacking), each, num_points, axis)
    return kernel(points=part, **arrays, **options)

  return jax.shard_map(
    of_own,
    mesh=points.mesh,
    in_specs=(jax.P(axis), jax.P()),
    out_specs=jax.P(),
    # It is about gradients, and would have loops say which values differ.
    check_vma=False,
  )(points.rows, arrays)


def checked(
  name: str, points: Any, check: Callable[[str, Any], PyTree]
) -> PyTree:
  """Returns what a check of points or scores makes of them.

  Args:
    name: the argument's, for the message.
    points: what it is given, maybe Sharded.
    check: `(name, rows) -> rows`; of Sharded it sees the rows.

  Raises:
    ValueError: by the check, or there are not as many rows as there should be.
  """
  if not isinstance(points, Sharded):
    return check(name, points)
  rows = check(f'{name}.rows', points.rows)
  length = jax.tree.leaves(rows)[0].shape[0]
  if len(points.mesh.axis_names) != 1 or length % points.mesh.size:
    raise ValueError(
      f'{name}.rows has {length} rows over a mesh of '
      f'{dict(points.mesh.shape)}; the mesh must have one axis, and each of '
      'its devices as many rows.'
    )
  if not 1 <= points.num_points <= length:
    raise ValueError(
      f'{name}.num_points is {points.num_points}; it must be from 1 to the '
      f'{length} rows that there are.'
    )
  return dataclasses.replace(points, rows=rows)


def number(rows: Rows | Sharded) -> int:
  """N."""
  if isinstance(rows, Part | Sharded):
    return rows.num_points
  return jax.tree.leaves(rows)[0].shape[0]


def mapped(
  function: Callable[..., PyTree], rows: Rows, *values: jax.Array
) -> Rows:
  """Makes rows of rows; each device keeps its own.

  Args:
    function: `(rows, *values) -> pytree of [R, ...]` for any R rows.
    rows: of all points.
    *values: [N, ...], on every device.

  Returns:
    rows of all points.
  """
  if not isinstance(rows, Part):
    return function(rows, *values)
  lacking = number(rows.rows) - rows.each
  values = [_padded(own(rows, value), lacking) for value in values]
  return dataclasses.replace(rows, rows=function(rows.rows, *values))


def per_row(
  function: Callable[..., PyTree], rows: Rows, *values: jax.Array
) -> PyTree:
  """Does as `mapped`, and has the result on every device, [N, ...]."""
  found = mapped(function, rows, *values)
  if not isinstance(found, Part):
    return found

  def gathered(leaf):
    of_all = lax.all_gather(leaf[: found.each], found.axis, tiled=True)
    return of_all[: found.num_points]

  return jax.tree.map(gathered, found.rows)


def own(rows: Part, values: jax.Array) -> jax.Array:
  """Those of values per point that belong to the rows of this device.

  Args:
    rows: of the device.
    values: [N, ...].

  Returns:
    [L, ...], zeros for padding.
  """
  of_all = rows.each * lax.axis_size(rows.axis)
  values = _padded(values, of_all - len(values))
  begin = rows.each * lax.axis_index(rows.axis)
  return lax.dynamic_slice_in_dim(values, begin, rows.each)


def take(rows: Rows, indices: jax.Array) -> PyTree:
  """Gathers rows, which every device then has.

  Args:
    rows: of all points.
    indices: int32[B], in range; of a Part -1 pads.

  Returns:
    pytree of [B, ...]; of a Part zeros where the index is -1.
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
    # One device has a row and all others have zeros. Sums of bits keep -0.0.
    bits = own.view(f'uint{8 * leaf.dtype.itemsize}')
    return lax.psum(bits, rows.axis).view(leaf.dtype)

  return jax.tree.map(found, rows.rows)


def _padded(rows, lacking):
  """Appends as many rows of zeros."""
  return jax.tree.map(
    lambda leaf: jnp.pad(leaf, [(0, lacking)] + [(0, 0)] * (leaf.ndim - 1)),
    rows,
  )
