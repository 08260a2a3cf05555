"""Conversion of a state's leaves to arrays on the host, and back.

A checkpoint describes every leaf by path, kind, dtype and shape. With this
layout a leaf is restored as it was saved, and a mismatched template is detected
before any array is read.
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

# Maps a path to dtype and shape on the host.
Signatures = dict[str, tuple[str, tuple[int, ...]]]


class TemplateError(ValueError):
  """The checkpoint is intact, but its state does not match the template."""


class Leaf(NamedTuple):
  """Description of a leaf in a checkpoint.

  Attributes:
    path: path of the leaf in the state, such as `state.params['kernel']`.
    kind: `'jax'`, `'weak jax'`, `'key IMPLEMENTATION'`, `'numpy'`, or the name
      of a Python type.
    dtype: dtype of the leaf; for a key, the key dtype.
    shape: shape of the array on the host, which for keys has one more axis.
  """

  path: str
  kind: str
  dtype: str
  shape: tuple[int, ...]

  @property
  def host_dtype(self) -> np.dtype:
    """Returns the dtype of the array that represents the leaf on the host."""
    return jnp.dtype('uint32' if self.kind.startswith('key') else self.dtype)


def flatten(tree: PyTree) -> tuple[list[str], list[Any]]:
  """Returns the paths and the leaves of a tree."""
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
        f'{path} is an array whose parts are spread over several processes.'
      )
  elif isinstance(leaf, np.ndarray | np.generic):
    if not (leaf.dtype == bool or jnp.issubdtype(leaf.dtype, np.number)):
      raise TypeError(
        f'{path} is a NumPy array of {leaf.dtype}; only numbers and booleans '
        'can be stored.'
      )
  elif type(leaf) not in (bool, int, float):
    raise TypeError(
      f'{path} is a {type(leaf).__name__}; a state can hold arrays, int, float '
      'and bool, the metadata any JSON value.'
    )
  elif isinstance(leaf, int) and not -(2**63) <= leaf < 2**63:
    raise ValueError(f'{path} is {leaf}, which does not fit 64 bits.')


def to_host(path: str, leaf: Any) -> tuple[Leaf, np.ndarray]:
  """Returns a leaf's description and the array that represents it."""
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
  """Hashes paths, dtypes, shapes and values by SHA-256, in sorted order."""
  sha = hashlib.sha256()
  for path in sorted(arrays):
    array = arrays[path]
    sha.update(f'{path} {array.dtype} {array.shape}\n'.encode())
    sha.update(_bytes_of(array))
  return sha.hexdigest()


def pack(arrays: Mapping[str, np.ndarray], layout: list[Leaf]) -> np.ndarray:
  """Concatenates the bytes of arrays as uint8, in the order of a layout."""
  return np.concatenate(
    [_bytes_of(arrays[leaf.path]) for leaf in layout if leaf.path in arrays]
  )


def unpack(packed: np.ndarray, layout: list[Leaf]) -> dict[str, np.ndarray]:
  """Maps paths to arrays, except empty ones; raises ValueError on bad size."""
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
  """Returns uint8[bytes], a view if the array is contiguous."""
  return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def json_digest(contents: Mapping[str, Any]) -> str:
  """Hashes a JSON value by SHA-256, independent of white space in its file."""
  text = json.dumps(contents, separators=(',', ':'))
  return hashlib.sha256(text.encode()).hexdigest()


def signatures(template: PyTree) -> Signatures:
  """Maps each path of a template to dtype and shape on the host."""
  return {
    path: _signature(leaf)
    for path, leaf in zip(*flatten(template), strict=True)
  }


def check_same(
  wanted: Signatures, layout: list[Leaf], source: os.PathLike
) -> None:
  """Raises TemplateError, with source and differences, if any differ."""
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
      f'The checkpoint {source} holds a different state (other code, or '
      f'another config): {"; ".join(differences[:3])}{more}.'
    )


def unflatten(
  template: PyTree, layout: list[Leaf], arrays: dict[str, np.ndarray]
) -> PyTree:
  """Rebuilds a state from its arrays.

  Args:
    template: state with the signatures of the layout.
    layout: descriptions of the leaves.
    arrays: arrays on the host by path; empty ones may be missing.

  Returns:
    The structure of the template with the leaves as they were saved, placed
    according to the template's shardings.
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
  """Moves a jax array to the template's sharding, if it has one."""
  if not isinstance(leaf, jax.Array):
    return leaf
  if isinstance(like, jax.Array) and not like.committed:
    return leaf
  sharding = getattr(like, 'sharding', None)
  return leaf if sharding is None else jax.device_put(leaf, sharding)


def _signature(leaf: Any) -> tuple[str, tuple[int, ...]]:
  """Returns the dtype and the host shape of a template's leaf."""
  dtype = leaf.dtype if hasattr(leaf, 'dtype') else np.asarray(leaf).dtype
  if jnp.issubdtype(dtype, jax.dtypes.prng_key):
    return str(dtype), jax.eval_shape(jax.random.key_data, leaf).shape
  return str(jax.dtypes.canonicalize_dtype(dtype)), np.shape(leaf)


def _loose_dtype(leaf: Leaf) -> str:
  """Returns the dtype under `jax.eval_shape`, where 64 bits may become 32."""
  if leaf.kind.startswith('key') or leaf.kind.endswith('jax'):
    return leaf.dtype
  return str(jax.dtypes.canonicalize_dtype(leaf.dtype))


def _describe(signature: tuple[str, tuple[int, ...]] | None) -> str:
  if signature is None:
    return 'absent'
  dtype, shape = signature
  return f'{dtype}{list(shape)}'
