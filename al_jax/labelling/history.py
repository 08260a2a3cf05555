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
from al_jax.storage import workdir

NAME = 'history.jsonl'
# The events there are.
BEGUN = 'begun'
ASKED = 'asked'
TOLD = 'told'
WITHDRAWN = 'withdrawn'
GIVEN_UP = 'given_up'
EVENTS = (BEGUN, ASKED, TOLD, WITHDRAWN, GIVEN_UP)


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
  whole = _whole(content)
  events = []
  for number, line in enumerate(content[:whole].splitlines(), start=1):
    event = _event(line)
    # It begins once, and with nothing else.
    if event is None or (event['event'] == BEGUN) != (number == 1):
      raise damaged(folder, number)
    events.append(event)
  return events


def damaged(folder: pathlib.Path, number: int) -> ValueError:
  """An error about a line of a history that something else has changed.

  Args:
    folder: of the project.
    number: of the line, from 1.
  """
  return ValueError(
    f'{folder / NAME}, line {number}, is no event of a labelling project: the '
    'file was changed by something else. Restore it from a backup, or delete '
    'the line to lose what it said.'
  )


def _event(line):
  """The event of a line; None if it is none."""
  try:
    event = json.loads(line)
  except (ValueError, RecursionError):
    return None
  is_known = isinstance(event, dict) and event.get('event') in EVENTS
  return event if is_known else None


def _whole(content):
  """How many bytes are whole lines; an event may lack the end of its line."""
  end = content.rfind(b'\n') + 1
  return end if _event(content[end:]) is None else len(content)


def append(folder: pathlib.Path, event: str, said: Mapping[str, Any]) -> None:
  """Adds an event, and returns when it is on disk.

  The caller holds the lock of the project.

  Args:
    folder: of the project.
    event: what happened.
    said: more of it, in terms of JSON.
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
  """Takes away what comes after the last event, and ends its line."""
  content = path.read_bytes()
  whole = _whole(content)
  if whole < len(content):
    file.truncate(whole)
  elif not content.endswith(b'\n') and content:
    file.write(b'\n')


def _force(folder):
  """Has the name of a new file on disk, too."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
