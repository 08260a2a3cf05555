"""Parses lines of records.jsonl and live.jsonl for a watcher."""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from al_jax.loop.events import RoundProgress

_SECONDS = ('fit', 'evaluate', 'measure', 'select', 'other')
# Errors that a foreign line may raise, beside ValueError.
_DAMAGES = (
  AttributeError,
  KeyError,
  OverflowError,
  RecursionError,
  TypeError,
)
# Significant digits of numbers on a page.
_DIGITS = 6


class Point(NamedTuple):
  """A finished round, as a point of the curves.

  Attributes:
    system: Name of the system.
    seed: Seed of the run.
    round: Number of the round, from 0.
    labels: Number of labels the round trained on.
    score: Headline metric on the test split, or else on the validation split;
      None if there is none.
    loss: Training loss; None if it is not known.
    seconds: Time the round took.
    num_picks: Number of queries made after the round.
    has_test: Whether the score is of the test split.
    ledger: Costs so far, see `loop.ledger`; may be empty.
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
    """The system, seed and round."""
    return self.system, self.seed, self.round


class Live(NamedTuple):
  """A line of live.jsonl.

  Attributes:
    event: `begin`, `progress` or `ended`.
    time: Seconds since 1970.
    progress: If `progress`, the progress.
    num_finished: If `begin`, the number of rounds that earlier processes
      finished.
    how: If `ended`, `finished`, `interrupted` or `failed`.
    message: If `ended`, the reason why the run failed, in one line.
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
    line: The line. Fields that are not shown may be absent or malformed.
    headline: Name of the metric that curves show.

  Returns:
    The round.

  Raises:
    ValueError: If the line is not a record.
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
    line: The line.

  Returns:
    The parsed line.

  Raises:
    ValueError: If the line is not one of live.jsonl.
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
  """Rounds a number for the page; None if it is not finite."""
  if value is None or not math.isfinite(value):
    return None
  return float(f'{value:.{_DIGITS}g}')


def _number(value: Any) -> float | None:
  return None if value is None else float(value)


def _text(value: Any) -> str:
  if not isinstance(value, str):
    raise TypeError(f'{value!r} is not text')
  return value
