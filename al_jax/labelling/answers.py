"""Files of answers, and what may be wrong with them."""

import csv
import difflib
import io
import json
import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from al_jax.labelling import label_studio
from al_jax.labelling.account import NO_LABELS, Account, Answer
from al_jax.labelling.label_studio import as_text

_SUFFIXES = ('.csv', '.tsv', '.jsonl', '.json')
# More are counted and not listed.
_MOST_FAULTS = 20


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
  if path.suffix.lower() == '.json':
    return _some(path, label_studio.read(path, _text_of(path), annotator))
  rows = _of_lines(path) if path.suffix.lower() == '.jsonl' else table(path)
  found = []
  for number, row in rows:
    label = as_text(row.get('label')).strip()
    if label:
      who = as_text(row.get('annotator')).strip() or annotator
      place = f'{path.name}, line {number}'
      found.append(Answer(as_text(row['id']), label, who, place))
  return _some(path, found)


def _some(path, found):
  """Refuses a file in which nobody has said anything."""
  if not found:
    raise ValueError(
      f'{path} has no answer: no row has a label, or no task an annotation.'
    )
  return found


def _text_of(path):
  """The text of a file; the ends of lines inside of cells stay as they are."""
  try:
    return path.read_bytes().decode('utf-8-sig')
  except UnicodeDecodeError as error:
    raise ValueError(f'{path} is not UTF-8 text.') from error


def table(path: pathlib.Path) -> Iterator[tuple[int, dict[str, str]]]:
  """Reads a table of answers, as a spreadsheet may have saved it.

  Args:
    path: of the file.

  Yields:
    The number of the line, and the row by column.

  Raises:
    ValueError: no table with the columns `id` and `label`, with the place.
  """
  text = _text_of(path)
  delimiter = '\t' if path.suffix.lower() == '.tsv' else ','
  first = text.partition('\n')[0]
  if delimiter not in first and ';' in first:
    # As spreadsheets write it where a comma is in numbers.
    delimiter = ';'
  lines = io.StringIO(text, newline='')
  reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
  try:
    columns = [name.strip() for name in reader.fieldnames or ()]
    _check_columns(path, columns)
    reader.fieldnames = columns
    for row in reader:
      if any(row.get(None, ())):
        raise ValueError(
          f'{path}, line {reader.line_num}, has more cells than there are '
          'columns.'
        )
      yield reader.line_num, row
  except csv.Error as error:
    raise ValueError(f'{path}, line {reader.line_num}: {error}.') from error


def _check_columns(path, columns):
  for name in ('id', 'label'):
    if name not in columns:
      raise ValueError(
        f'{path} has no column {name!r}; its columns are '
        f'{", ".join(columns) or "none"}.'
      )
    if columns.count(name) > 1:
      raise ValueError(f'{path} has the column {name!r} twice.')


def _of_lines(path):
  """The objects of a JSONL file, with the number of their line."""
  for number, line in enumerate(_text_of(path).split('\n'), start=1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
    except (ValueError, RecursionError) as error:
      raise ValueError(
        f'{path}, line {number}, is no JSON: {error}.'
      ) from error
    if not isinstance(row, dict) or 'id' not in row:
      raise ValueError(f"{path}, line {number}, is no object with an 'id'.")
    yield number, row


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
    choices = ', '.join([*account.classes, *NO_LABELS])
    raise AnswersError(
      f'{_listed(faults, len(given))}\nA label is one of: {choices}.'
    )
  return Checked(new, again, _disputes(account, new))


def _fault(account, ids, asked, answer):
  """What is wrong with an answer alone; None if nothing is."""
  if answer.id not in ids:
    return 'the pool has no such example'
  if answer.id not in asked:
    return 'it was never asked'
  choices = (*account.classes, *NO_LABELS)
  if answer.label not in choices:
    close = difflib.get_close_matches(answer.label, choices, 1)
    meant = f', perhaps {close[0]!r}' if close else ''
    return f'there is no class {answer.label!r}{meant}'
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
