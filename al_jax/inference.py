"""Maps a function over a whole pool in chunks of one size.

Streamed: a device holds inputs and activations of one chunk at a time. Sharded:
each device processes its own rows. Compiled once: the last chunk is padded, and
a map over a part of the pool uses the same program.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, sources
from al_jax import placement as placement_lib
from al_jax.interfaces import Batch, PyTree
from al_jax.kernels import Sharded, _padding, sharded

# `(args, Batch) -> pytree of [B, ...]`
BatchFn = Callable[[PyTree, Batch], PyTree]


def make_pool_map(
  fn: BatchFn,
  *,
  chunk_size: int = 1000,
  may_map: bool = False,
  keep_sharded: bool = False,
) -> Callable[..., PyTree]:
  """Compiles a map over pools.

  A row of the result depends only on its example. Every device calls `fn` with
  as many rows as a single device would, so results on any number of devices are
  bit-identical. The chunk size changes floats only through the compiler's
  choice of instructions (at most 1e-6 for chunks of 100 rows and more).

  Args:
    fn: function of a batch. It must treat all rows the same, and separately.
    chunk_size: number of rows per call on each device; a smaller pool is one
      chunk.
    may_map: whether, on one device, a result that is too large for it by the
      rule of `sources.place` is written to temporary files.
    keep_sharded: whether the rows of the result stay on the devices that
      computed them.

  Returns:
    `map_pool(args, inputs, where=None) -> pytree of [N, ...]`. The result is on
    the first device, in temporary files as NumPy arrays, or Sharded if there
    are several devices and `keep_sharded` is set. `where`, bool[N] on the host,
    selects rows; the others are zero and must not be used. `inputs` may be on
    the host or on the devices; arrays from `sources.place` are not moved.
  """
  errors.check_number('chunk_size', chunk_size, int, least=1)
  placement = placement_lib.current()
  if placement.num_devices == 1:
    return _map_on_one(fn, chunk_size, placement, may_map)
  map_sharded = _map_on_several(fn, chunk_size, placement)
  if keep_sharded:
    return map_sharded
  return lambda *args: placement_lib.gathered(map_sharded(*args))


def _map_on_one(fn, chunk_size, placement, may_map):
  # Do not rename the axis: `tests/proof.py` compares the program's text, which
  # includes it.
  mesh = jax.sharding.Mesh(np.array([placement.first]), ('chunk',))
  by_row = jax.NamedSharding(mesh, jax.P('chunk'))

  @jax.jit
  def of_chunk(args, inputs, index):
    return fn(args, Batch(index, sources.gather(inputs, index)))

  @jax.jit
  def of_rows(args, index, rows):
    return fn(args, Batch(index, rows))

  write = jax.jit(_write, donate_argnums=0)

  def map_pool(args, inputs, where=None):
    num_examples = sources.length(inputs)
    num_rows = rows_of_chunk(chunk_size, num_examples)
    on_device = sources.is_on_device(inputs)
    shapes = _measured_shapes(fn, args, inputs, num_rows)
    if not jax.tree.leaves(shapes):
      return shapes  # Nothing is measured, so there is no pass over the pool.
    out = _room(shapes, num_examples, placement.first, may_map)
    put = write if sources.is_on_device(out) else _write_to_files
    if on_device:
      inputs = sources.on_first(inputs)
    for index in _chunks(_positions(num_examples, where), num_rows):
      index_by_row = jax.device_put(index, by_row)
      if on_device:
        rows = of_chunk(args, inputs, index_by_row)
      else:
        batch = sources.gather_on_host(inputs, index)
        rows = of_rows(args, index_by_row, jax.device_put(batch, by_row))
      out = put(out, index, rows)
    return out

  return map_pool


def _room(shapes, num_examples, device, may_map):
  """Allocates zeros for the whole pool, on the device or in files."""
  forms = jax.tree.map(
    lambda row: jax.ShapeDtypeStruct((num_examples, *row.shape[1:]), row.dtype),
    shapes,
  )
  if may_map and not sources.is_placed_on_device(sources.num_bytes(forms)):
    return jax.tree.map(sources.temporary, forms)
  with jax.default_device(device):
    return jax.tree.map(lambda form: jnp.zeros(form.shape, form.dtype), forms)


def _write_to_files(out, index, rows):
  real = index >= 0

  def write(leaf, part):
    leaf[index[real]] = np.asarray(part)[real]
    return leaf

  return jax.tree.map(write, out, rows)


def _map_on_several(fn, chunk_size, placement):
  """Makes a map in which each device processes its own rows."""
  on_each = functools.partial(sharded.over_devices, placement.mesh)
  by_row, everywhere = placement_lib.BY_ROW, placement_lib.EVERYWHERE
  within = functools.partial(sharded.within, axis=placement_lib.AXIS)

  @functools.partial(jax.jit, static_argnames='each')
  def of_chunk(args, inputs, index, each):
    def of_own(args, inputs, index):
      rows = sources.gather(inputs, within(index, each))
      return fn(args, Batch(index, rows))

    return on_each(of_own, (everywhere, by_row, by_row), by_row)(
      args, inputs, index
    )

  of_rows = jax.jit(
    on_each(
      lambda args, index, rows: fn(args, Batch(index, rows)),
      (everywhere, by_row, by_row),
      by_row,
    )
  )

  @functools.partial(jax.jit, donate_argnums=0, static_argnames='each')
  def write(out, index, rows, each):
    def of_own(out, index, rows):
      return _write(out, within(index, each), rows)

    return on_each(of_own, (by_row, by_row, by_row), by_row)(out, index, rows)

  def map_pool(args, inputs, where=None):
    num_examples = sources.length(inputs)
    each = placement.rows_each(num_examples)
    num_rows = rows_of_chunk(chunk_size, num_examples)
    on_device = sources.is_on_device(inputs)
    shapes = _measured_shapes(fn, args, inputs, num_rows)
    if not jax.tree.leaves(shapes):
      return shapes
    size, sharding = placement.num_devices * each, placement.sharding(by_row)
    out = jax.tree.map(
      lambda row: jnp.zeros((size, *row.shape[1:]), row.dtype, device=sharding),
      shapes,
    )
    if on_device and not isinstance(inputs, Sharded):
      inputs = placement.sharded(inputs)
    args = placement.everywhere(args)
    positions = _positions(num_examples, where)
    for index in _chunks_of_devices(positions, num_rows, placement, each):
      own = placement.divided(index.shape, lambda b, e, i=index: i[b:e])
      if on_device:
        rows = of_chunk(args, inputs.rows, own, each)
      else:
        rows = of_rows(args, own, _rows_of(inputs, index, placement))
      out = write(out, own, rows, each)
    return Sharded(out, num_examples, placement.mesh)

  return map_pool


def _rows_of(inputs, index, placement):
  """Moves rows from the host to the devices that their indices belong to."""

  def divide(leaf):
    return placement.divided(
      (len(index), *leaf.shape[1:]),
      lambda begin, end: sources.gather_on_host(leaf, index[begin:end]),
    )

  return jax.tree.map(divide, inputs)


def _write(out, index, rows):
  num_examples = sources.length(out)
  index = _padding.past_end(index, num_examples)
  return jax.tree.map(lambda o, r: o.at[index].set(r, mode='drop'), out, rows)


def _measured_shapes(fn, args, inputs, num_rows):
  shapes = jax.eval_shape(fn, args, _batch_shape(inputs, num_rows))
  check_rows(shapes, num_rows)
  return shapes


def rows_of_chunk(chunk_size: int, num_examples: int) -> int:
  """Returns the number of rows per call, at most the size of the pool."""
  return min(chunk_size, num_examples)


def check_rows(measured: PyTree, num_rows: int) -> None:
  """Checks that measurements have a row for each example of a batch.

  Args:
    measured: pytree of arrays or their shapes.
    num_rows: B, the size of the batch.

  Raises:
    ValueError: a leaf is not [B, ...].
  """
  for leaf in jax.tree.leaves(measured):
    if leaf.shape[:1] != (num_rows,):
      raise ValueError(
        f'the measurement of {num_rows} examples has the shape '
        f'{leaf.dtype}{list(leaf.shape)}; it must have a row for each example.'
      )


def _batch_shape(inputs, chunk_size):
  if isinstance(inputs, Sharded):
    inputs = inputs.rows
  rows = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      (chunk_size, *leaf.shape[1:]), leaf.dtype
    ),
    inputs,
  )
  return Batch(jax.ShapeDtypeStruct((chunk_size,), jnp.int32), rows)


def _positions(num_examples, where):
  """Returns the positions to visit, in order, int32."""
  positions = np.arange(num_examples, dtype=np.int32)
  return positions if where is None else positions[np.asarray(where)]


def _chunks(positions, num_rows):
  """Yields the positions as padded int32[num_rows]."""
  for begin in range(0, len(positions), num_rows):
    yield _padded(positions[begin : begin + num_rows], num_rows)


def _chunks_of_devices(positions, num_rows, placement, each):
  """Yields int32[devices x num_rows], a chunk of each device's own rows."""
  begins = each * np.arange(1, placement.num_devices)
  parts = np.split(positions, np.searchsorted(positions, begins))
  for begin in range(0, max(map(len, parts)), num_rows):
    own = [part[begin : begin + num_rows] for part in parts]
    yield np.concatenate([_padded(part, num_rows) for part in own])


def _padded(index, num_rows):
  return np.pad(index, (0, num_rows - len(index)), constant_values=-1)
