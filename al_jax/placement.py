"""Which device holds which rows of a pool, where several devices share it.

Each device holds a run of consecutive rows, all of one length. Rows are padded
at the end to a multiple of the number of devices; no function below reads the
padding. On one device nothing is divided, and nothing here is needed.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from al_jax.interfaces import PyTree
from al_jax.kernels import Sharded

# The axis of the mesh: of devices, and of the rows that they share.
AXIS = 'pool'
BY_ROW, EVERYWHERE = jax.P(AXIS), jax.P()


@dataclasses.dataclass(frozen=True)
class Placement:
  """The devices of all processes in a row.

  Attributes:
    mesh: with one axis, `AXIS`.
  """

  mesh: jax.sharding.Mesh

  @property
  def num_devices(self) -> int:
    """Number of devices, those of other processes too."""
    return self.mesh.size

  @property
  def first(self) -> jax.Device:
    """The device of this process that trains and selects."""
    return self.mesh.local_devices[0]

  @property
  def has_one_process(self) -> bool:
    """Whether this process reaches all devices."""
    return len(self.mesh.local_devices) == self.num_devices

  def rows_each(self, num_examples: int) -> int:
    """Returns the rows that a device holds of a pool, padding included."""
    return -(-num_examples // self.num_devices)

  def sharding(self, spec: jax.sharding.PartitionSpec) -> jax.NamedSharding:
    """Returns the sharding over the mesh, `BY_ROW` or `EVERYWHERE`."""
    return jax.NamedSharding(self.mesh, spec)

  def divided(
    self, shape: tuple[int, ...], part: Callable[[int, int], np.ndarray]
  ) -> jax.Array:
    """Makes an array of which each device holds its rows.

    Args:
      shape: of all rows; a multiple of the number of devices.
      part: `(begin, end) -> [end - begin, ...]`, called for the rows of this
        process's devices alone.

    Returns:
      The array, sharded `BY_ROW`.
    """
    return jax.make_array_from_callback(
      shape,
      self.sharding(BY_ROW),
      lambda at: part(*at[0].indices(shape[0])[:2]),
    )

  def sharded(self, inputs: PyTree) -> Sharded:
    """Divides rows over the devices.

    Args:
      inputs: pytree of [N, ...]; of a mapped file each process reads its part.

    Returns:
      The rows, for programs of all devices.
    """
    num_examples = jax.tree.leaves(inputs)[0].shape[0]
    num_rows = self.num_devices * self.rows_each(num_examples)

    def divide(leaf):
      def part(begin, end):
        rows = np.asarray(leaf[begin:end])
        padding = [(0, end - begin - len(rows))] + [(0, 0)] * (leaf.ndim - 1)
        return np.pad(rows, padding)

      return self.divided((num_rows, *leaf.shape[1:]), part)

    return Sharded(jax.tree.map(divide, inputs), num_examples, self.mesh)

  def everywhere(self, tree: PyTree) -> PyTree:
    """Copies arrays to every device; each process gives the same values."""
    sharding = self.sharding(EVERYWHERE)
    if self.has_one_process:
      return jax.device_put(tree, sharding)

    def copied(leaf):
      copies = [jax.device_put(leaf, to) for to in self.mesh.local_devices]
      return jax.make_array_from_single_device_arrays(
        copies[0].shape, sharding, copies
      )

    return jax.tree.map(copied, tree)

  def on_first(self, tree: PyTree) -> PyTree:
    """Returns this process's first copy of arrays that are everywhere.

    It waits for them: a loop of programs whose devices wait for one another
    aborts the process on a CPU if the host runs ahead of it.

    Args:
      tree: of arrays sharded `EVERYWHERE`; other leaves stay as they are.
    """
    jax.block_until_ready(tree)
    return jax.tree.map(
      lambda leaf: (
        leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf
      ),
      tree,
    )

  def on_each(
    self, function: Callable[..., PyTree], in_specs: Any, out_specs: Any
  ) -> Callable[..., PyTree]:
    """Maps a function over the devices, see `jax.shard_map`.

    Args:
      function: takes and returns the rows of one device.
      in_specs: as there.
      out_specs: as there.

    Returns:
      The function of all rows.
    """
    return jax.shard_map(
      function,
      mesh=self.mesh,
      in_specs=in_specs,
      out_specs=out_specs,
      # It is about gradients of replicated arguments; and a scan of the caller
      # would have to say which of its values differ between devices.
      check_vma=False,
    )


def current() -> Placement:
  """Returns the placement over all devices that JAX has; it is made once."""
  return _over(tuple(jax.devices()))


@functools.cache
def _over(devices):
  return Placement(jax.sharding.Mesh(np.array(devices), (AXIS,)))


_everywhere = jax.jit(Sharded.everywhere)


def of(points: Sharded) -> Placement:
  """Returns the placement of rows that were divided by one."""
  return Placement(points.mesh)


def gathered(tree: PyTree) -> PyTree:
  """Gathers Sharded rows on the first device of this process.

  This is for whoever cannot work on parts: the memory is that of one device.

  Args:
    tree: Sharded, or other arrays, which stay as they are.

  Returns:
    pytree of [N, ...].
  """
  if not isinstance(tree, Sharded):
    return tree
  placement = of(tree)
  if not placement.has_one_process:
    return placement.on_first(_everywhere(tree))
  rows = jax.device_put(tree.rows, placement.first)
  return jax.tree.map(lambda leaf: leaf[: tree.num_points], rows)
