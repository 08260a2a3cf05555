"""Events that the loop sends to observers, in addition to its records."""

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

# Shortest time between two reports of progress.
_SECONDS_BETWEEN = 1.0


class RoundProgress(NamedTuple):
  """Progress of a round's training.

  Attributes:
    system: name of the system.
    seed: seed of the run.
    round: the current round.
    labels: number of labels paid for so far.
    step: steps taken in this round.
    metrics: means over the current epoch, or over the last one where the
      current one has none yet; unknown values are left out.
  """

  system: str
  seed: int
  round: int
  labels: int
  step: int
  metrics: Mapping[str, float]


class Observer(Protocol):
  """Observer of a run; it may leave out methods that it does not need."""

  def on_progress(self, progress: RoundProgress) -> None:
    """Receives the progress of a round, about once a second."""

  def on_record(self, record: RoundRecord) -> None:
    """Receives the record of a round; of a resumed run also earlier ones."""

  def on_pictures(self, pictures: RoundPictures) -> None:
    """Receives pictures of a trained round, before its record.

    Pictures from earlier processes are not sent again. A round that is rerun
    sends the same pictures again.
    """

  def on_queries(self, queries: RoundQueries) -> None:
    """Receives the queries of a round and the model's predictions for them.

    It is called before the record, and again if the round is rerun. The
    predictions are computed only if an observer has this method.
    """

  def on_made(self, made: RoundMade) -> None:
    """Receives the made queries of a round, and their answers.

    It is called before the record, and again if the round is rerun.
    """


class Events:
  """Dispatches events to observers."""

  def __init__(self, observers: Sequence[Observer]):
    """Stores the observers.

    Args:
      observers: observers, called in this order.
    """
    self._observers = tuple(observers)
    self._last = time.monotonic()

  def wanted(self, name: str) -> bool:
    """Returns whether an observer has a method of this name."""
    return any(hasattr(each, name) for each in self._observers)

  def tell(self, name: str, content: Any) -> None:
    """Calls the method of this name of every observer that has it."""
    for observer in self._observers:
      method = getattr(observer, name, None)
      if method is not None:
        method(content)

  def progress(self, system: str, runs: Sequence[Run], now: Progress) -> None:
    """Reports the progress of a round, at most once a second.

    Args:
      system: name of the system.
      runs: one run per lane.
      now: progress on the host, with a leading lane axis.
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
    """Sends a record to the observers, and returns it."""
    self.tell('on_record', record)
    return record

  def pictures(self, pictures: RoundPictures | None) -> None:
    """Sends the pictures of a round to the observers, if there are any."""
    if pictures is not None:
      self.tell('on_pictures', pictures)


def _metrics(now, lane):
  """Returns the finite metrics, those of the current epoch where known."""
  found = {name: float(of[lane]) for name, of in now.metrics.items()}
  running = (now.running or {}).items()
  fresh = {name: float(of[lane]) for name, of in running}
  found |= {name: of for name, of in fresh.items() if np.isfinite(of)}
  return {name: of for name, of in found.items() if np.isfinite(of)}
