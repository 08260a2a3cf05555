"""History of a labelling project: an append-only file of events.

Each event is a line of JSON, forced to disk before the call that adds it
returns. A line that a killed process left incomplete was never confirmed: it is
not read, and the next event replaces it.
"""

import datetime
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from al_jax import files
from al_jax.storage import workdir

NAME = 'history.jsonl'
BEGUN = 'begun'
ASKED = 'asked'
TOLD = 'told'
WITHDRAWN = 'withdrawn'
GIVEN_UP = 'given_up'
EVENTS = (BEGUN, ASKED, TOLD, WITHDRAWN, GIVEN_UP)


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Reads all events of a project, in order.

  Args:
    folder: Folder of the project.

  Returns:
    The events; empty if the project has not begun.

  Raises:
    ValueError: If a line is not a valid event; the message gives its number.
  """
  path = folder / NAME
  if not path.exists():
    return []
  content = path.read_bytes()
  whole = _whole(content)
  events = []
  for number, line in enumerate(content[:whole].splitlines(), start=1):
    event = _event(line)
    # The first event, and only the first, begins the project.
    if event is None or (event['event'] == BEGUN) != (number == 1):
      raise damaged(folder, number)
    events.append(event)
  return events


def damaged(folder: pathlib.Path, number: int) -> ValueError:
  """Returns an error about a damaged line of a history.

  Args:
    folder: Folder of the project.
    number: Number of the line, from 1.
  """
  return ValueError(
    f'{folder / NAME}, line {number}, is not an event of a labelling project: '
    'another program changed the file. Restore it from a backup, or delete the '
    'line and lose its event.'
  )


def _event(line):
  """Parses an event; None if the line is not one."""
  try:
    event = json.loads(line)
  except (ValueError, RecursionError):
    return None
  is_known = isinstance(event, dict) and event.get('event') in EVENTS
  return event if is_known else None


def _whole(content):
  """Counts the bytes of complete events; the last may lack its newline."""
  end = content.rfind(b'\n') + 1
  return end if _event(content[end:]) is None else len(content)


def append(folder: pathlib.Path, event: str, said: Mapping[str, Any]) -> None:
  """Adds an event, and returns when it is on disk.

  The caller holds the lock of the project.

  Args:
    folder: Folder of the project.
    event: One of `EVENTS`.
    said: Further fields of the event, as JSON values.
  """
  path = folder / NAME
  workdir.refuse_link(path)
  is_new = not path.exists()
  now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
  line = json.dumps(files.json_value({'event': event, 'at': now, **said}))
  with open(path, 'ab', buffering=0) as file:
    _end_last_line(path, file)
    files.append_line(path, line)
    os.fsync(file.fileno())
  if is_new:
    _force(folder)


def _end_last_line(path, file):
  """Removes an incomplete event, and adds a missing last newline."""
  content = path.read_bytes()
  whole = _whole(content)
  if whole < len(content):
    file.truncate(whole)
  elif not content.endswith(b'\n') and content:
    file.write(b'\n')


def _force(folder):
  """Forces the directory entry of a new file to disk."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
