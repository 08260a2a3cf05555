"""What the events of a project come to: who was asked, and what they said."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from al_jax.labelling import history

# In the place of a class: the example cannot be labelled, or not by me.
SKIP = 'skip'
UNSURE = 'unsure'
NO_LABELS = (SKIP, UNSURE)
# Who answers if nobody says so.
SOMEBODY = 'me'


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


class Asked(NamedTuple):
  """A batch of queries.

  Attributes:
    number: of the batch, from 1.
    at: when it was asked.
    ids: of the examples, in order of choice.
    said: what the model says of them, see `proposing.Proposed`.
  """

  number: int
  at: str
  ids: list[str]
  said: Mapping[str, Any]


class Query(NamedTuple):
  """One example that somebody is asked about.

  Attributes:
    id: of the example, as text.
    predicted: the class that the model predicts; None before there is one.
    probability: of that class; None likewise.
    value: what the example was chosen by; None likewise.
  """

  id: str
  predicted: str | None = None
  probability: float | None = None
  value: float | None = None


@dataclasses.dataclass
class Account:
  """Where a project is.

  Attributes:
    begun: the event it began with: pool, classes, config.
    config: of the last batch, or of the beginning.
    batches: in order.
    answers: by example, then by annotator: a class, `SKIP` or `UNSURE`.
    order: of examples, by when they were first answered.
    given_up: examples that are no longer asked.
    changed: whether anything happened since the last batch.
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
    """What people are asked to choose from."""
    return self.begun['classes']

  @property
  def asked(self) -> dict[str, int]:
    """The batch in which each example was asked last."""
    return {name: batch.number for batch in self.batches for name in batch.ids}

  @property
  def pending(self) -> list[str]:
    """Examples that were asked and that nobody has said anything of."""
    return [
      name
      for name in self.asked
      if name not in self.answers and name not in self.given_up
    ]

  @property
  def labels(self) -> dict[str, str]:
    """The label of each example that has one, in the order of answers."""
    found = {name: self.label_of(name) for name in self.order}
    return {name: label for name, label in found.items() if label is not None}

  @property
  def disputed(self) -> list[str]:
    """Examples on which annotators differ, and no majority decides."""
    return [
      name
      for name in self.order
      if self.label_of(name) is None and self._votes(name)
    ]

  def without_label(self, kind: str) -> list[str]:
    """Examples without a label of which somebody said `kind`.

    One that is both skipped and unsure counts as skipped.
    """
    return [name for name in self.order if self._why_not(name) == kind]

  def _why_not(self, name):
    """Why an example that was answered has no label; None if it has one."""
    if self._votes(name):
      return None
    said = self.answers[name].values()
    return SKIP if SKIP in said else UNSURE

  def status_of(self, name: str) -> str:
    """What became of an example that was asked, in a word."""
    if name not in self.answers:
      return 'given up' if name in self.given_up else 'pending'
    if self.label_of(name) is not None:
      return 'labelled'
    if self._votes(name):
      return 'disputed'
    return 'skipped' if self._why_not(name) == SKIP else UNSURE

  def label_of(self, name: str) -> str | None:
    """The label that more than half of its annotators give; None without."""
    votes = self._votes(name)
    if not votes:
      return None
    label, count = votes.most_common(1)[0]
    return label if 2 * count > votes.total() else None

  def queries(self, batch: Asked) -> list[Query]:
    """What was asked in a batch, and what the model said of it."""
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
    """All queries that nobody has answered, of whichever batch."""
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
    folder: of the project, for messages.
    events: from its beginning.

  Returns:
    An Account.

  Raises:
    ValueError: an event lacks something.
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
  """The position of each example, by its id as text."""
  return {str(name): at for at, name in enumerate(names)}
