"""Mean and variance of the inputs, and the constants that normalise them."""

from typing import NamedTuple

import numpy as np

from al_jax import errors

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


def moments(inputs: np.ndarray) -> Moments:
  """Mean and variance over the leading axis, block by block.

  Args:
    inputs: [N, ...], maybe memory-mapped.

  Returns:
    Moments of shape [...].
  """
  per_block = max(1, _BLOCK_BYTES // (8 * max(1, inputs[0].size)))
  # Sums of squares cancel where the mean is far from zero; an example is near
  # enough to it.
  shift = np.asarray(inputs[0], np.float64)
  total = np.zeros_like(shift)
  total_squares = np.zeros_like(shift)
  for begin in range(0, len(inputs), per_block):
    block = inputs[begin : begin + per_block] - shift
    total += block.sum(axis=0)
    total_squares += np.einsum('n...,n...->...', block, block)
  mean = total / len(inputs)
  variance = np.maximum(total_squares / len(inputs) - mean**2, 0.0)
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
