"""The state of a project, summed up from its events: queries and answers."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from al_jax.labelling import history

# Answers without a class: the example cannot be labelled, or this annotator
# cannot tell.
SKIP = 'skip'
UNSURE = 'unsure'
NO_LABELS = (SKIP, UNSURE)
# The default annotator.
SOMEBODY = 'me'


class Answer(NamedTuple):
  """An annotator's answer to a query.

  Attributes:
    id: Id of the example, as text.
    label: A class, `'skip'` or `'unsure'`.
    annotator: Name of the annotator.
    place: Location of the answer, such as file and line, for messages.
  """

  id: str
  label: str
  annotator: str = SOMEBODY
  place: str = 'an answer'


class Asked(NamedTuple):
  """A batch of queries.

  Attributes:
    number: Number of the batch, from 1.
    at: Time of the query.
    ids: Ids of the examples, in the order of selection.
    said: Output of the model for the batch, see `proposing.Proposed`.
  """

  number: int
  at: str
  ids: list[str]
  said: Mapping[str, Any]


class Query(NamedTuple):
  """One queried example.

  The fields other than `id` are None before there is a model.

  Attributes:
    id: Id of the example, as text.
    predicted: Class that the model predicts.
    probability: Probability of that class.
    value: Acquisition value; also None if the strategy shows none.
  """

  id: str
  predicted: str | None = None
  probability: float | None = None
  value: float | None = None


@dataclasses.dataclass
class Account:
  """State of a project.

  Attributes:
    begun: First event of the project: pool, classes, config.
    config: Config of the last batch; before any batch, the initial one.
    batches: Batches in order.
    answers: Answers by example, then by annotator: a class, `SKIP` or `UNSURE`.
    order: Answered examples, in the order of their first answer.
    given_up: Queried examples whose queries were given up.
    changed: Whether any event followed the last batch.
  """

  begun: Mapping[str, Any]
  config: Mapping[str, Any]
  batches: list[Asked] = dataclasses.field(default_factory=list)
  answers: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
  order: dict[str, None] = dataclasses.field(default_factory=dict)
  given_up: set[str] = dataclasses.field(default_factory=set)
  changed: bool = False

  @property
  def classes(self) -> list[str]:
    """The classes that annotators choose from."""
    return self.begun['classes']

  @property
  def asked(self) -> dict[str, int]:
    """The number of the last batch that queried each example."""
    return {name: batch.number for batch in self.batches for name in batch.ids}

  @property
  def pending(self) -> list[str]:
    """Queried examples without an answer, except those given up."""
    return [
      name
      for name in self.asked
      if name not in self.answers and name not in self.given_up
    ]

  @property
  def labels(self) -> dict[str, str]:
    """The labels by example, in the order of first answers."""
    found = {name: self.label_of(name) for name in self.order}
    return {name: label for name, label in found.items() if label is not None}

  @property
  def disputed(self) -> list[str]:
    """Examples on which annotators differ without a majority."""
    return [
      name
      for name in self.order
      if self.label_of(name) is None and self._votes(name)
    ]

  def without_label(self, kind: str) -> list[str]:
    """Lists the examples without a label that were answered with `kind`.

    An example answered with both `SKIP` and `UNSURE` counts as skipped.
    """
    return [name for name in self.order if self._why_not(name) == kind]

  def _why_not(self, name):
    """Returns SKIP or UNSURE for an example without votes, otherwise None."""
    if self._votes(name):
      return None
    said = self.answers[name].values()
    return SKIP if SKIP in said else UNSURE

  def status_of(self, name: str) -> str:
    """Describes the status of a queried example, in a word or two."""
    if name not in self.answers:
      return 'given up' if name in self.given_up else 'pending'
    if self.label_of(name) is not None:
      return 'labelled'
    if self._votes(name):
      return 'disputed'
    return 'skipped' if self._why_not(name) == SKIP else UNSURE

  def label_of(self, name: str) -> str | None:
    """Returns the label that more than half of the votes give, or None."""
    votes = self._votes(name)
    if not votes:
      return None
    label, count = votes.most_common(1)[0]
    return label if 2 * count > votes.total() else None

  def queries(self, batch: Asked) -> list[Query]:
    """Lists the queries of a batch, with the predictions of the model."""
    said, found = batch.said, []
    for at, name in enumerate(batch.ids):
      if not said['predicted']:
        found.append(Query(name))
        continue
      found.append(
        Query(
          name,
          self.classes[said['predicted'][at]],
          said['probabilities'][at],
          float(said['values'][at]) if said['score'] else None,
        )
      )
    return found

  def waiting(self) -> list[Query]:
    """Lists the pending queries of all batches."""
    asked, pending = self.asked, set(self.pending)
    return [
      query
      for batch in self.batches
      for query in self.queries(batch)
      if query.id in pending and asked[query.id] == batch.number
    ]

  def _votes(self, name):
    said = self.answers.get(name, {}).values()
    return collections.Counter(each for each in said if each not in NO_LABELS)


def of(folder: pathlib.Path, events: Sequence[Mapping[str, Any]]) -> Account:
  """Sums up the events of a project.

  Args:
    folder: Folder of the project, for messages.
    events: All events of the project, in order.

  Returns:
    An Account.

  Raises:
    ValueError: If an event is malformed.
  """
  account = None
  for number, event in enumerate(events, start=1):
    try:
      if account is None:
        account = Account(begun=event, config=event['config'])
        event['pool']['source'], event['classes']
        continue
      account.changed = event['event'] != history.ASKED
      _HAPPENED[event['event']](account, event)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      raise history.damaged(folder, number) from error
  return account


def _asked(account, event):
  number = len(account.batches) + 1
  account.batches.append(
    Asked(number, event['at'], event['ids'], event['said'])
  )
  account.config = event['config']
  account.given_up -= set(event['ids'])


def _told(account, event):
  for name, annotator, label in event['answers']:
    account.answers.setdefault(name, {})[annotator] = label
    account.order.setdefault(name)
    account.given_up.discard(name)


def _withdrawn(account, event):
  for name, annotator in event['answers']:
    said = account.answers.get(name, {})
    said.pop(annotator, None)
    if not said:
      account.answers.pop(name, None)
      account.order.pop(name, None)


def _given_up(account, event):
  account.given_up |= set(event['ids'])


_HAPPENED = {
  history.ASKED: _asked,
  history.TOLD: _told,
  history.WITHDRAWN: _withdrawn,
  history.GIVEN_UP: _given_up,
}


def known(names: Iterable[object]) -> dict[str, int]:
  """Maps each id, as text, to its position."""
  return {str(name): at for at, name in enumerate(names)}
