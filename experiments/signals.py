"""Ctrl-C as a request that the loop looks at between two calls."""

import contextlib
import signal
import sys
from collections.abc import Iterator


class StopRequest:
  """False until a signal asks for an end.

  The first Ctrl-C or SIGTERM lets the run be saved; a second one is what it
  always was.
  """

  def __init__(self):
    self._asked = False

  def __call__(self) -> bool:
    """Whether an end has been asked for."""
    return self._asked

  @contextlib.contextmanager
  def listening(self) -> Iterator['StopRequest']:
    """While open, signals become requests."""
    caught = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in caught}
    for number in caught:
      signal.signal(number, self._ask)
    try:
      yield self
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def _ask(self, number, frame):
    del number, frame
    if self._asked:
      raise KeyboardInterrupt
    self._asked = True
    print(
      'Stopping as soon as all is saved; once more to stop at once.',
      file=sys.stderr,
    )
