"""Rejects embeddings whose distances float32 cannot tell apart."""

import numpy as np

from al_jax import sources
from al_jax.strategies.offline.summary import Summary

# Sums of squares of numbers outside these bounds over- or underflow float32.
_MOST, _LEAST = 1e15, 1e-15
# Largest ratio of the squared length of the mean to the mean squared distance
# from it. A ratio of 10^d costs squared distances d of float32's 7 digits.
_FARTHEST = 1e4
# Numbers per block.
_BLOCK = 1 << 20


def check(embeddings: sources.Array) -> None:
  """Rejects embeddings that are too large, too small, or too far from 0.

  Args:
    embeddings: float32[N, D], finite. All may be equal.

  Raises:
    ValueError: If they are; with the offending numbers and the remedy.
  """
  view, xp = sources.viewed(embeddings)
  _check_size(max(abs(float(xp.min(view))), abs(float(xp.max(view)))))
  if _is_clearly_near(view, xp):
    return
  _check_place(*_length_and_spread(view, xp))


def check_on_host(summary: Summary) -> None:
  """Does the same for embeddings that stay on the host."""
  _check_size(max(abs(summary.lowest), abs(summary.highest)))
  _check_place(summary.length, summary.spread)


def _check_size(largest):
  if largest > _MOST or 0 < largest < _LEAST:
    raise ValueError(
      f'embeddings have {largest:.3g} as their largest absolute value, and '
      f'float32 cannot hold its square; scale them: it must be 0, or from '
      f'{_LEAST:g} to {_MOST:g}.'
    )


def _check_place(length, spread):
  if length**2 > _FARTHEST * spread**2 > 0:
    raise ValueError(
      f'embeddings lie far from 0: their mean has length {length:.3g}, their '
      f'spread is {spread:.3g}, and float32 distances lose their digits; pass '
      'embeddings - embeddings.mean(axis=0).'
    )


def _is_clearly_near(view, xp):
  """Checks in float32 that the spread is a tenth of the length or more.

  Most embeddings pass, and exact moments take as long as BADGE.
  """
  squared_length = float(xp.sum(xp.mean(view, axis=0) ** 2))
  mean_square = float(xp.vdot(view, view)) / len(view)
  return np.isfinite(mean_square) and squared_length < 0.99 * mean_square


def _length_and_spread(view, xp):
  """Returns the length of the mean and the root mean squared distance to it."""
  # An accelerator has no float64, but has memory for a copy.
  dtype, columns = np.float32, view.shape[1]
  if xp is np:
    dtype, columns = np.float64, max(1, _BLOCK // len(view))
  squared_length = squared_spread = 0.0
  for start in range(0, view.shape[1], columns):
    block = view[:, start : start + columns]
    # Exact for numbers close to each other: 0 if all points are equal.
    shifted = block - block[:1]
    mean = block[0] + xp.mean(shifted, axis=0, dtype=dtype)
    squared_length += float(xp.sum(mean**2))
    squared_spread += float(xp.sum(xp.var(shifted, axis=0, dtype=dtype)))
  return squared_length**0.5, squared_spread**0.5
