"""Writes and reads the weights of a model as a .safetensors file."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, files
from al_jax.interfaces import PyTree
from al_jax.models.weights import files as weight_files

# Number of names that a message lists.
_SHOWN = 3


def flat(variables: PyTree) -> dict[str, np.ndarray]:
  """Returns the leaves of a tree on the host, by name.

  Args:
    variables: Pytree of arrays, such as `{'params': {'head': {'bias': ...}}}`.

  Returns:
    Arrays by path, such as `'params/head/bias'`; dtypes are kept.

  Raises:
    ValueError: If a leaf is a random key, or two leaves have the same name.
  """
  found = {}
  for name, leaf in _named(variables):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      raise ValueError(
        f'the weight {name!r} is a random key; weights must be numbers.'
      )
    found[name] = np.asarray(leaf)
  return found


def write(path: files.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes arrays by name, replacing the file atomically.

  Args:
    path: Path of the file.
    arrays: Arrays by name, of any dtype that the format has.
  """
  with errors.needs('a .safetensors file'):
    import safetensors.numpy
  # safetensors takes only contiguous arrays. `np.array` keeps scalars scalar.
  whole = {name: np.array(each, order='C') for name, each in arrays.items()}
  with files.replacing(path) as partial:
    try:
      # `save_file` would create a file that other users cannot read.
      partial.write_bytes(safetensors.numpy.save(whole))
    except safetensors.SafetensorError as error:
      raise ValueError(
        f'{path} cannot hold these weights: {errors.clause(error)}.'
      ) from error


def read(path: pathlib.Path, shapes: PyTree) -> PyTree:
  """Reads the weights of a model.

  Args:
    path: Path of a file from `write`.
    shapes: Shapes and dtypes of the variables of the model.

  Returns:
    The variables, as JAX arrays.

  Raises:
    ValueError: If the file is damaged, or of another model.
  """
  tensors = weight_files.read_safetensors(path)
  wanted = _named(shapes)
  names = {name for name, _ in wanted}
  problems = {
    'missing': sorted(names - set(tensors)),
    'unknown': sorted(set(tensors) - names),
    'of another shape or dtype': [
      f'{name} {_described(tensors[name])} for {_described(leaf)}'
      for name, leaf in wanted
      if name in tensors and _described(tensors[name]) != _described(leaf)
    ],
  }
  said = [
    f'{len(found)} {what} ({_listed(found)})'
    for what, found in problems.items()
    if found
  ]
  if said:
    raise ValueError(
      f'{path} does not hold the weights of the model that config.json '
      f'describes: of {len(wanted)} tensors {"; ".join(said)}.'
    )
  leaves = [jnp.asarray(tensors[name]) for name, _ in wanted]
  return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _named(tree: PyTree) -> list[tuple[str, Any]]:
  """Lists names and leaves, in the order of the tree."""
  found = [
    ('/'.join(map(_key, path)), leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  ]
  names = [name for name, _ in found]
  if len(set(names)) < len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f'two weights have the name {twice!r}; rename a layer.')
  return found


def _key(entry: Any) -> str:
  """Returns a step of a path: the key of a dict, a field, or a position."""
  for kind in ('key', 'name', 'idx'):
    if hasattr(entry, kind):
      return str(getattr(entry, kind))
  return str(entry)


def _described(array: Any) -> str:
  return f'{array.dtype}{list(array.shape)}'


def _listed(names):
  more = f', and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
  return ', '.join(names[:_SHOWN]) + more
