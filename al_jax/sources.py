"""Inputs on the device, in host memory, or in a mapped file.

Inputs that fit on the device are gathered there, inside compiled code. Others
stay NumPy arrays, possibly memory-mapped, and only the rows of a batch are
moved. The values are the same.
"""

import functools
import tempfile
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import placement as placement_lib
from al_jax.errors import in_one_line, unknown_name
from al_jax.interfaces import PyTree
from al_jax.kernels import Sharded, _padding
from al_jax.pool import PoolState

PLACEMENTS = ('auto', 'device', 'host')
# 'auto' puts inputs up to this share of a device's memory on the device.
_DEVICE_SHARE = 0.4
# DLPack's number of the CPU.
_CPU = 1
# A CPU reports no memory limit. Larger inputs are not worth a copy.
_CPU_LIMIT_BYTES = 4 * 2**30


class Source(NamedTuple):
  """Examples that a learner draws from, or that a model is evaluated on.

  Attributes:
    inputs: pytree of [N, ...], on the device or on the host.
    pool: the answers. None for the pool itself, whose state changes and is
      passed separately.
  """

  inputs: PyTree
  pool: PoolState | None = None


# Names of optional sources beside the pool.
HELD_OUT = ('validation', 'test')
# Sources by name: always `'pool'`, and possibly those of `HELD_OUT`.
Sources = Mapping[str, Source]
Array = np.ndarray | jax.Array


def read_array(name: str, value: Any) -> Array:
  """Reads an array of any framework, without a copy if possible.

  Args:
    name: name of the argument, for messages.
    value: array of NumPy, JAX, PyTorch or another framework; or lists, or a
      set.

  Returns:
    The array. It stays on an accelerator that JAX can use; otherwise it is
    moved to the host.

  Raises:
    ValueError: the value is not an array.
  """
  if isinstance(value, jax.Array):
    return value
  if np.ma.is_masked(value):
    raise ValueError(f'{name} has masked values; fill them or leave them out.')
  if isinstance(value, np.ndarray):
    return np.asarray(value)
  if isinstance(value, str | bytes):
    raise ValueError(
      f'{name} is the text {value!r}; it must be an array: np.load reads a '
      'file.'
    )
  if hasattr(value, 'detach'):
    value = value.detach()
  # PyTorch may store a sign apart from the numbers, which DLPack would lose.
  for resolve in ('resolve_conj', 'resolve_neg'):
    value = getattr(value, resolve, lambda as_it_is=value: as_it_is)()
  found = _through_dlpack(value)
  if found is None and hasattr(value, 'cpu'):
    value = value.cpu()
    found = _through_dlpack(value)
  if found is not None:
    return found
  try:
    return np.asarray(list(value) if isinstance(value, set) else value)
  except (ValueError, TypeError, RuntimeError) as error:
    raise ValueError(
      f'{name} cannot be read as an array: {in_one_line(error)}'
    ) from error


def _through_dlpack(value):
  """Reads an array through the DLPack protocol; returns None if it cannot."""
  if not hasattr(value, '__dlpack__'):
    return None
  readers = [jax.dlpack.from_dlpack]
  # NumPy first: it keeps 64 bits.
  if value.__dlpack_device__()[0] == _CPU:
    readers.insert(0, np.from_dlpack)
  for read_from in readers:
    try:
      return read_from(value)
    except (BufferError, TypeError, ValueError, RuntimeError):
      # This reader lacks the type (bfloat16) or the device.
      continue
  return None


def viewed(array: Array) -> tuple[Array, ModuleType]:
  """Finds the NumPy module that works on an array without moving it.

  Args:
    array: array from `read_array`.

  Returns:
    The array, and NumPy; or JAX's NumPy if it is on an accelerator.
  """
  if isinstance(array, np.ndarray):
    return array, np
  if all(device.platform == 'cpu' for device in array.devices()):
    return np.asarray(array), np
  return array, jnp


def on_host(name: str, value: Any) -> np.ndarray:
  """Reads an array of any framework into host memory; see `read_array`.

  Args:
    name: name of the argument, for messages.
    value: array for `read_array`. bfloat16 becomes float32.

  Raises:
    ValueError: the value is not an array, or is a single number.
  """
  array = read_array(name, value)
  if array.dtype == jnp.bfloat16:
    array = array.astype(jnp.float32)
  array = np.asarray(array)
  if not array.ndim:
    raise ValueError(
      f'{name} is a {type(value).__name__}; it must be an array whose '
      'first axis counts the examples.'
    )
  return array.astype(np.float32) if array.dtype.name == 'bfloat16' else array


def num_bytes(inputs: PyTree) -> int:
  """Returns the size of a pytree of arrays in bytes."""
  return sum(
    leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(inputs)
  )


def is_mapped(array: Array) -> bool:
  """Returns whether an array is memory-mapped, or a view of such an array."""
  while isinstance(array, np.ndarray):
    if isinstance(array, np.memmap):
      return True
    array = array.base
  return False


def temporary(form: jax.ShapeDtypeStruct) -> np.memmap:
  """Makes an array of zeros in a file that is deleted with the array.

  Args:
    form: shape and type of the array, which must not be empty.

  Returns:
    The array. Its file is in the folder for temporary files, see `tempfile`.
  """
  with tempfile.TemporaryFile() as file:
    return np.memmap(file, form.dtype, 'w+', shape=form.shape)


def length(inputs: PyTree) -> int:
  """Returns N, the number of examples in a pytree of inputs."""
  if isinstance(inputs, Sharded):
    return inputs.num_points
  return jax.tree.leaves(inputs)[0].shape[0]


def is_on_device(inputs: PyTree) -> bool:
  """Returns whether the rows are on one or several devices."""
  return all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(inputs))


def is_on_one_device(inputs: PyTree) -> bool:
  """Returns whether one device has all rows and can thus gather them."""
  return is_on_device(inputs) and not isinstance(inputs, Sharded)


def place(inputs: PyTree, placement: str = 'auto') -> PyTree:
  """Places inputs on the device or on the host.

  Args:
    inputs: pytree of NumPy arrays [N, ...].
    placement: `'device'`, `'host'`, or `'auto'`: on the device if they take up
      at most 40% of its memory, or 4 GiB on a CPU.

  Returns:
    The inputs unchanged (host), as jax Arrays (one device), or as Sharded
    (several devices).
  """
  if not is_placed_on_device(num_bytes(inputs), placement):
    return inputs
  over = placement_lib.current()
  return on_first(inputs) if over.num_devices == 1 else over.sharded(inputs)


def is_placed_on_device(size: int, placement: str = 'auto') -> bool:
  """Returns whether `place` puts inputs on the device.

  Args:
    size: size of the inputs in bytes.
    placement: placement for `place`.
  """
  if placement not in PLACEMENTS:
    raise unknown_name('placement', placement, PLACEMENTS)
  if placement != 'auto':
    return placement == 'device'
  over = placement_lib.current()
  limit = (over.first.memory_stats() or {}).get('bytes_limit')
  if limit is None:
    limit = _CPU_LIMIT_BYTES  # The devices of a CPU share its memory.
  else:
    limit *= _DEVICE_SHARE * over.num_devices
  return size <= limit


def on_first(inputs: PyTree) -> PyTree:
  """Moves inputs to the first device of this process, unless they are there.

  Args:
    inputs: pytree of arrays [N, ...].

  Returns:
    The inputs as jax Arrays.
  """
  device = jax.local_devices()[0]

  def put(leaf):
    is_there = isinstance(leaf, jax.Array) and leaf.devices() == {device}
    return leaf if is_there else jax.device_put(leaf, device)

  return jax.tree.map(put, placement_lib.gathered(inputs))


def gather(inputs: PyTree, index: jax.Array) -> PyTree:
  """Gathers rows by position on the device.

  Args:
    inputs: pytree of [N, ...], or Sharded.
    index: positions, int32[B]; -1 is padding.

  Returns:
    pytree of [B, ...], with zeros for padding.
  """
  if isinstance(inputs, Sharded):
    return inputs.take(index)
  index = _padding.past_end(index, length(inputs))
  return jax.tree.map(
    lambda leaf: jnp.take(leaf, index, axis=0, mode='fill', fill_value=0),
    inputs,
  )


def gather_on_host(inputs: PyTree, index: np.ndarray) -> PyTree:
  """Gathers rows by position in host memory, like `gather`.

  Args:
    inputs: pytree of NumPy arrays [N, ...].
    index: positions, int[B]; -1 is padding.

  Returns:
    pytree of NumPy arrays [B, ...], with zeros for padding.
  """
  index = np.asarray(index)
  real = index >= 0

  def rows(leaf):
    out = np.zeros((len(index), *leaf.shape[1:]), leaf.dtype)
    out[real] = leaf[index[real]]
    return out

  return jax.tree.map(rows, inputs)


def reader(inputs: PyTree) -> Callable[[np.ndarray], PyTree]:
  """Makes a function that reads a few examples from the device or the host.

  Args:
    inputs: pytree of [N, ...].

  Returns:
    `(int[B]) -> pytree of [B, ...]`, on the first device or on the host, with
    zeros for index -1.
  """
  if not is_on_device(inputs):
    return functools.partial(gather_on_host, inputs)
  read = jax.jit(gather)
  if not isinstance(inputs, Sharded):
    return functools.partial(read, on_first(inputs))
  over = placement_lib.of(inputs)
  return lambda index: over.on_first(read(inputs, over.everywhere(index)))
