"""How the leaves of a state become arrays on the host, and leaves again.

A checkpoint writes down of every leaf where it is, of what kind, dtype and
shape. With that a leaf comes back as it was saved, and a template of another
state is noticed before any array is read.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax.interfaces import PyTree

# Dtype and shape on the host, by path.
Signatures = dict[str, tuple[str, tuple[int, ...]]]


class TemplateError(ValueError):
  """The checkpoint is sound, but is of another state than was asked for."""


class Leaf(NamedTuple):
  """What is written down of a leaf.

  Attributes:
    path: its place in the state, such as `state.params['kernel']`.
    kind: `'jax'`, `'weak jax'`, `'key IMPLEMENTATION'`, `'numpy'`, or the name
      of a Python type.
    dtype: of the leaf; of a key, the key's.
    shape: of the array on the host, which for keys has one axis more.
  """

  path: str
  kind: str
  dtype: str
  shape: tuple[int, ...]

  @property
  def host_dtype(self) -> np.dtype:
    """The dtype of the array that stands for the leaf on the host."""
    return jnp.dtype('uint32' if self.kind.startswith('key') else self.dtype)


def flatten(tree: PyTree) -> tuple[list[str], list[Any]]:
  """The places and the leaves of a tree."""
  with_paths, _ = jax.tree_util.tree_flatten_with_path(tree)
  paths = ['state' + jax.tree_util.keystr(path) for path, _ in with_paths]
  return paths, [leaf for _, leaf in with_paths]


def check_storable(path: str, leaf: Any) -> None:
  """Raises TypeError or ValueError if a leaf cannot be checkpointed."""
  if isinstance(leaf, jax.Array):
    if leaf.is_deleted():
      raise ValueError(f'{path} is an array that was donated or deleted.')
    if not leaf.is_fully_addressable:
      raise ValueError(
        f'{path} is an array that other processes hold parts of.'
      )
  elif isinstance(leaf, np.ndarray | np.generic):
    if not (leaf.dtype == bool or jnp.issubdtype(leaf.dtype, np.number)):
      raise TypeError(
        f'{path} is a NumPy array of {leaf.dtype}; numbers and booleans can be '
        'stored.'
      )
  elif type(leaf) not in (bool, int, float):
    raise TypeError(
      f'{path} is a {type(leaf).__name__}; arrays, int, float and bool can be '
      'stored in the state, all that JSON holds in the metadata.'
    )
  elif isinstance(leaf, int) and not -(2**63) <= leaf < 2**63:
    raise ValueError(f'{path} is {leaf}, which does not fit 64 bits.')


def to_host(path: str, leaf: Any) -> tuple[Leaf, np.ndarray]:
  """What is written down of a leaf, and the array that stands for it."""
  if isinstance(leaf, jax.Array):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      kind = f'key {jax.random.key_impl(leaf)}'
      array = np.asarray(jax.random.key_data(leaf))
    else:
      kind = 'weak jax' if leaf.weak_type else 'jax'
      array = np.asarray(leaf)
    return Leaf(path, kind, str(leaf.dtype), array.shape), array
  if isinstance(leaf, np.ndarray | np.generic):
    kind = 'numpy'
  else:
    kind = type(leaf).__name__
  array = np.asarray(leaf)
  return Leaf(path, kind, str(array.dtype), array.shape), array


def digest(arrays: Mapping[str, np.ndarray]) -> str:
  """SHA-256 of arrays: their names, dtypes, shapes and values, in any order."""
  sha = hashlib.sha256()
  for path in sorted(arrays):
    array = arrays[path]
    sha.update(f'{path} {array.dtype} {array.shape}\n'.encode())
    sha.update(_bytes_of(array))
  return sha.hexdigest()


def pack(arrays: Mapping[str, np.ndarray], layout: list[Leaf]) -> np.ndarray:
  """The bytes of arrays one after another, uint8, in the order of a layout."""
  return np.concatenate(
    [_bytes_of(arrays[leaf.path]) for leaf in layout if leaf.path in arrays]
  )


def unpack(packed: np.ndarray, layout: list[Leaf]) -> dict[str, np.ndarray]:
  """The arrays by path, those with elements; ValueError if bytes lack."""
  arrays, position = {}, 0
  for leaf in layout:
    array = np.empty(leaf.shape, leaf.host_dtype)
    if array.size:
      end = position + array.nbytes
      _bytes_of(array)[:] = packed[position:end]
      arrays[leaf.path], position = array, end
  if position != len(packed):
    raise ValueError(f'{len(packed)} bytes were saved, {position} are needed')
  return arrays


def _bytes_of(array: np.ndarray) -> np.ndarray:
  """uint8[bytes], a view where the array is contiguous."""
  return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def json_digest(contents: Mapping[str, Any]) -> str:
  """SHA-256 of a JSON value, whatever the white space in its file."""
  text = json.dumps(contents, separators=(',', ':'))
  return hashlib.sha256(text.encode()).hexdigest()


def signatures(template: PyTree) -> Signatures:
  """What a template asks for: dtype and shape by path."""
  return {
    path: _signature(leaf)
    for path, leaf in zip(*flatten(template), strict=True)
  }


def check_same(
  wanted: Signatures, layout: list[Leaf], source: os.PathLike
) -> None:
  """Raises TemplateError that names the source and what differs."""
  saved = {leaf.path: (_loose_dtype(leaf), leaf.shape) for leaf in layout}
  differences = [
    f'{path} is {_describe(saved.get(path))} there and '
    f'{_describe(wanted.get(path))} here'
    for path in saved | wanted
    if saved.get(path) != wanted.get(path)
  ]
  if differences:
    more = f'; {len(differences) - 3} more' if len(differences) > 3 else ''
    raise TemplateError(
      f'The checkpoint {source} is of another state (other code, or another '
      f'config): {"; ".join(differences[:3])}{more}.'
    )


def unflatten(
  template: PyTree, layout: list[Leaf], arrays: dict[str, np.ndarray]
) -> PyTree:
  """The state.

  Args:
    template: has the signatures of the layout.
    layout: of the state.
    arrays: the arrays on the host by path; those without elements may be
      missing.

  Returns:
    The structure of the template with the leaves as they were saved, placed as
    the template's shardings say.
  """
  entries = {entry.path: entry for entry in layout}
  leaves = []
  for path, like in zip(*flatten(template), strict=True):
    entry = entries[path]
    array = arrays.get(path)
    if array is None:
      array = np.empty(entry.shape, entry.host_dtype)
    leaves.append(_place(_from_host(entry, array), like))
  return jax.tree.unflatten(jax.tree.structure(template), leaves)


def _from_host(entry: Leaf, array: np.ndarray) -> Any:
  if entry.kind == 'numpy':
    return array
  if entry.kind == 'jax':
    return jnp.array(array)
  if entry.kind == 'weak jax':
    # Only a Python number makes a weakly typed array.
    zeros = jnp.full(array.shape, array.dtype.type(0).item())
    return zeros.at[...].set(array)
  if entry.kind.startswith('key'):
    implementation = entry.kind.removeprefix('key ')
    return jax.random.wrap_key_data(jnp.array(array), impl=implementation)
  return array.item()


def _place(leaf: Any, like: Any) -> Any:
  """A jax array put where the template says, if it says so."""
  if not isinstance(leaf, jax.Array):
    return leaf
  if isinstance(like, jax.Array) and not like.committed:
    return leaf
  sharding = getattr(like, 'sharding', None)
  return leaf if sharding is None else jax.device_put(leaf, sharding)


def _signature(leaf: Any) -> tuple[str, tuple[int, ...]]:
  """Dtype and shape on the host of a leaf of a template."""
  dtype = leaf.dtype if hasattr(leaf, 'dtype') else np.asarray(leaf).dtype
  if jnp.issubdtype(dtype, jax.dtypes.prng_key):
    return str(dtype), jax.eval_shape(jax.random.key_data, leaf).shape
  return str(jax.dtypes.canonicalize_dtype(dtype)), np.shape(leaf)


def _loose_dtype(leaf: Leaf) -> str:
  """The dtype that `jax.eval_shape` sees: 64 bits of NumPy may become 32."""
  if leaf.kind.startswith('key') or leaf.kind.endswith('jax'):
    return leaf.dtype
  return str(jax.dtypes.canonicalize_dtype(leaf.dtype))


def _describe(signature: tuple[str, tuple[int, ...]] | None) -> str:
  if signature is None:
    return 'absent'
  dtype, shape = signature
  return f'{dtype}{list(shape)}'
