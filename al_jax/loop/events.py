"""What leaves the loop besides records, and who is told."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from al_jax.interfaces import Progress
from al_jax.loop import run_state
from al_jax.loop.pictures import RoundPictures
from al_jax.loop.queries import RoundMade, RoundQueries
from al_jax.loop.run_state import Run
from al_jax.storage.records import RoundRecord

# At most so often; between two calls of the device nothing is known.
_SECONDS_BETWEEN = 1.0


class RoundProgress(NamedTuple):
  """Where the training of a round is.

  Attributes:
    system: name of the system.
    seed: of the run.
    round: the round under way.
    labels: paid for by then.
    step: steps taken in this round.
    metrics: means over the epoch under way, or over the last one at its
      beginning; those that are not known yet are left out.
  """

  system: str
  seed: int
  round: int
  labels: int
  step: int
  metrics: Mapping[str, float]


class Observer(Protocol):
  """Sees a run from outside. It may lack a method for what it does not want."""

  def on_progress(self, progress: RoundProgress) -> None:
    """Takes a look into a round, about once a second."""

  def on_record(self, record: RoundRecord) -> None:
    """Takes the record of a round; of a resumed run also the earlier ones."""

  def on_pictures(self, pictures: RoundPictures) -> None:
    """Takes pictures of a trained round, before its record.

    Those of earlier processes are not given again. A round that is run again
    gives its pictures again, and they are the same.
    """

  def on_queries(self, queries: RoundQueries) -> None:
    """Takes the queries of a round, and what the model says of them.

    It comes before the record, again as pictures do. The model looks at the
    queries for this alone: without such a method it does not.
    """

  def on_made(self, made: RoundMade) -> None:
    """Takes the made queries of a round, and their answers.

    It comes before the record, again as pictures do.
    """


class Events:
  """Tells observers what happens."""

  def __init__(self, observers: Sequence[Observer]):
    """Notes who wants what.

    Args:
      observers: told in this order.
    """
    self._observers = tuple(observers)
    self._last = time.monotonic()

  def wanted(self, name: str) -> bool:
    """Tells whether an observer has a method of this name."""
    return any(hasattr(each, name) for each in self._observers)

  def tell(self, name: str, content: Any) -> None:
    """Calls the method of this name of every observer that has it."""
    for observer in self._observers:
      method = getattr(observer, name, None)
      if method is not None:
        method(content)

  def progress(self, system: str, runs: Sequence[Run], now: Progress) -> None:
    """Tells of a round under way, unless it was told a moment ago.

    Args:
      system: name of the system.
      runs: one per lane.
      now: on the host, with a leading lane axis.
    """
    passed = time.monotonic() - self._last
    if passed < _SECONDS_BETWEEN or not self.wanted('on_progress'):
      return
    self._last += passed
    for lane, run in enumerate(runs):
      if run.ended is None and not now.done[lane]:
        seen = RoundProgress(
          system,
          run.seed,
          run.round,
          run_state.answered(run.state),
          int(now.step[lane]),
          _metrics(now, lane),
        )
        self.tell('on_progress', seen)

  def record(self, record: RoundRecord) -> RoundRecord:
    """Tells of a record, and returns it."""
    self.tell('on_record', record)
    return record

  def pictures(self, pictures: RoundPictures | None) -> None:
    """Tells of the pictures of a round, if there are any."""
    if pictures is not None:
      self.tell('on_pictures', pictures)


def _metrics(now, lane):
  """Those of the epoch under way, and of the last one where it has begun."""
  found = {name: float(of[lane]) for name, of in now.metrics.items()}
  running = (now.running or {}).items()
  fresh = {name: float(of[lane]) for name, of in running}
  found |= {name: of for name, of in fresh.items() if np.isfinite(of)}
  return {name: of for name, of in found.items() if np.isfinite(of)}
