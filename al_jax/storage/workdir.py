"""The folder of a run: made, marked and locked before any work is done.

A marker identifies the folders that al_jax made, so that files of others are
never overwritten or removed. The operating system holds the lock: it is
released when its process ends, however that happens. A second process gets an
error that names the first.
"""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import time
from collections.abc import Iterator

import al_jax
from al_jax import files

# Everything that al_jax writes into a workdir and that `overwrite` removes.
OUTPUTS = (
  'checkpoints',
  'curves.png',
  'diagnostics.json',
  'floors.json',  # Written by older versions.
  'full_labels.jsonl',
  'gallery_*.png',
  'live.jsonl',
  'manifest.json',
  'pictures',
  'pretraining.jsonl',
  'queries.jsonl',
  'records.csv',
  'records.jsonl',
  'report',
  'report.html',
  'summary.txt',
  'tensorboard',
)

_MARKER = '.al_jax.json'
_LOCK = '.lock'
# A call of `is_in_use` holds the lock for some microseconds.
_TRIES, _SECONDS_BETWEEN_TRIES = 4, 0.02
# Matches the values of a grid joined by hyphens; such a name cannot leave the
# folder.
_NAME = re.compile(r'\w[\w.+-]*')


class WorkdirError(OSError):
  """The folder cannot be used; the message gives the reason."""


class InUseError(WorkdirError):
  """Another process uses the folder; the message names it."""


def below(folder: pathlib.Path, *names: str) -> pathlib.Path:
  """Joins names to a folder, if the path cannot leave it.

  Every name that is read from a file must go through here, so that the author
  of the file cannot make al_jax write or delete files elsewhere.

  Args:
    folder: the folder, which may itself be a link.
    *names: name of a folder in it, name of one in that, and so on.

  Returns:
    The path, which need not exist.

  Raises:
    WorkdirError: a name has characters other than letters, digits,
      underscores, points, plus signs and hyphens, or a folder is a link.
  """
  path = folder
  for name in names:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
      raise WorkdirError(
        f'{name!r} names no folder below {folder}; a name has only letters, '
        'digits, underscores, points, plus signs and hyphens, and begins with '
        'one of the first three.'
      )
    path = path / name
    refuse_link(path)
  return path


def refuse_links(folder: pathlib.Path) -> None:
  """Raises WorkdirError if one of the `OUTPUTS` is a link or a pipe."""
  for output in OUTPUTS:
    for path in folder.glob(output):
      refuse_link(path)


def refuse_link(path: pathlib.Path) -> None:
  """Raises WorkdirError unless a path is a file, a folder or absent."""
  if path.is_symlink():
    raise WorkdirError(
      f'{path} is a link, and al_jax reads and writes nothing outside of the '
      'workdir; replace it by the file or folder it points to, or delete it.'
    )
  if path.exists() and not (path.is_file() or path.is_dir()):
    # Opening a pipe would block forever.
    raise WorkdirError(f'{path} is neither a file nor a folder; delete it.')


def is_in_use(folder: pathlib.Path) -> bool:
  """Returns whether a process uses a folder, without waiting or writing.

  Args:
    folder: the folder of a run, which need not exist.
  """
  try:
    lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW)
  except OSError:
    return False
  try:
    # Shared, so that two simultaneous calls do not mistake each other for a
    # run.
    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except OSError as error:
    return isinstance(error, BlockingIOError)
  finally:
    os.close(lock)
  return False


class Workdir:
  """Folder that only this process uses; a context manager.

  Attributes:
    path: the folder, absolute.
  """

  def __init__(self, path: str | os.PathLike):
    """Makes the folder if it is absent, locks it, and marks it as ours.

    Args:
      path: path of a folder that is absent, empty, or made by al_jax earlier.

    Raises:
      WorkdirError: the folder cannot be written to, was not made by al_jax, has
        a link among its outputs, or is in use by another process, which the
        message names.
    """
    if '\0' in os.fspath(path):
      raise WorkdirError(f'{path!r} names no folder: it has a NUL character.')
    self.path = pathlib.Path(path).absolute()
    with self._saying('cannot be made or written to'):
      self.path.mkdir(parents=True, exist_ok=True)
      self._refuse_foreign()
      refuse_links(self.path)
      self._lock = os.open(
        self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644
      )
    try:
      self._take_lock()
      self._mark()
    except BaseException:
      os.close(self._lock)
      raise

  def overwrite(self) -> None:
    """Removes the files of an earlier run, `OUTPUTS`, and nothing else."""
    # The manifest goes first: if this is interrupted, the remaining files are
    # not mistaken for a run.
    outputs = sorted(OUTPUTS, key=lambda output: output != 'manifest.json')
    with self._saying('cannot be cleared'):
      for output in outputs:
        for pattern in (output, output + '.partial'):
          for found in self.path.glob(pattern):
            if found.is_dir() and not found.is_symlink():
              shutil.rmtree(found)
            else:
              found.unlink()

  def require_space(self, num_bytes: int) -> None:
    """Raises WorkdirError unless `num_bytes` are free on the folder's disk."""
    free = shutil.disk_usage(self.path).free
    if free < num_bytes:
      raise WorkdirError(
        f'{self.path} has no space left for this run: it may need '
        f'{num_bytes / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free.'
      )

  def close(self) -> None:
    """Releases the lock; idempotent."""
    # The file stays. If it were removed, a second process could lock a new one
    # while a third still held the old one.
    if self._lock is not None:
      os.close(self._lock)
      self._lock = None

  def __enter__(self) -> 'Workdir':
    return self

  def __exit__(self, error_type, error, traceback) -> None:
    self.close()

  def _refuse_foreign(self) -> None:
    """Rejects a folder with files but without a marker.

    Files of a process that was killed before it wrote the marker are allowed.
    """
    names = {entry.name for entry in self.path.iterdir()}
    if _MARKER in names:
      return
    foreign = sorted(names - {_LOCK, _MARKER + '.partial'})
    if foreign:
      raise WorkdirError(
        f'{self.path} is not empty ({foreign[0]!r} is there) and was not made '
        'by al_jax; choose a folder that is absent or empty.'
      )

  def _take_lock(self) -> None:
    try:
      _lock_soon(self._lock)
    except BlockingIOError:
      raise InUseError(
        f'{self.path} is in use by {self._holder()}. Wait for it or end it, or '
        'choose another folder.'
      ) from None
    except OSError as error:
      raise WorkdirError(
        f'{self.path} cannot be locked: {error.strerror}. Choose a folder on a '
        'file system that has locks.'
      ) from error
    if os.fstat(self._lock).st_nlink > 1:
      raise WorkdirError(
        f'{self.path / _LOCK} is a hard link to another file, which would be '
        'overwritten; delete it.'
      )
    holder = {
      'pid': os.getpid(),
      'host': socket.gethostname(),
      'since': datetime.datetime.now(datetime.UTC).isoformat(
        timespec='seconds'
      ),
    }
    with self._saying('cannot be written to'):
      os.truncate(self._lock, 0)
      os.pwrite(self._lock, json.dumps(holder).encode(), 0)

  def _holder(self) -> str:
    """Describes the process that holds the lock."""
    try:
      holder = json.loads((self.path / _LOCK).read_text(encoding='utf-8'))
      return (
        f'process {holder["pid"]} on {holder["host"]}, started '
        f'{holder["since"]}'
      )
    except (OSError, ValueError, KeyError):
      # It holds the lock but has not written its name yet.
      return 'another process that has just started'

  def _mark(self) -> None:
    """Writes the marker into a new folder; keeps an existing one."""
    marker = self.path / _MARKER
    if marker.exists():
      return
    with self._saying('cannot be written to'), files.replacing(marker) as part:
      part.write_text(
        json.dumps({'made_by': 'al_jax', 'version': al_jax.__version__}),
        encoding='utf-8',
      )

  @contextlib.contextmanager
  def _saying(self, what: str) -> Iterator[None]:
    """Converts a file system error into one that names the folder."""
    try:
      yield
    except WorkdirError:
      raise
    except OSError as error:
      raise WorkdirError(
        f'{self.path} {what}: {error.strerror or error}.'
      ) from error


def _lock_soon(descriptor: int) -> None:
  """Locks a file; raises BlockingIOError if another process keeps the lock."""
  for left in reversed(range(_TRIES)):
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      return
    except BlockingIOError:
      if not left:
        raise
      time.sleep(_SECONDS_BETWEEN_TRIES)
