"""A function mapped over a whole pool in chunks of one size.

Streamed: no more than a chunk of inputs and activations exists at a time on a
device. Sharded: each device walks through the rows that it holds. Compiled
once: the last chunk is padded, and a map over a part of the pool uses the same
program.
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

  A row of the result depends on its example alone. Every device calls `fn` for
  as many rows as a single one would, so the number of devices changes no bit;
  chunk size changes floats by no more than the compiler's choice of
  instructions does (at most 1e-6 for chunks of 100 rows and more).

  Args:
    fn: what to compute of a batch. It must treat rows alike and apart.
    chunk_size: rows per call of each device, no more than the pool has.
    may_map: on one device, a result that is too large for it, as
      `sources.place` says, is written to temporary files.
    keep_sharded: leave the rows of the result on the devices that made them.

  Returns:
    `map_pool(args, inputs, where=None) -> pytree of [N, ...]` on the first
    device, or NumPy arrays in such files, or Sharded if there are several
    devices and they are kept. `where`, bool[N] on the host, leaves rows out:
    they hold zeros, for nobody to read. `inputs` may live on the host or on the
    devices, where a call does not move what `sources.place` put there.
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
  # The name of the axis is part of the program's text, which `tests/proof.py`
  # compares.
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
      return shapes  # nothing to measure: no pass over the pool
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
  """Zeros for the rows of the whole pool, on the device or in files."""
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
  """Each device walks through its own rows, all by one program."""
  on_each = placement.on_each
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
  """Rows of the host, each on the device that its index is for."""

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
  """Rows per call: as asked for, or all of a pool that is smaller."""
  return min(chunk_size, num_examples)


def check_rows(measured: PyTree, num_rows: int) -> None:
  """Refuses what has not a row for each example of a batch.

  Args:
    measured: pytree of arrays or their shapes.
    num_rows: B.

  Raises:
    ValueError: with the shape of the first leaf that is not [B, ...].
  """
  for leaf in jax.tree.leaves(measured):
    if leaf.shape[:1] != (num_rows,):
      raise ValueError(
        f'of a batch of {num_rows} examples {leaf.dtype}{list(leaf.shape)} was '
        f'measured; the first axis must have a row for each.'
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
  """The positions to visit, in order, int32."""
  positions = np.arange(num_examples, dtype=np.int32)
  return positions if where is None else positions[np.asarray(where)]


def _chunks(positions, num_rows):
  """The positions as padded int32[num_rows]."""
  for begin in range(0, len(positions), num_rows):
    yield _padded(positions[begin : begin + num_rows], num_rows)


def _chunks_of_devices(positions, num_rows, placement, each):
  """A chunk of its own rows for every device, int32[devices x num_rows]."""
  begins = each * np.arange(1, placement.num_devices)
  parts = np.split(positions, np.searchsorted(positions, begins))
  for begin in range(0, max(map(len, parts)), num_rows):
    own = [part[begin : begin + num_rows] for part in parts]
    yield np.concatenate([_padded(part, num_rows) for part in own])


def _padded(index, num_rows):
  return np.pad(index, (0, num_rows - len(index)), constant_values=-1)
