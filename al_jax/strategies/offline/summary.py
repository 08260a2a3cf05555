"""Summarises in one pass an array that stays on the host."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax.kernels import _host_rows

# Rows in [0, 1] whose sums are this close to 1 are probabilities; those of
# bfloat16 are off by up to 2 ** -9.
TOLERANCE = 5e-3


class Summary(NamedTuple):
  """Statistics of an array [N, ..., C], taken as float32.

  Attributes:
    is_finite: whether all numbers are finite.
    lowest: smallest number.
    highest: largest number.
    length: length of the mean over N.
    spread: root mean squared distance from that mean; 0 if all rows are equal.
    sums_to_1: whether every last axis sums to 1.
    uniform: whether all numbers are 1 / C.
  """

  is_finite: bool
  lowest: float
  highest: float
  length: float
  spread: float
  sums_to_1: bool
  uniform: bool


class _Part(NamedTuple):
  """Statistics of some rows, see `Summary`, with sums relative to an origin."""

  is_finite: np.ndarray
  lowest: np.ndarray
  highest: np.ndarray
  total: np.ndarray
  squares: np.ndarray
  sums_to_1: np.ndarray
  uniform: np.ndarray


def of(array: np.ndarray) -> Summary:
  """Summarises an array, reading it once and in parts.

  Args:
    array: numbers [N, ...], for example a memory-mapped file.
  """
  # Differences from a row are exact if the rows are close to each other.
  origin = np.asarray(array[0]).astype(np.float32)
  parts = [
    jax.tree.map(np.asarray, _of_part(rows, origin))
    for _, (rows,) in _host_rows.HostRows(array).parts()
  ]
  found = _Part(*(np.stack(of_parts) for of_parts in zip(*parts, strict=True)))
  shift = np.sum(found.total, axis=0, dtype=np.float64) / len(array)
  mean_square = np.sum(found.squares, dtype=np.float64) / len(array)
  return Summary(
    bool(np.all(found.is_finite)),
    float(np.min(found.lowest)),
    float(np.max(found.highest)),
    length=float(np.sum((origin + shift) ** 2) ** 0.5),
    spread=float(max(0.0, mean_square - np.sum(shift**2)) ** 0.5),
    sums_to_1=bool(np.all(found.sums_to_1)),
    uniform=bool(np.all(found.uniform)),
  )


def first_not_finite(array: np.ndarray) -> tuple[int, ...]:
  """Finds the first number that is not finite as float32; one must exist."""
  for start, (rows,) in _host_rows.HostRows(array).parts():
    with np.errstate(over='ignore'):
      bad = ~np.isfinite(rows.astype(np.float32))
    if bad.any():
      row, *rest = np.unravel_index(np.argmax(bad), bad.shape)
      return start + row, *rest
  raise ValueError('all numbers are finite')


@jax.jit
def _of_part(rows, origin):
  rows = rows.astype(jnp.float32)
  return _Part(
    jnp.all(jnp.isfinite(rows)),
    jnp.min(rows),
    jnp.max(rows),
    jnp.sum(rows - origin[None], axis=0),
    jnp.sum(jnp.square(rows - origin[None])),
    jnp.all(jnp.abs(jnp.sum(rows, axis=-1) - 1) < TOLERANCE),
    jnp.all(jnp.abs(rows - 1 / rows.shape[-1]) <= TOLERANCE),
  )
