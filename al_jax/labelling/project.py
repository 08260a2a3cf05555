"""A project: what people were asked and said, in a folder.

All that happened is in a file that is only added to (`history`). What is in
here needs neither the pool nor a model.
"""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from al_jax import files
from al_jax.labelling import account as account_lib
from al_jax.labelling import answers as answers_lib
from al_jax.labelling import history, stopping
from al_jax.labelling.account import SOMEBODY, Account, Answer
from al_jax.labelling.answers import Checked
from al_jax.storage import workdir

_IDS = 'ids.json'
# How long to wait for another process that writes.
_PATIENCE_SECONDS = 30.0

Folder = str | pathlib.Path


class Status(NamedTuple):
  """Where a project is.

  Attributes:
    account: what happened.
    num_examples: in the pool.
    accuracies: of each batch that has an estimate: its number, and that.
    hint: whether predictions still change, as a sentence; '' if it is too early
      to tell.
  """

  account: Account
  num_examples: int
  accuracies: list[tuple[int, Mapping[str, Any]]]
  hint: str

  @property
  def labels(self) -> dict[str, str]:
    """The labels that annotators agree on, by example."""
    return self.account.labels

  def __str__(self) -> str:
    return _in_words(self)

  def __repr__(self) -> str:
    return f'<{_in_words(self)}>'


# Examples in a line of a status.
_MOST_SHOWN = 10


def _in_words(found: Status) -> str:
  """Where a project is, in lines."""
  now = found.account
  labels = list(now.labels.values())
  by_class = ', '.join(f'{name} {labels.count(name)}' for name in now.classes)
  asked = 'none'
  if now.batches:
    is_drawn = now.batches[-1].said['is_drawn']
    how = 'chance' if is_drawn else ', '.join(now.config['systems'])
    asked = f'{len(now.batches)}, the last one chosen by {how}'
  lines = [
    f'Pool: {found.num_examples:,} examples of {now.begun["pool"]["source"]}.',
    f'Labels: {len(labels)} ({by_class}).',
    f'Batches: {asked}; {len(now.pending)} queries pending.',
  ]
  for word, names in (
    ('skipped', now.without_label(account_lib.SKIP)),
    ('unsure', now.without_label(account_lib.UNSURE)),
    ('disputed', now.disputed),
  ):
    if names:
      shown = ', '.join(names[:_MOST_SHOWN])
      more = f', and {len(names) - _MOST_SHOWN} more'
      more = more if len(names) > _MOST_SHOWN else ''
      lines.append(f'{len(names)} {word}: {shown}{more}.')
  if found.accuracies:
    number, estimate = found.accuracies[-1]
    lines.append(f'Before batch {number}: {described(estimate)}')
  return '\n'.join([*lines, found.hint] if found.hint else lines)


def described(estimate: Mapping[str, Any]) -> str:
  """An estimate of the accuracy, as sentences.

  Args:
    estimate: see `estimating.Accuracy`.
  """
  how = (
    'These were drawn at random, so that it is of the whole pool.'
    if estimate['is_drawn']
    else 'Most were chosen because they are hard: on the pool it is as a rule '
    'higher.'
  )
  return (
    f'accuracy {100 * estimate["mean"]:.1f}% ± '
    f'{100 * estimate["standard_error"]:.1f}, estimated by '
    f'{estimate["folds"]}-fold cross-validation on {estimate["labels"]} '
    f'labels. {how}'
  )


def has_begun(folder: Folder) -> bool:
  """Whether there is a project in a folder."""
  return bool(history.read(pathlib.Path(folder)))


def of(folder: Folder) -> Account:
  """Reads what happened to a project.

  Args:
    folder: of the project.

  Returns:
    An Account.

  Raises:
    ValueError: there is no project in the folder, or its history is damaged.
  """
  events = history.read(pathlib.Path(folder))
  if not events:
    raise ValueError(
      f'{folder} has no labelling project; to begin one give --pool and '
      '--classes.'
    )
  return account_lib.of(pathlib.Path(folder), events)


def tell(
  folder: Folder, given: Sequence[Answer], *, correct: bool = False
) -> Checked:
  """Takes answers: all that was asked, or a part.

  Args:
    folder: of the project.
    given: the answers.
    correct: an annotator may change an answer that they gave before.

  Returns:
    What was taken, which is on disk by then.

  Raises:
    AnswersError: one or more of them cannot be taken; then none is.
  """
  folder = pathlib.Path(folder)
  with locked(folder) as now:
    checked = answers_lib.check(now, read_ids(folder), given, correct=correct)
    if checked.new:
      said = [[each.id, each.annotator, each.label] for each in checked.new]
      history.append(folder, history.TOLD, {'answers': said})
  return checked


def withdraw(
  folder: Folder, ids: Sequence[str], *, annotator: str = SOMEBODY
) -> None:
  """Takes answers back; the examples are pending again.

  Args:
    folder: of the project.
    ids: of the examples.
    annotator: whose answers.

  Raises:
    ValueError: there is no such answer; then none is taken back.
  """
  folder = pathlib.Path(folder)
  with locked(folder) as now:
    for name in ids:
      if annotator not in now.answers.get(name, {}):
        raise ValueError(
          f'id {name!r} has no answer of {annotator!r} to take back.'
        )
    history.append(
      folder,
      history.WITHDRAWN,
      {'answers': [[name, annotator] for name in ids]},
    )


def give_up(folder: Folder) -> list[str]:
  """Gives up what is pending: it may be asked again, or not.

  Args:
    folder: of the project.

  Returns:
    The ids of the examples.
  """
  folder = pathlib.Path(folder)
  with locked(folder) as now:
    pending = now.pending
    if pending:
      history.append(folder, history.GIVEN_UP, {'ids': pending})
  return pending


def status(folder: Folder) -> Status:
  """Tells where a project is.

  Args:
    folder: of the project.

  Returns:
    A Status.
  """
  return summed_up(of(folder), len(read_ids(folder)))


def summed_up(now: Account, num_examples: int) -> Status:
  """Tells where a project is, of which all is known already.

  Args:
    now: of the project.
    num_examples: in the pool.

  Returns:
    A Status.
  """
  accuracies = [
    (batch.number, batch.said['estimate'])
    for batch in now.batches
    if batch.said['estimate'] is not None
  ]
  return Status(now, num_examples, accuracies, stopping.hint(now))


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[Account]:
  """Keeps other processes from writing; waits for them a while.

  Args:
    folder: of the project.

  Yields:
    The account, as nobody else can change it now.

  Raises:
    ValueError: there is no project.
    InUseError: another process does not end.
  """
  of(folder)  # Before a folder is made for what is no project.
  end = time.monotonic() + _PATIENCE_SECONDS
  while True:
    try:
      place = workdir.Workdir(folder)
      break
    except workdir.InUseError:
      if time.monotonic() > end:
        raise
    time.sleep(0.05)
  with place:
    yield of(folder)


def write_ids(folder: pathlib.Path, ids: Sequence[str]) -> None:
  """Keeps the ids of the pool, so that answers are checked without it.

  Args:
    folder: of the project.
    ids: of all examples, as text.
  """
  text = json.dumps(list(ids))
  path = folder / _IDS
  if not path.exists() or path.read_text(encoding='utf-8') != text:
    with files.replacing(path) as partial:
      partial.write_text(text, encoding='utf-8')


def read_ids(folder: Folder) -> set[str]:
  """Reads the ids of the pool of a project.

  Args:
    folder: of the project.

  Returns:
    The ids, as text.
  """
  path = pathlib.Path(folder) / _IDS
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{path} cannot be read; ask again, which writes it anew.'
    ) from error
  return set(found)
