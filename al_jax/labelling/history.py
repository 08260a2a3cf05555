"""What happened to a labelling project: a file that is only ever added to.

Each event is a line of JSON, written whole and forced to disk before anybody
is told that it happened. A line that a killed process left without its end was
never confirmed: it is not read, and the next event takes its place.
"""

import datetime
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from al_jax import files

NAME = 'history.jsonl'
# The events there are.
BEGUN = 'begun'
ASKED = 'asked'
TOLD = 'told'
WITHDRAWN = 'withdrawn'
GIVEN_UP = 'given_up'


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Reads all events of a project, in order.

  Args:
    folder: of the project.

  Returns:
    The events; none if the project has not begun.

  Raises:
    ValueError: a line that is no event, with its number.
  """
  path = folder / NAME
  if not path.exists():
    return []
  content = path.read_bytes()
  whole = content[: content.rfind(b'\n') + 1]
  events = []
  for number, line in enumerate(whole.splitlines(), start=1):
    try:
      event = json.loads(line)
      event['event'], event['at']
    except (ValueError, KeyError, TypeError) as error:
      raise ValueError(
        f'{path}, line {number}, is no event of a labelling project: the file '
        'was changed by something else. Restore it from a backup, or delete '
        'the line to lose what it said.'
      ) from error
    events.append(event)
  return events


def append(folder: pathlib.Path, event: str, said: Mapping[str, Any]) -> None:
  """Adds an event, and returns when it is on disk.

  The caller holds the lock of the project.

  Args:
    folder: of the project.
    event: what happened.
    said: more of it, in terms of JSON.
  """
  path = folder / NAME
  is_new = not path.exists()
  now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
  line = json.dumps(files.json_value({'event': event, 'at': now, **said}))
  with open(path, 'ab', buffering=0) as file:
    _cut_unfinished(path, file)
    files.append_line(path, line)
    os.fsync(file.fileno())
  if is_new:
    _force(folder)


def _cut_unfinished(path, file):
  """Takes away what comes after the last whole line."""
  content = path.read_bytes()
  whole = content.rfind(b'\n') + 1
  if whole < len(content):
    file.truncate(whole)


def _force(folder):
  """Has the name of a new file on disk, too."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
