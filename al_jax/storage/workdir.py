"""The folder of a run: made, marked and locked before any work is done.

A marker tells a folder of ours from anybody else's, so that nothing foreign is
ever written over or cleared away. The lock is the kernel's: it ends with the
process that holds it, however that ends, and a second process learns whose the
folder is.
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

# What al_jax writes into a workdir, and all that `overwrite` takes away.
OUTPUTS = (
  'checkpoints',
  'curves.png',
  'diagnostics.json',
  'floors.json',  # of older versions
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
# Whoever asks `is_in_use` has the lock for some microseconds.
_TRIES, _SECONDS_BETWEEN_TRIES = 4, 0.02
# As the values of a grid, joined by hyphens; no path leads out by such a name.
_NAME = re.compile(r'\w[\w.+-]*')


class WorkdirError(OSError):
  """The folder cannot be used; the message says why."""


class InUseError(WorkdirError):
  """Another process has the folder; the message says which."""


def below(folder: pathlib.Path, *names: str) -> pathlib.Path:
  """Joins names to a folder; refuses what could lead out of it.

  Every name that is read from a file goes through here: whoever wrote the file
  must not choose what is written, or deleted, elsewhere.

  Args:
    folder: the folder, which may itself be a link.
    *names: of a folder below it, of one below that, and so on.

  Returns:
    The path, which need not be there.

  Raises:
    WorkdirError: a name is not of letters, digits, underscores, points, plus
      signs and hyphens, or one of the folders is a link.
  """
  path = folder
  for name in names:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
      raise WorkdirError(
        f'{name!r} names no folder below {folder}; such a name is of letters, '
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
  """Raises WorkdirError unless a part of a run is a file or a folder."""
  if path.is_symlink():
    raise WorkdirError(
      f'{path} is a link, and al_jax reads and writes nothing outside of the '
      'workdir; put what it leads to in its place, or delete it.'
    )
  if path.exists() and not (path.is_file() or path.is_dir()):
    # To open a pipe would wait for ever.
    raise WorkdirError(f'{path} is neither a file nor a folder; delete it.')


def is_in_use(folder: pathlib.Path) -> bool:
  """Tells whether a process works in a folder; never waits and writes nothing.

  Args:
    folder: the folder of a run, which need not be there.
  """
  try:
    lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW)
  except OSError:
    return False
  try:
    # Shared, so that two who ask at once do not take each other for a run.
    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except OSError as error:
    return isinstance(error, BlockingIOError)
  finally:
    os.close(lock)
  return False


class Workdir:
  """A folder that is this process's alone; a context manager.

  Attributes:
    path: the folder, absolute.
  """

  def __init__(self, path: str | os.PathLike):
    """Makes the folder if it is absent, locks it, and marks it as ours.

    Args:
      path: of the folder: absent, empty, or made by al_jax earlier.

    Raises:
      WorkdirError: it cannot be written to, belongs to something else, has a
        link among its outputs, or is in use by another process, which the
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
    """Removes what an earlier run wrote, `OUTPUTS`, and nothing else."""
    # First what says of the others what they are: should this be cut short,
    # what is left is not taken for a run.
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
    """Raises WorkdirError unless as many bytes are free in the folder."""
    free = shutil.disk_usage(self.path).free
    if free < num_bytes:
      raise WorkdirError(
        f'{self.path} has no space left for this run: it may need '
        f'{num_bytes / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free.'
      )

  def close(self) -> None:
    """Gives the lock back."""
    # The file stays: were it removed, two processes could lock two of them.
    if self._lock is not None:
      os.close(self._lock)
      self._lock = None

  def __enter__(self) -> 'Workdir':
    return self

  def __exit__(self, error_type, error, traceback) -> None:
    self.close()

  def _refuse_foreign(self) -> None:
    """A marker, or nothing but what a process killed while marking leaves."""
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
        f'{self.path / _LOCK} is another name of some other file (a hard '
        'link), which would be written over; delete it.'
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
    """Who holds the lock, in words."""
    try:
      holder = json.loads((self.path / _LOCK).read_text(encoding='utf-8'))
      return (
        f'process {holder["pid"]} on {holder["host"]}, started '
        f'{holder["since"]}'
      )
    except (OSError, ValueError, KeyError):
      # It has the lock and has not yet written its name.
      return 'another process that has just started'

  def _mark(self) -> None:
    """Writes the marker of a new folder; an old one is left as it is."""
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
    """Turns an error of the file system into one that names the folder."""
    try:
      yield
    except WorkdirError:
      raise
    except OSError as error:
      raise WorkdirError(
        f'{self.path} {what}: {error.strerror or error}.'
      ) from error


def _lock_soon(descriptor: int) -> None:
  """Locks a file; BlockingIOError if another process keeps the lock."""
  for left in reversed(range(_TRIES)):
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      return
    except BlockingIOError:
      if not left:
        raise
      time.sleep(_SECONDS_BETWEEN_TRIES)
