"""Atomic writes, locks, checksums, and the folder of the cache."""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from absl import logging

Path = str | os.PathLike[str]

CACHE_VARIABLE = 'AL_JAX_CACHE_DIR'
_DEFAULT_CACHE = '~/.cache/al_jax'


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[pathlib.Path]:
  """Yields a temporary path beside `path` and moves it there on success.

  Readers see the old file or the new one, never a part. The name of the
  temporary file is always the same, so that the next write removes the leftover
  of a killed process.

  Args:
    path: path of the file to replace.

  Yields:
    The path to write to.
  """
  path = pathlib.Path(path)
  partial = path.with_name(path.name + '.partial')
  try:
    # Writing would follow a link.
    partial.unlink(missing_ok=True)
    yield partial
    os.replace(partial, path)
  except OSError as error:
    if error.filename is None:
      # Some errors, such as a full disk, do not name the file.
      error.filename = str(path)
    raise
  finally:
    partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
  """Holds a lock between processes; the system releases it if one dies.

  Args:
    path: path to lock, which need not exist. The lock file has `.lock` appended
      and exists while the lock is held.
    waiting: message to log if another process holds the lock.

  Yields:
    Nothing.
  """
  lock = f'{path}.lock'
  descriptor = _lock(lock, waiting)
  try:
    yield
  finally:
    # Before the release, so that a waiting process sees that the file is gone.
    with contextlib.suppress(FileNotFoundError):
      os.unlink(lock)
    os.close(descriptor)


def _lock(path, waiting):
  """Opens and locks the file, again if it was replaced while waiting."""
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
      try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        logging.info('%s', waiting)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
      with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
          return descriptor
    except BaseException:
      os.close(descriptor)
      raise
    os.close(descriptor)


def cache_root(cache_dir: Path | None = None) -> pathlib.Path:
  """Returns the folder of the cache.

  Args:
    cache_dir: the folder. If None, the environment variable AL_JAX_CACHE_DIR
      gives it, or else it is `~/.cache/al_jax`.

  Returns:
    The path of the folder, which need not exist.
  """
  root = cache_dir or os.environ.get(CACHE_VARIABLE) or _DEFAULT_CACHE
  return pathlib.Path(root).expanduser()


def slug(label: str) -> str:
  """Converts a label to the beginning of a file name."""
  return re.sub(r'[^\w.-]+', '-', label).strip('-')[:60]


def digest(value: Any) -> str:
  """Hashes a JSON value to 32 hexadecimal digits, whatever the key order."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def checksum(path: Path) -> str:
  """Returns the SHA-256 of a file's content, in hexadecimal digits.

  Args:
    path: path of the file.
  """
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def json_value(value: Any) -> Any:
  """Replaces NaN and infinities by strings, because JSON has none of them.

  Args:
    value: nested dicts and lists of JSON values and any floats.

  Returns:
    The value with `'NaN'`, `'Infinity'` and `'-Infinity'`, which `float` reads.
  """
  if isinstance(value, dict):
    return {key: json_value(entry) for key, entry in value.items()}
  if isinstance(value, list):
    return [json_value(entry) for entry in value]
  if isinstance(value, float) and not math.isfinite(value):
    return json.dumps(value)
  return value


def append_line(path: Path, line: str) -> None:
  """Appends a line to a file, either whole or not at all.

  Args:
    path: path of the file, which need not exist.
    line: line without the line break.
  """
  content = (line + '\n').encode()
  with open(path, 'ab', buffering=0) as file:
    size = file.tell()
    try:
      written = file.write(content)
      if written < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    except OSError:
      file.truncate(size)
      raise
