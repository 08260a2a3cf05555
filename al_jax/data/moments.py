"""Mean and variance of the inputs, and the constants that normalise them."""

from typing import Any, NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data import named

# A block of this many bytes in float64 stays in the processor's cache.
_BLOCK_BYTES = 1 << 22

NORMALIZATIONS = ('channel', 'feature', 'none')


class Moments(NamedTuple):
  """Of every element of an example, over all examples.

  Attributes:
    mean: float64, shape of one example.
    variance: float64, likewise; of the population.
  """

  mean: np.ndarray
  variance: np.ndarray


def moments(
  inputs: np.ndarray, *, present: np.ndarray | None = None
) -> Moments:
  """Mean and variance over the leading axis, block by block.

  Args:
    inputs: [N, ...], maybe memory-mapped.
    present: bool[N], the examples to look at, one or more; None: all.

  Returns:
    Moments of shape [...].
  """
  per_block = max(1, _BLOCK_BYTES // (8 * max(1, inputs[0].size)))
  # Sums of squares cancel where the mean is far from zero; an example is near
  # enough to it.
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
  """What normalises one example: `(x - mean) / std`.

  Args:
    of_train: moments of the training inputs, of shape [..., D].
    normalize: `'channel'` pools over all axes but the last: the channels of
      pictures, the columns of a table. `'feature'` pools over nothing.
      `'none'` leaves the inputs as they are.

  Returns:
    float32 mean and std, of shape [D], or [..., D] for `'feature'`. Where
    nothing varies std is 1.
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
  """Moments of one array, or of each modality over the examples that have it.

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
  """What normalises one example, of whatever form.

  Args:
    of_train: from `moments_of`.
    normalize: see `constants`; what says who has a modality stays as it is.

  Returns:
    float32 mean and std, or a dict of each.
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
