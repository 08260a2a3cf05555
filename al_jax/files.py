"""Files that no reader sees a part of, locks, and where a cache is kept."""

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
  """A path beside `path` to write to, which takes its place when all is well.

  Readers see the old file or the new one, never a part. The name of the
  temporary file is always the same: what a killed process leaves behind, the
  next write takes away.

  Args:
    path: the file to replace.

  Yields:
    The path to write to.
  """
  path = pathlib.Path(path)
  partial = path.with_name(path.name + '.partial')
  try:
    # Were it a link, writing would follow it.
    partial.unlink(missing_ok=True)
    yield partial
    os.replace(partial, path)
  except OSError as error:
    if error.filename is None:
      # As when the disk is full: which file it was, only we know.
      error.filename = str(path)
    raise
  finally:
    partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
  """Only one process at a time; the system undoes it if the process dies.

  Args:
    path: of what is locked, which need not be there: `.lock` is put after it,
      for as long as it is locked.
    waiting: logged if another process has it.

  Yields:
    Nothing.
  """
  lock = f'{path}.lock'
  descriptor = _lock(lock, waiting)
  try:
    yield
  finally:
    # While it is held: who waits for it sees that the file is gone.
    with contextlib.suppress(FileNotFoundError):
      os.unlink(lock)
    os.close(descriptor)


def _lock(path, waiting):
  """Opens and locks the file that has the path by then."""
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
  """The folder of all that is kept between runs.

  Args:
    cache_dir: this one; None: the environment variable AL_JAX_CACHE_DIR, or
      else `~/.cache/al_jax`.

  Returns:
    Its path; it need not be there.
  """
  root = cache_dir or os.environ.get(CACHE_VARIABLE) or _DEFAULT_CACHE
  return pathlib.Path(root).expanduser()


def slug(label: str) -> str:
  """The label as the beginning of a file's name."""
  return re.sub(r'[^\w.-]+', '-', label).strip('-')[:60]


def digest(value: Any) -> str:
  """32 hexadecimal digits of a value in terms of JSON; order does not count."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def checksum(path: Path) -> str:
  """Returns the SHA-256 of a file's content, in hexadecimal digits.

  Args:
    path: of the file.
  """
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def json_value(value: Any) -> Any:
  """The value with NaN and infinities as strings, which JSON has no word for.

  Args:
    value: nested dicts and lists of what JSON knows, and of floats.

  Returns:
    The same, with `'NaN'`, `'Infinity'` and `'-Infinity'`, which `float` reads.
  """
  if isinstance(value, dict):
    return {key: json_value(entry) for key, entry in value.items()}
  if isinstance(value, list):
    return [json_value(entry) for entry in value]
  if isinstance(value, float) and not math.isfinite(value):
    return json.dumps(value)
  return value


def append_line(path: Path, line: str) -> None:
  """Adds a line to a file: all of it, or nothing.

  Args:
    path: of the file, which need not be there.
    line: without its end.
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
