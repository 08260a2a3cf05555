"""Files of answers, and what may be wrong with them."""

import csv
import io
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from al_jax import errors
from al_jax.labelling.account import NO_LABELS, SKIP, UNSURE, Account

# Who answers if nobody says so.
SOMEBODY = 'me'
_SUFFIXES = ('.csv', '.tsv', '.jsonl', '.json')
# More are counted and not listed.
_MOST_FAULTS = 20


class Answer(NamedTuple):
  """What somebody said of an example.

  Attributes:
    id: of the example, as text.
    label: a class, `'skip'` or `'unsure'`.
    annotator: who said it.
    place: where it stands, for messages.
  """

  id: str
  label: str
  annotator: str = SOMEBODY
  place: str = 'an answer'


class AnswersError(ValueError):
  """Answers that cannot be taken; the message lists all faults."""


def read(path: str | pathlib.Path, *, annotator: str) -> list[Answer]:
  """Reads a file of answers.

  Args:
    path: `.csv` or `.tsv` with the columns `id` and `label`, and maybe
      `annotator`; `.jsonl` with an object of these per line; or `.json`, a JSON
      or JSON-MIN export of Label Studio. An example without a label, as in a
      file that is half filled in, is left out.
    annotator: who answers where the file does not say.

  Returns:
    The answers, in the order of the file.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is not of this form, with the place.
  """
  path = pathlib.Path(path).expanduser()
  if path.suffix.lower() not in _SUFFIXES:
    raise ValueError(
      f'{path} must end in {", ".join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}.'
    )
  if not path.is_file():
    raise FileNotFoundError(f'There is no file {path}.')
  try:
    text = path.read_text(encoding='utf-8-sig')
  except UnicodeDecodeError as error:
    raise ValueError(f'{path} is not UTF-8 text.') from error
  if path.suffix.lower() == '.json':
    return _of_label_studio(path, text)
  if path.suffix.lower() == '.jsonl':
    rows = _of_lines(path, text)
  else:
    rows = _of_table(path, text)
  found = []
  for place, row in rows:
    label = _text(row.get('label'))
    if label:
      who = _text(row.get('annotator')) or annotator
      found.append(Answer(_text(row['id']), label, who, place))
  return found


def _text(value):
  """A cell as text; a number as it is written, nothing as ''."""
  if value is None:
    return ''
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return str(value).strip()


def _of_table(path, text):
  """The rows of a table, with the number of their line."""
  delimiter = '\t' if path.suffix.lower() == '.tsv' else ','
  first = text.partition('\n')[0]
  if delimiter not in first and ';' in first:
    # As spreadsheets write it where a comma is in numbers.
    delimiter = ';'
  lines = io.StringIO(text, newline='')
  reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
  columns = [name.strip() for name in reader.fieldnames or ()]
  _check_columns(path, columns)
  reader.fieldnames = columns
  try:
    for row in reader:
      yield f'line {reader.line_num}', row
  except csv.Error as error:
    raise ValueError(f'{path}, line {reader.line_num}: {error}.') from error


def _check_columns(path, columns):
  for name in ('id', 'label'):
    if name not in columns:
      raise ValueError(
        f'{path} has no column {name!r}; its columns are '
        f'{", ".join(columns) or "none"}.'
      )


def _of_lines(path, text):
  """The objects of a JSONL file, with the number of their line."""
  for number, line in enumerate(text.splitlines(), start=1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
    except ValueError as error:
      raise ValueError(
        f'{path}, line {number}, is no JSON: {error}.'
      ) from error
    if not isinstance(row, dict) or 'id' not in row:
      raise ValueError(f"{path}, line {number}, is no object with an 'id'.")
    yield f'line {number}', row


def _of_label_studio(path, text):
  """The answers in an export of Label Studio."""
  try:
    tasks = json.loads(text)
  except ValueError as error:
    raise ValueError(f'{path} is no JSON: {error}.') from error
  if not isinstance(tasks, list) or not all(
    isinstance(task, dict) for task in tasks
  ):
    raise ValueError(
      f'{path} is no export of Label Studio: it must be a list of tasks.'
    )
  found = []
  for number, task in enumerate(tasks, start=1):
    try:
      found += _of_task(task, f'task {number}')
    except (KeyError, TypeError, AttributeError, IndexError) as error:
      raise ValueError(
        f'{path}, task {number}, has not the form that Label Studio exports: '
        f'{errors.in_one_line(error)}.'
      ) from error
  return found


def _of_task(task, place):
  """The answers to a task: of JSON, or of JSON-MIN where it is flat."""
  if 'annotations' not in task:
    label = task.get('label', '')
    label = _one_choice(label) if isinstance(label, dict) else _text(label)
    if not label:
      return []
    return [Answer(_text(task['id_of_example']), label, _who(task), place)]
  name = _text(task['data']['id_of_example'])
  found = []
  for annotation in task['annotations']:
    who = _who({'annotator': annotation.get('completed_by')})
    if annotation.get('was_cancelled'):
      found.append(Answer(name, SKIP, who, place))
      continue
    labels = [
      _one_choice(each['value'])
      for each in annotation['result']
      if each['type'] == 'choices'
    ]
    # Sent without a choice: whoever saw it could not tell.
    label = labels[-1] if labels else UNSURE
    found.append(Answer(name, label, who, place))
  return found


def _one_choice(value):
  choices = value['choices']
  return _text(choices[0]) if len(choices) == 1 else ' and '.join(choices)


def _who(task):
  """The name of an annotator: their number, or their mail."""
  who = task.get('annotator')
  if isinstance(who, dict):
    who = who.get('email', who.get('id'))
  return _text(who) or SOMEBODY


class Checked(NamedTuple):
  """Answers that can be taken.

  Attributes:
    new: what is to be written.
    again: how many had been told before.
    disputes: sentences on examples whose annotators differ after it.
  """

  new: list[Answer]
  again: int
  disputes: list[str]


def check(
  account: Account,
  ids: Collection[str],
  given: Sequence[Answer],
  *,
  correct: bool,
) -> Checked:
  """Checks answers against what was asked.

  Args:
    account: of the project.
    ids: of all examples of the pool.
    given: the answers.
    correct: an annotator may change an answer that they gave before.

  Returns:
    Checked.

  Raises:
    AnswersError: one or more of them cannot be taken; all faults are listed.
  """
  faults, asked = [], account.asked
  said: dict[tuple[str, str], Answer] = {}
  new, again = [], 0
  for answer in given:
    fault = _fault(account, ids, asked, answer)
    key = answer.id, answer.annotator
    before = account.answers.get(answer.id, {}).get(answer.annotator)
    if fault is None and key in said and said[key].label != answer.label:
      fault = (
        f'{answer.annotator!r} said {said[key].label!r} in {said[key].place} '
        f'and {answer.label!r} here'
      )
    elif fault is None and before not in (None, answer.label) and not correct:
      fault = (
        f'{answer.annotator!r} said {before!r} before and {answer.label!r} '
        'here; --correct changes it'
      )
    if fault is not None:
      faults.append(f'{answer.place}, id {answer.id!r}: {fault}')
      continue
    if before == answer.label or key in said:
      again += 1
    else:
      new.append(answer)
    said.setdefault(key, answer)
  if faults:
    raise AnswersError(_listed(faults, len(given)))
  return Checked(new, again, _disputes(account, new))


def _fault(account, ids, asked, answer):
  """What is wrong with an answer alone; None if nothing is."""
  if answer.id not in ids:
    return 'the pool has no such example'
  if answer.id not in asked:
    return 'it was never asked'
  choices = (*account.classes, *NO_LABELS)
  if answer.label not in choices:
    return str(errors.unknown_name('label', answer.label, choices)).rstrip('.')
  return None


def _listed(faults, number):
  shown = faults[:_MOST_FAULTS]
  more = len(faults) - len(shown)
  lines = [
    f'{len(faults)} of {number} answers cannot be taken, and none was:',
    *(f'  {fault}' for fault in shown),
  ]
  if more:
    lines.append(f'  and {more} more')
  return '\n'.join(lines)


def _disputes(account, new):
  """Sentences on examples of these answers on which annotators differ."""
  after: dict[str, dict[str, str]] = {}
  for answer in new:
    said = after.setdefault(answer.id, dict(account.answers.get(answer.id, {})))
    said[answer.annotator] = answer.label
  return [
    f'id {name!r}: annotators differ: {_by_annotator(said)}'
    for name, said in after.items()
    if len({label for label in said.values() if label not in NO_LABELS}) > 1
  ]


def _by_annotator(said: Mapping[str, Any]) -> str:
  return ', '.join(f'{who} says {label!r}' for who, label in said.items())
