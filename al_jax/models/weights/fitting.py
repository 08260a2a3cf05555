"""Fits published weights to the networks here, tensor by tensor."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from al_jax.interfaces import PyTree
from al_jax.models import common
from al_jax.models.backbones.table import Architecture

# Leaf of a layer -> published name of its tensor.
_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# A count that only training in PyTorch uses.
_COUNT = 'num_batches_tracked'
# Most names in a message.
_SHOWN = 3


class Fitted(NamedTuple):
  """Variables with published weights.

  Attributes:
    variables: variables of the model, with its head only if that is published.
    used: names of the tensors that became variables.
    left_out: names of the other tensors: those of an unused published head, and
      those that the network does not have.
  """

  variables: PyTree
  used: tuple[str, ...]
  left_out: tuple[str, ...]

  @property
  def summary(self) -> str:
    """Lists the tensors left out, except counts that only PyTorch uses."""
    return _listed([name for name in self.left_out if not _is_count(name)])


def fitted(
  shapes: PyTree,
  tensors: Mapping[str, np.ndarray],
  architecture: Architecture,
  *,
  called: str,
  where: str,
  keep_head: bool = False,
) -> Fitted:
  """Fits published weights to a network.

  Args:
    shapes: shapes of the variables of a `backbones.Backbone` model.
    tensors: tensors by their published names, with PyTorch's order of axes.
    architecture: architecture with the published names.
    called: name of the architecture, for messages.
    where: name of the file, for messages.
    keep_head: whether the head is the published one.

  Returns:
    The Fitted.

  Raises:
    ValueError: If a tensor is missing, unknown, or has another shape, with the
      number of such tensors and the first names; or if a tensor has values that
      are not finite floats.
  """
  wanted = _wanted(shapes, architecture, keep_head)
  if keep_head:
    _check_head(wanted, tensors, architecture, where)
  missing, unused, mismatched = dict(wanted), [], []
  found, used, left_out = {}, [], []
  for name, tensor in tensors.items():
    own = _own_name(name, architecture)
    if own is None or (not keep_head and _is_of(own, architecture.head)):
      left_out.append(name)
    elif own not in missing:
      unused.append(name)
    else:
      path, shape = missing.pop(own)
      _check_numbers(where, name, tensor)
      value = _in_our_order(tensor, path[-1], len(shape))
      if value.shape == tuple(shape):
        found[path] = np.asarray(value, np.float32)
        used.append(name)
      else:
        mismatched.append(f'{name} {_shape(value.shape)} for {_shape(shape)}')
  problems = (
    ('missing', list(missing)),
    ('unknown', unused),
    ('of another shape', mismatched),
  )
  if missing or unused or mismatched:
    said = '; '.join(
      f'{len(names)} {what} ({_listed(names)})'
      for what, names in problems
      if names
    )
    raise ValueError(
      f'{where} does not hold the weights of {called!r}: of {len(wanted)} '
      f'tensors {len(found)} fit, {said}.'
    )
  return Fitted(_nested(found), tuple(used), tuple(left_out))


def _check_head(wanted, tensors, architecture, where):
  """Rejects a published head with another number of classes."""
  bias = f'{architecture.head}.bias'
  for name, tensor in tensors.items():
    own = _own_name(name, architecture)
    if own == bias and bias in wanted and tensor.shape != wanted[bias][1]:
      raise ValueError(
        f'keep_head is True, but the head of {where} has {len(tensor)} '
        f'classes; the task has {wanted[bias][1][0]}: leave it out.'
      )


def _check_numbers(where, name, tensor):
  """Rejects weights that are not finite floats."""
  if tensor.dtype.kind != 'f':
    raise ValueError(
      f'{where}: {name!r} has the dtype {tensor.dtype}; weights must be floats.'
    )
  if not np.all(np.isfinite(tensor)):
    raise ValueError(f'{where}: {name!r} has a value that is not finite.')


def _wanted(shapes, architecture, keep_head):
  """Returns the path and the shape of each leaf, by published name."""
  wanted = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
    _, *layers, last = keys = tuple(entry.key for entry in path)
    if common.is_head(layers[0]):
      if not keep_head:
        continue
      layers = [architecture.head]
    else:
      layers = layers[1:]
    name = '.'.join([*layers, _LEAVES[last]])
    wanted[name] = keys, leaf.shape
  return wanted


def _own_name(name, architecture):
  """Returns a published tensor's name here; None if the network lacks it."""
  if _is_count(name):
    return None
  if any(re.search(pattern, name) for pattern in architecture.left_out):
    return None
  layer, _, leaf = name.rpartition('.')
  for pattern, replacement in architecture.renamed.items():
    layer = re.sub(pattern, replacement, layer)
  return f'{layer}.{leaf}'


def _is_count(name):
  return name.endswith(f'.{_COUNT}')


def _is_of(name, layer):
  return name.rpartition('.')[0] == layer


def _in_our_order(tensor, leaf, rank):
  """Transposes a kernel to Flax's order of axes."""
  if leaf != 'kernel':
    return tensor
  if tensor.ndim == 4 and rank == 2:
    # The published network has a convolution in place of this dense layer.
    tensor = tensor.reshape(len(tensor), -1)
  return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


def _nested(found):
  nested = {}
  for path, value in found.items():
    inner = nested
    for name in path[:-1]:
      inner = inner.setdefault(name, {})
    inner[path[-1]] = value
  return nested


def _listed(names):
  more = f', and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
  return ', '.join(names[:_SHOWN]) + more


def _shape(shape):
  return ' x '.join(map(str, shape)) or 'a number'
