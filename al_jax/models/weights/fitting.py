"""Published weights, fitted to the networks here, tensor by tensor."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from al_jax.interfaces import PyTree
from al_jax.models import common
from al_jax.models.backbones.table import Architecture

# Of a layer with statistics, the published names of its tensors.
_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# A count that only PyTorch's training reads.
_COUNT = 'num_batches_tracked'
# Names in a message.
_SHOWN = 3


class Fitted(NamedTuple):
  """Variables with published weights.

  Attributes:
    variables: of a model, without its head unless that is published too.
    used: names of the tensors that they are of.
    left_out: names of the others: of the published head, and what the network
      goes without.
  """

  variables: PyTree
  used: tuple[str, ...]
  left_out: tuple[str, ...]

  @property
  def summary(self) -> str:
    """Says what was left out; counts that only PyTorch reads go unsaid."""
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
    shapes: of the variables of the model, as `backbones.Backbone` has them.
    tensors: by their published names, in PyTorch's order of axes.
    architecture: with the published names.
    called: the name of the architecture, for messages.
    where: the file, for messages.
    keep_head: whether the head is the published one.

  Returns:
    Fitted.

  Raises:
    ValueError: a tensor that is missing, has another shape, or that nothing
      reads; all are counted, and the first are named.
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
  """Refuses a published head of other classes."""
  bias = f'{architecture.head}.bias'
  for name, tensor in tensors.items():
    own = _own_name(name, architecture)
    if own == bias and bias in wanted and tensor.shape != wanted[bias][1]:
      raise ValueError(
        f'keep_head is True, and the head of {where} has {len(tensor)} '
        f'classes; the task has {wanted[bias][1][0]}: leave it out.'
      )


def _check_numbers(where, name, tensor):
  """Refuses weights that no network could use."""
  if tensor.dtype.kind != 'f':
    raise ValueError(
      f'{where}: {name!r} has the dtype {tensor.dtype}; weights must be floats.'
    )
  if not np.all(np.isfinite(tensor)):
    raise ValueError(f'{where}: {name!r} has a value that is not finite.')


def _wanted(shapes, architecture, keep_head):
  """By published name, the path of each leaf, and its shape."""
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
  """The name of a published tensor here; None if the network goes without."""
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
  """The axes of a kernel as Flax has them."""
  if leaf != 'kernel':
    return tensor
  if tensor.ndim == 4 and rank == 2:
    # A dense layer that is published as a convolution.
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
