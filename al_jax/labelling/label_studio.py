"""Answers in exports of Label Studio, JSON and JSON-MIN."""

import json
import pathlib
from typing import Any

from al_jax import errors
from al_jax.labelling.account import SKIP, UNSURE, Answer


def as_text(value: Any) -> str:
  """Converts a cell to text: None to '', a whole float without its '.0'.

  Args:
    value: Value of a cell.
  """
  if value is None:
    return ''
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return str(value)


def read(path: pathlib.Path, text: str, annotator: str) -> list[Answer]:
  """Reads the answers of an export.

  Args:
    path: Path of the file, for messages.
    text: Content of the file.
    annotator: Annotator of the answers for which the file names none.

  Returns:
    The last answer of each annotator to each task.

  Raises:
    ValueError: If the text is not an export, or not of tasks that al_jax wrote.
  """
  try:
    tasks = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is not JSON: {error}.') from error
  if not isinstance(tasks, list) or not all(
    isinstance(task, dict) for task in tasks
  ):
    raise ValueError(
      f'{path} is not an export of Label Studio: it must be a list of tasks.'
    )
  found = []
  for number, task in enumerate(tasks, start=1):
    place = f'{path.name}, task {number}'
    try:
      found += _of_task(task, place, annotator)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
      raise ValueError(
        f'{path}, task {number}, is not a task of al_jax as Label Studio '
        f'exports it, JSON or JSON-MIN ({errors.in_one_line(error)}).'
      ) from error
  return found


def _of_task(task, place, annotator):
  """Returns the answers to a task of a JSON or (flat) JSON-MIN export."""
  if 'annotations' not in task:
    name = as_text((task.get('data') or task)['id_of_example'])
    label = task.get('label')
    label = _one_choice(label) if isinstance(label, dict) else as_text(label)
    who = _who(task.get('annotator'), annotator)
    return [Answer(name, label, who, place)] if label else []
  name = as_text(task['data']['id_of_example'])
  found = {}  # By annotator: the last answer counts.
  for annotation in task['annotations']:
    who = _who(annotation.get('completed_by'), annotator)
    labels = [
      _one_choice(each['value'])
      for each in annotation['result']
      if each['type'] == 'choices' and each['from_name'] == 'label'
    ]
    # Submitted without a choice: the annotator could not tell.
    label = labels[-1] if labels else UNSURE
    if annotation.get('was_cancelled'):
      label = SKIP
    found[who] = Answer(name, label, who, place)
  return list(found.values())


def _one_choice(value):
  """Returns the choice as text; several as one text that names no class."""
  choices = value['choices']
  is_one = isinstance(choices, list) and len(choices) == 1
  return as_text(choices[0]) if is_one else repr(choices)


def _who(who, annotator):
  """Returns the e-mail or the number of an annotator, else the default."""
  if isinstance(who, dict):
    who = who.get('email', who.get('id'))
  return as_text(who).strip() or annotator
