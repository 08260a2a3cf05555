"""Handles Ctrl-C and SIGTERM: first a request, then an end; no tracebacks."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator

_CAUGHT = (signal.SIGINT, signal.SIGTERM)


def end_at_once(number: int, frame: object) -> None:
  """Ends this process and its workers; everything saved is complete.

  Args:
    number: number of the signal, which determines the exit status.
    frame: not used.
  """
  del frame
  for child in multiprocessing.active_children():
    child.kill()
  os.write(2, b'Stopped at once.\n')
  # Skips all cleanup, which would wait for locks and threads of a computation.
  os._exit(exit_status(number))


def exit_status(number: int | None) -> int:
  """Returns the exit status after a signal; None stands for Ctrl-C."""
  return 128 + (signal.SIGINT if number is None else number)


def end_quietly() -> None:
  """Makes signals end the process with one line from now on."""
  for number in _CAUGHT:
    # A signal ignored from the start, as by nohup, stays ignored.
    if signal.getsignal(number) != signal.SIG_IGN:
      signal.signal(number, end_at_once)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
  """Blocks signals while open, and for good in processes started meanwhile."""
  before = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopRequest:
  """False until a signal requests a stop.

  After the first Ctrl-C or SIGTERM the run is saved; a second one ends it at
  once.

  Attributes:
    number: number of the signal; None before there is one.
  """

  def __init__(self):
    self.number = None

  def __call__(self) -> bool:
    """Returns whether a stop was requested."""
    return self.number is not None

  @contextlib.contextmanager
  def listening(self) -> Iterator['StopRequest']:
    """Turns signals into requests while open."""
    before = {number: signal.getsignal(number) for number in _CAUGHT}
    for number in _CAUGHT:
      signal.signal(number, self._ask)
    try:
      yield self
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def _ask(self, number, frame):
    if self.number is not None:
      end_at_once(number, frame)
    self.number = number
    # Not with `print`, which the signal may have interrupted.
    os.write(
      sys.__stderr__.fileno(),
      b'Stopping once everything is saved; press again to stop at once. This '
      b'waits for the device: minutes if programs are being compiled.\n',
    )
