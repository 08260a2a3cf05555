"""Ctrl-C and SIGTERM: at first a request, then an end, and never a trace."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator

_CAUGHT = (signal.SIGINT, signal.SIGTERM)


def end_at_once(number: int, frame: object) -> None:
  """Ends this process and its workers; whatever was saved is whole.

  Args:
    number: of the signal; the exit status is what a shell expects after it.
    frame: not used.
  """
  del frame
  for child in multiprocessing.active_children():
    child.kill()
  os.write(2, b'Stopped at once.\n')
  # Nothing is unwound: locks and threads of a computation would be waited for.
  os._exit(exit_status(number))


def exit_status(number: int | None) -> int:
  """What a shell expects of a program that a signal, Ctrl-C if None, ended."""
  return 128 + (signal.SIGINT if number is None else number)


def end_quietly() -> None:
  """From now on signals end the process with one line."""
  for number in _CAUGHT:
    # What was started to go on in spite of a signal stays so (nohup).
    if signal.getsignal(number) != signal.SIG_IGN:
      signal.signal(number, end_at_once)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
  """While open, signals wait; processes started meanwhile never hear them."""
  before = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopRequest:
  """False until a signal asks for an end.

  The first Ctrl-C or SIGTERM lets the run be saved; a second one ends it at
  once.

  Attributes:
    number: of the signal; None before there was one.
  """

  def __init__(self):
    self.number = None

  def __call__(self) -> bool:
    """Whether an end has been asked for."""
    return self.number is not None

  @contextlib.contextmanager
  def listening(self) -> Iterator['StopRequest']:
    """While open, signals become requests."""
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
    # Not by `print`: it may be what the signal came in the midst of.
    os.write(
      sys.__stderr__.fileno(),
      b'Stopping as soon as all is saved; once more to stop at once. What the '
      b'device does now is waited for: minutes, where programs are compiled.\n',
    )
