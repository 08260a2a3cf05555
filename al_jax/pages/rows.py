"""Takes what a watcher shows from lines of records.jsonl and live.jsonl."""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from al_jax.loop.events import RoundProgress

_SECONDS = ('fit', 'evaluate', 'measure', 'select', 'other')
# What a line that is none of ours may raise, beside ValueError.
_DAMAGES = (
  AttributeError,
  KeyError,
  OverflowError,
  RecursionError,
  TypeError,
)
# Of numbers on a page.
_DIGITS = 6


class Point(NamedTuple):
  """A round, as the curves have it.

  Attributes:
    system: name of the system.
    seed: seed of the run.
    round: number of the round, from 0.
    labels: number of labels the round trained on.
    score: headline on the test split, or else on the validation split; None if
      there is none.
    loss: training loss; None if it is not known.
    seconds: time the round took.
    num_picks: number of queries made after the round.
    has_test: whether the score is that of the test split.
    ledger: costs until then, see `loop.ledger`; maybe empty.
  """

  system: str
  seed: int
  round: int
  labels: int
  score: float | None
  loss: float | None
  seconds: float
  num_picks: int
  has_test: bool
  ledger: Mapping[str, float]

  @property
  def key(self) -> tuple[str, int, int]:
    """System, seed and round."""
    return self.system, self.seed, self.round


class Live(NamedTuple):
  """A line of live.jsonl.

  Attributes:
    event: `begin`, `progress` or `ended`.
    time: seconds since 1970.
    progress: of `progress`.
    num_finished: of `begin`: rounds that earlier processes finished.
    how: of `ended`: `finished`, `interrupted` or `failed`.
    message: of `ended`: one line that says why it failed.
  """

  event: str
  time: float
  progress: RoundProgress | None = None
  num_finished: int = 0
  how: str = ''
  message: str = ''


def point(line: bytes, headline: str) -> Point:
  """Reads a line of records.jsonl.

  Args:
    line: the line. Fields that are not shown may be absent or of any form.
    headline: name of the metric that curves go by.

  Returns:
    The round.

  Raises:
    ValueError: the line is no record.
  """
  try:
    values = json.loads(line)
    test, validation = values['test'], values.get('validation', {})
    has_test = headline in test
    return Point(
      system=_text(values['system']),
      seed=int(values['seed']),
      round=int(values['round']),
      labels=int(values['labels']),
      score=_number((test if has_test else validation).get(headline)),
      loss=_number(values['train'].get('loss')),
      seconds=sum(
        _number(values.get(f'seconds_{part}')) or 0.0 for part in _SECONDS
      ),
      num_picks=len(values['picks']),
      has_test=has_test,
      ledger={
        _text(name): float(of) for name, of in values.get('ledger', {}).items()
      },
    )
  except _DAMAGES as error:
    raise ValueError(f'not a record: {error!r}') from error


def live(line: bytes) -> Live:
  """Reads a line of live.jsonl.

  Args:
    line: the line.

  Returns:
    What it says.

  Raises:
    ValueError: the line is none of that file.
  """
  try:
    values = json.loads(line)
    event, when = values['event'], float(values['time'])
    if event == 'begin':
      return Live(event, when, num_finished=int(values['num_finished']))
    if event == 'ended':
      how, message = _text(values['how']), _text(values['message'])
      return Live(event, when, how=how, message=message)
    if event != 'progress':
      raise ValueError(f'no such event: {event!r}')
    progress = RoundProgress(
      _text(values['system']),
      *(int(values[name]) for name in ('seed', 'round', 'labels', 'step')),
      {_text(name): float(of) for name, of in values['metrics'].items()},
    )
    return Live(event, when, progress)
  except _DAMAGES as error:
    raise ValueError(f'not a line of live.jsonl: {error!r}') from error


def rounded(value: float | None) -> float | None:
  """Returns a number as the page gets it; None if it is not finite."""
  if value is None or not math.isfinite(value):
    return None
  return float(f'{value:.{_DIGITS}g}')


def _number(value: Any) -> float | None:
  return None if value is None else float(value)


def _text(value: Any) -> str:
  if not isinstance(value, str):
    raise TypeError(f'{value!r} is no text')
  return value
