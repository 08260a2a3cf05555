"""Reads a manifest that may be absent or damaged, and may change."""

import pathlib
from typing import Any

from al_jax import errors
from al_jax.storage import manifest, workdir


class ManifestFile:
  """A manifest that is read again when it has changed.

  Attributes:
    problem: Reason why it cannot be read, in one line; '' if it can.
  """

  def __init__(self, path: pathlib.Path):
    """Reads nothing yet.

    Args:
      path: Path of the file, which may not exist yet.
    """
    self._path = path
    self._read: dict[str, Any] = {}
    self._signature = None
    self.problem = ''

  def read(self) -> dict[str, Any]:
    """Returns the manifest; empty if it is absent or cannot be read."""
    try:
      status = self._path.lstat()
    except OSError:
      signature = None
    else:
      signature = status.st_mtime_ns, status.st_size, status.st_ino
    if signature != self._signature:
      self._signature, self._read, self.problem = signature, {}, ''
      if signature is not None:
        try:
          workdir.refuse_link(self._path)
          self._read = manifest.read(self._path)
        except (OSError, ValueError, KeyError, TypeError) as error:
          self.problem = errors.in_one_line(error)
    return self._read
