"""Reads files of answers and checks them."""

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
# Further faults are counted but not listed.
_MOST_FAULTS = 20


class AnswersError(ValueError):
  """Answers that are rejected; the message lists the faults."""


def read(path: str | pathlib.Path, *, annotator: str) -> list[Answer]:
  """Reads a file of answers.

  Args:
    path: A `.csv` or `.tsv` file with the columns `id` and `label`, and
      optionally `annotator`; a `.jsonl` file with one object of these per line;
      or a `.json` file, a JSON or JSON-MIN export of Label Studio. Rows without
      a label are left out, so the file may be half filled in.
    annotator: Annotator of the answers for which the file names none.

  Returns:
    The answers, in the order of the file.

  Raises:
    FileNotFoundError: If the file does not exist.
    ValueError: If the file is malformed; the message gives the place.
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
  """Returns `found`; raises ValueError if it is empty."""
  if not found:
    raise ValueError(
      f'{path} has no answer: no row has a label, or no task an annotation.'
    )
  return found


def _text_of(path):
  """Reads a file as text, with line ends inside cells unchanged."""
  try:
    return path.read_bytes().decode('utf-8-sig')
  except UnicodeDecodeError as error:
    raise ValueError(f'{path} is not UTF-8 text.') from error


def table(path: pathlib.Path) -> Iterator[tuple[int, dict[str, str]]]:
  """Reads a table of answers, also as spreadsheets save it.

  Args:
    path: Path of the file.

  Yields:
    Line number, and the row as a dict from column to cell.

  Raises:
    ValueError: If the file is not a table with the columns `id` and `label`;
      the message gives the place.
  """
  text = _text_of(path)
  delimiter = '\t' if path.suffix.lower() == '.tsv' else ','
  first = text.partition('\n')[0]
  if delimiter not in first and ';' in first:
    # Spreadsheets write `;` in locales with a decimal comma.
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
          f'{path}, line {reader.line_num}, has more cells than columns.'
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
  """Yields the line number and the object of each line of a JSONL file."""
  for number, line in enumerate(_text_of(path).split('\n'), start=1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
    except (ValueError, RecursionError) as error:
      raise ValueError(
        f'{path}, line {number}, is not JSON: {error}.'
      ) from error
    if not isinstance(row, dict) or 'id' not in row:
      raise ValueError(f"{path}, line {number}, is not an object with an 'id'.")
    yield number, row


class Checked(NamedTuple):
  """Valid answers.

  Attributes:
    new: Answers to record.
    again: Number of answers that were already recorded or are repeated.
    disputes: One sentence for each example on which annotators now differ.
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
  """Checks answers against the queries of a project.

  Args:
    account: State of the project.
    ids: Ids of all examples of the pool.
    given: The answers.
    correct: Whether annotators may change their earlier answers.

  Returns:
    Checked.

  Raises:
    AnswersError: If any answer is invalid; the message lists the faults.
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
  """Describes the fault of a single answer; None if it is valid."""
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
  """Describes each example on which annotators differ with new answers."""
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
