"""Divides the rows of a pool over several devices.

Each device holds the same number of consecutive rows. The rows are padded at
the end to a multiple of the number of devices; no function below reads the
padding. A single device needs none of this.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np

from al_jax.interfaces import PyTree
from al_jax.kernels import Sharded

# Axis of the mesh over which devices share rows.
AXIS = 'pool'
BY_ROW, EVERYWHERE = jax.P(AXIS), jax.P()


@dataclasses.dataclass(frozen=True)
class Placement:
  """The devices of all processes, in a row.

  Attributes:
    mesh: mesh with the single axis `AXIS`.
  """

  mesh: jax.sharding.Mesh

  @property
  def num_devices(self) -> int:
    """Returns the number of devices, including those of other processes."""
    return self.mesh.size

  @property
  def first(self) -> jax.Device:
    """Returns the device of this process that trains and selects."""
    return self.mesh.local_devices[0]

  @property
  def has_one_process(self) -> bool:
    """Returns whether this process can address all devices."""
    return len(self.mesh.local_devices) == self.num_devices

  def rows_each(self, num_examples: int) -> int:
    """Returns the number of a pool's rows per device, padding included."""
    return -(-num_examples // self.num_devices)

  def sharding(self, spec: jax.sharding.PartitionSpec) -> jax.NamedSharding:
    """Returns the sharding over the mesh, `BY_ROW` or `EVERYWHERE`."""
    return jax.NamedSharding(self.mesh, spec)

  def divided(
    self, shape: tuple[int, ...], part: Callable[[int, int], np.ndarray]
  ) -> jax.Array:
    """Makes an array whose rows are divided over the devices.

    Args:
      shape: shape of the whole array; the number of rows is a multiple of the
        number of devices.
      part: `(begin, end) -> [end - begin, ...]`, called only for the rows of
        this process's devices.

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
      inputs: pytree of [N, ...]. Each process reads only its part of a mapped
        file.

    Returns:
      The rows, for programs over all devices.
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
    """Copies arrays to every device; all processes must pass equal values."""
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
    """Returns the first local copy of arrays that are on every device.

    It waits for the arrays: on a CPU, a loop of programs whose devices wait for
    one another aborts the process if the host runs ahead.

    Args:
      tree: arrays sharded `EVERYWHERE`; other leaves stay as they are.
    """
    jax.block_until_ready(tree)
    return jax.tree.map(
      lambda leaf: (
        leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf
      ),
      tree,
    )


def current() -> Placement:
  """Returns the placement over all devices of JAX, which is made once."""
  return _over(tuple(jax.devices()))


@functools.cache
def _over(devices):
  return Placement(jax.sharding.Mesh(np.array(devices), (AXIS,)))


def of(points: Sharded) -> Placement:
  """Returns the placement that divided these rows."""
  return Placement(points.mesh)


def gathered(tree: PyTree) -> PyTree:
  """Gathers Sharded rows on the first device of this process.

  Use it only where rows cannot be processed in parts, because all of them must
  fit in the memory of one device.

  Args:
    tree: Sharded rows; other arrays are returned unchanged.

  Returns:
    pytree of [N, ...].
  """
  if not isinstance(tree, Sharded):
    return tree
  placement = of(tree)
  if not placement.has_one_process:
    return placement.on_first(tree.everywhere())
  rows = jax.device_put(tree.rows, placement.first)
  return jax.tree.map(lambda leaf: leaf[: tree.num_points], rows)
