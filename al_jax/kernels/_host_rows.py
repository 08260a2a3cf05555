"""Arrays on the host, read in parts or row by row."""

import concurrent.futures
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

# Bytes per read: a compromise between the number of calls and memory.
BYTES_AT_ONCE = 2**26

Rows = tuple[np.ndarray, ...]


class HostRows:
  """Arrays with a common first axis, such as memory-mapped files.

  Args:
    *arrays: One or more arrays [N, ...]. Any object with a shape and a dtype
      that returns NumPy arrays for a slice and for an array of positions.
    bytes_at_once: Size of a part. If None, `BYTES_AT_ONCE`.
  """

  def __init__(self, *arrays: Any, bytes_at_once: int | None = None):
    lengths = {array.shape[0] for array in arrays}
    if len(lengths) != 1:
      raise ValueError(
        f'arrays have {sorted(lengths)} rows; there must be at least one '
        'array, and all must have the same number of rows.'
      )
    (self.num_points,) = lengths
    self._arrays = arrays
    self._bytes_at_once = bytes_at_once or BYTES_AT_ONCE

  def forms(self, num_rows: int) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Returns the shapes and dtypes of `num_rows` rows on the device."""
    return tuple(
      jax.ShapeDtypeStruct(
        (num_rows, *array.shape[1:]),
        jax.dtypes.canonicalize_dtype(array.dtype),
      )
      for array in self._arrays
    )

  def rows(self, indices: np.ndarray) -> Rows:
    """Reads the rows of each array at given positions."""
    return tuple(np.asarray(array[indices]) for array in self._arrays)

  def parts(self, tile: int = 1) -> Iterator[tuple[int, Rows]]:
    """Reads all rows once, in order, and reads one part ahead.

    Args:
      tile: Divisor of the number of rows of every part but the last. The last
        part has at least `tile` rows, unless there are fewer in all.

    Yields:
      The position of the first row of a part, and the rows of each array.
    """
    spans = self._spans(tile)
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as reader:
      ahead = [reader.submit(self._read, *span) for span in spans[:1]]
      for number, (start, _) in enumerate(spans):
        rows = ahead.pop().result()
        following = spans[number + 1 : number + 2]
        ahead = [reader.submit(self._read, *span) for span in following]
        yield start, rows

  def part_of(self, position: int, tile: int = 1) -> tuple[int, Rows]:
    """Reads the part of `parts` that contains a position."""
    span = next(span for span in self._spans(tile) if position < span[1])
    return span[0], self._read(*span)

  def _spans(self, tile):
    """Returns the first position and the end of each part."""
    row_bytes = sum(form.size * form.dtype.itemsize for form in self.forms(1))
    size = max(1, self._bytes_at_once // max(1, row_bytes) // tile) * tile
    starts = [*range(0, self.num_points, size)]
    if len(starts) > 1 and self.num_points - starts[-1] < tile:
      starts.pop()
    return [*zip(starts, [*starts[1:], self.num_points], strict=True)]

  def _read(self, start, stop):
    # Copied, so that the rows are read now and not when the device needs them.
    return tuple(np.array(array[start:stop]) for array in self._arrays)
