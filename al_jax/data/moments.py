"""Mean and variance of inputs, and the constants for normalisation."""

from typing import Any, NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data import named

# A block of this many bytes in float64 stays in the processor's cache.
_BLOCK_BYTES = 1 << 22

NORMALIZATIONS = ('channel', 'feature', 'none')


class Moments(NamedTuple):
  """Moments of every element of an example, over all examples.

  Attributes:
    mean: float64, shape of one example.
    variance: population variance, float64, shape of one example.
  """

  mean: np.ndarray
  variance: np.ndarray


def moments(
  inputs: np.ndarray, *, present: np.ndarray | None = None
) -> Moments:
  """Computes mean and variance over the leading axis, block by block.

  Args:
    inputs: [N, ...], maybe memory-mapped.
    present: mask of the examples to use, bool[N], with at least one True. If
      None, all are used.

  Returns:
    Moments of shape [...].
  """
  per_block = max(1, _BLOCK_BYTES // (8 * max(1, inputs[0].size)))
  # Sums of squares cancel if the mean is far from zero, so we subtract the
  # first example, which is close enough to the mean.
  first, number = 0, len(inputs)
  if present is not None:
    first, number = int(np.argmax(present)), np.count_nonzero(present)
  shift = np.asarray(inputs[first], np.float64)
  total = np.zeros_like(shift)
  total_squares = np.zeros_like(shift)
  for begin in range(0, len(inputs), per_block):
    block = inputs[begin : begin + per_block]
    if present is not None:
      block = block[present[begin : begin + per_block]]
    block = block - shift
    total += block.sum(axis=0)
    total_squares += np.einsum('n...,n...->...', block, block)
  mean = total / number
  variance = np.maximum(total_squares / number - mean**2, 0.0)
  return Moments(mean + shift, variance)


def constants(
  of_train: Moments, normalize: str
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the constants of the normalisation `(x - mean) / std`.

  Args:
    of_train: moments of the training inputs, of shape [..., D].
    normalize: `'channel'` pools over all axes but the last: the channels of
      pictures, the columns of a table. `'feature'` does not pool. `'none'`
      leaves the inputs as they are.

  Returns:
    float32 mean and std, of shape [D], or [..., D] for `'feature'`. std is 1
    for constant elements.
  """
  mean, variance = of_train
  if normalize == 'none':
    return np.zeros(mean.shape[-1:], np.float32), np.ones(
      mean.shape[-1:], np.float32
    )
  if normalize == 'channel':
    axes = tuple(range(mean.ndim - 1))
    pooled = mean.mean(axis=axes)
    variance = (variance + (mean - pooled) ** 2).mean(axis=axes)
    mean = pooled
  elif normalize != 'feature':
    raise errors.unknown_name('normalize', normalize, NORMALIZATIONS)
  std = np.sqrt(variance).astype(np.float32)
  return mean.astype(np.float32), np.where(std > 0, std, np.float32(1))


def moments_of(inputs: Any) -> Any:
  """Computes moments of an array, or per modality over examples that have it.

  Args:
    inputs: one array or a dict of them.

  Returns:
    Moments, or a dict of them.
  """
  return named.mapped(
    lambda name, part: moments(part, present=named.present(inputs, name)),
    inputs,
  )


def constants_of(of_train: Any, normalize: str) -> tuple[Any, Any]:
  """Returns normalisation constants for an array or for each modality.

  Args:
    of_train: result of `moments_of`.
    normalize: see `constants`; companion arrays (see `named`) are not changed.

  Returns:
    float32 mean and std, or a dict for each of the two.
  """
  pairs = named.mapped(
    lambda name, found: constants(
      found, 'none' if named.says_who_has(name) else normalize
    ),
    of_train,
  )
  mean, std = (
    named.mapped(lambda _, pair, which=which: pair[which], pairs)
    for which in (0, 1)
  )
  return mean, std
