"""Reads growing files incrementally."""

import os
import pathlib
import stat
from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

# Number of bytes before the offset that are compared, to notice a rewrite.
_SEAM = 256

_Row = TypeVar('_Row')


class New(NamedTuple):
  """New lines of a file since it was last read.

  Attributes:
    lines: Complete lines, without newlines.
    is_anew: Whether the file was replaced, truncated or deleted. If True,
      `lines` are all lines of the file.
  """

  lines: list[bytes]
  is_anew: bool


class Tail:
  """Reader of the new lines of a file that another process writes.

  A last line without a newline is left for later. A file that was replaced or
  became shorter is read from its beginning.
  """

  def __init__(self, path: pathlib.Path):
    """Reads nothing yet.

    Args:
      path: Path of the file, which may not exist yet.
    """
    self._path = path
    self._forget()

  def read(self) -> New:
    """Reads the new lines."""
    try:
      # Does not follow a link, which may lead anywhere, or block on a pipe.
      flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
      with os.fdopen(os.open(self._path, flags), 'rb') as file:
        return self._read_from(file)
    except OSError:
      is_anew = self._offset > 0
      self._forget()
      return New([], is_anew)

  def _read_from(self, file) -> New:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
      raise OSError('not a file')
    which = status.st_dev, status.st_ino
    is_anew = self._offset > 0 and not self._goes_on(file, which, status)
    if is_anew:
      self._forget()
    self._which = which
    file.seek(self._offset)
    content = file.read()
    end = content.rfind(b'\n') + 1
    self._offset += end
    self._seam = (self._seam + content[:end])[-_SEAM:]
    return New(content[:end].split(b'\n')[:-1], is_anew)

  def _goes_on(self, file, which, status) -> bool:
    """Tells whether the file still begins with the content read so far."""
    if which != self._which or status.st_size < self._offset:
      return False
    # Inode numbers of deleted files are reused, so content is compared too.
    file.seek(self._offset - len(self._seam))
    return file.read(len(self._seam)) == self._seam

  def _forget(self) -> None:
    self._offset, self._which, self._seam = 0, None, b''


class Place(NamedTuple):
  """Position of a reader in a `Series`."""

  generation: int = -1
  number: int = 0


class Series(Generic[_Row]):
  """Rows in the order of arrival, for readers that read incrementally.

  Rows have keys. A row replaces an earlier row with the same key, for readers
  too. After `clear`, all readers start over.
  """

  def __init__(self, *, most: int | None = None):
    """Begins empty.

    Args:
      most: Maximal number of rows; beyond it, the older half is dropped. If
        None, all rows are kept.
    """
    self._most = most
    self._generation = self._first = 0
    self._rows: list[_Row] = []
    self._keys: dict[Hashable, _Row] = {}

  def __contains__(self, key: Hashable) -> bool:
    return key in self._keys

  def __len__(self) -> int:
    return len(self._keys)

  def keys(self) -> set[Hashable]:
    """Returns the keys of the rows."""
    return set(self._keys)

  def values(self) -> list[_Row]:
    """Returns the newest row of each key."""
    return list(self._keys.values())

  def add(self, key: Hashable, row: _Row) -> None:
    """Adds a row, unless the same row is the newest of its key."""
    if self._keys.get(key) == row:
      return
    self._keys[key] = row
    self._rows.append(row)
    if self._most is not None and len(self._rows) > self._most:
      dropped = len(self._rows) - self._most // 2
      self._rows = self._rows[dropped:]
      self._first += dropped
      newest = list(self._keys.items())[-len(self._rows) :]
      self._keys = dict(newest)

  def clear(self) -> None:
    """Removes all rows."""
    self._generation += 1
    self._first, self._rows, self._keys = 0, [], {}

  def since(self, place: Place) -> tuple[bool, list[Any], Place]:
    """Returns the rows that a reader does not have yet.

    Args:
      place: Place that the last call returned; `Place()` at first.

    Returns:
      Whether the reader must discard its rows, the new rows, and the new place.
    """
    is_anew = place.generation != self._generation
    begin = 0 if is_anew else max(0, place.number - self._first)
    reached = Place(self._generation, self._first + len(self._rows))
    return is_anew, self._rows[begin:], reached
