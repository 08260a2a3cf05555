"""Writes live.jsonl, the progress that a watcher reads while a run trains."""

import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from absl import logging

from al_jax import errors, files, loop
from al_jax.loop.events import RoundProgress

NAME = 'live.jsonl'
# At this many lines the file is cut to its newer half.
_MOST_LINES = 4000


class LiveFile:
  """An observer that appends the progress of a run to a file.

  It writes a line when the experiment begins, about once a second for each seed
  that trains, and when the experiment ends. A killed process writes no last
  line. A resumed run appends to the same file, which never has more than a few
  thousand lines.
  """

  def __init__(self, path: pathlib.Path):
    """Writes nothing yet.

    Args:
      path: path of the file.
    """
    self._path = path
    self._lines: int | None = None

  def begin(self, *, num_finished: int) -> None:
    """Writes that a process begins or resumes the experiment.

    Args:
      num_finished: number of rounds that earlier processes finished.
    """
    self._write('begin', {'num_finished': num_finished})

  def on_progress(self, progress: RoundProgress) -> None:
    """Writes the progress of a round's training."""
    self._write('progress', progress._asdict())

  def end(
    self, error_type: type[BaseException] | None, error: BaseException | None
  ) -> None:
    """Writes how the experiment ended.

    Args:
      error_type: type of the exception that ended it. If None, it finished.
      error: the exception, if there is one.
    """
    how, message = 'finished', ''
    if error_type is not None:
      how = 'interrupted'
      if not issubclass(error_type, loop.Interrupted | KeyboardInterrupt):
        told = '' if error is None else errors.in_one_line(error)
        how, message = 'failed', f'{error_type.__name__}: {told}'
    self._write('ended', {'how': how, 'message': message})

  def _write(self, event: str, values: Mapping[str, Any]) -> None:
    """Appends a line; an error of the disk must not end a run."""
    line = {'event': event, 'time': round(time.time(), 3), **values}
    try:
      if self._lines is None or self._lines >= _MOST_LINES:
        self._lines = _cut(self._path)
      files.append_line(self._path, json.dumps(files.json_value(line)))
      self._lines += 1
    except OSError as error:
      logging.warning('Watchers will miss a line: %s', errors.clause(error))


def _cut(path: pathlib.Path) -> int:
  """Keeps the newest whole lines, at most half of the maximum.

  Args:
    path: path of the file, which may not exist.

  Returns:
    The number of remaining lines.
  """
  if not path.exists():
    return 0
  lines = path.read_bytes().splitlines(keepends=True)
  # The last line of a killed process may be cut short.
  kept = [line for line in lines if line.endswith(b'\n')]
  if len(kept) > _MOST_LINES // 2:
    kept = kept[-(_MOST_LINES // 2) :]
  if len(kept) < len(lines):
    with files.replacing(path) as partial:
      partial.write_bytes(b''.join(kept))
  return len(kept)
