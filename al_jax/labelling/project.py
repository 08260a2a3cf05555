"""A labelling project: queries and answers, kept in a folder.

The state is summed up from an append-only file of events (`history`). This
module needs neither the pool nor a model.
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
# Time to wait for the lock of the project.
_PATIENCE_SECONDS = 30.0

Folder = str | pathlib.Path


class Status(NamedTuple):
  """Status of a project.

  Attributes:
    account: State of the project.
    num_examples: Number of examples in the pool.
    accuracies: Number and accuracy estimate of each batch that has an estimate.
    hint: Sentence on whether predictions still change; '' if it is too early to
      tell.
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


# Number of examples that a line of a status lists.
_MOST_SHOWN = 10


def _in_words(found: Status) -> str:
  """Describes a status, in lines."""
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
  """Describes an estimate of the accuracy, in sentences.

  Args:
    estimate: Fields of an `estimating.Accuracy`.
  """
  how = (
    'These were drawn at random, so it holds for the whole pool.'
    if estimate['is_drawn']
    else 'Most were chosen because they are hard: the accuracy on the pool is '
    'usually higher.'
  )
  return (
    f'accuracy {100 * estimate["mean"]:.1f}% ± '
    f'{100 * estimate["standard_error"]:.1f}, estimated by '
    f'{estimate["folds"]}-fold cross-validation on {estimate["labels"]} '
    f'labels. {how}'
  )


def has_begun(folder: Folder) -> bool:
  """Tells whether there is a project in a folder."""
  return bool(history.read(pathlib.Path(folder)))


def of(folder: Folder) -> Account:
  """Reads the state of a project.

  Args:
    folder: Folder of the project.

  Returns:
    An Account.

  Raises:
    ValueError: If the folder has no project, or its history is damaged.
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
  """Records answers to all queries or some of them.

  Args:
    folder: Folder of the project.
    given: The answers.
    correct: Whether annotators may change their earlier answers.

  Returns:
    The checked answers; they are on disk when the call returns.

  Raises:
    AnswersError: If any answer is invalid; then none is recorded.
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
  """Withdraws answers; examples without another answer are pending again.

  Args:
    folder: Folder of the project.
    ids: Ids of the examples.
    annotator: Annotator whose answers are withdrawn.

  Raises:
    ValueError: If there is no such answer; then none is withdrawn.
  """
  folder = pathlib.Path(folder)
  with locked(folder) as now:
    for name in ids:
      if annotator not in now.answers.get(name, {}):
        raise ValueError(
          f'id {name!r} has no answer by {annotator!r} to withdraw.'
        )
    history.append(
      folder,
      history.WITHDRAWN,
      {'answers': [[name, annotator] for name in ids]},
    )


def give_up(folder: Folder) -> list[str]:
  """Gives up all pending queries; their examples may be queried again.

  Args:
    folder: Folder of the project.

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
  """Reads the status of a project.

  Args:
    folder: Folder of the project.

  Returns:
    A Status.
  """
  return summed_up(of(folder), len(read_ids(folder)))


def summed_up(now: Account, num_examples: int) -> Status:
  """Builds the status of a project from its state.

  Args:
    now: State of the project.
    num_examples: Number of examples in the pool.

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
  """Locks a project against other processes; waits for the lock for a while.

  Args:
    folder: Folder of the project.

  Yields:
    The state of the project, which no other process can change now.

  Raises:
    ValueError: If there is no project.
    InUseError: If another process does not release the lock.
  """
  of(folder)  # Raises before `Workdir` creates the folder.
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
  """Writes the ids of the pool, so that answers are checked without the pool.

  Args:
    folder: Folder of the project.
    ids: Ids of all examples, as text.
  """
  text = json.dumps(list(ids))
  path = folder / _IDS
  if not path.exists() or path.read_text(encoding='utf-8') != text:
    with files.replacing(path) as partial:
      partial.write_text(text, encoding='utf-8')


def read_ids(folder: Folder) -> set[str]:
  """Reads the ids of the pool of a project.

  Args:
    folder: Folder of the project.

  Returns:
    The ids, as text.

  Raises:
    ValueError: If the file of ids cannot be read.
  """
  path = pathlib.Path(folder) / _IDS
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{path} cannot be read; ask again to rewrite it.'
    ) from error
  return set(found)
