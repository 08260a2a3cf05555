"""A thread that does one job after another while the caller goes on."""

import threading
from collections.abc import Callable
from typing import Any


class Background:
  """One job under way, and at most one more waiting.

  An error in a job is kept, and raised by the next `put`, `wait` or `close`;
  what was waiting is done all the same.
  """

  def __init__(self, work: Callable[[Any], None]):
    self._work = work
    self._changed = threading.Condition()
    # Lists of at most one, for a job may be anything.
    self._waiting = []
    self._under_way = []
    self._waiting_is_replaceable = False
    self._error = None
    self._closed = False
    # A daemon: who forgets to close can still end the process.
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._thread.start()

  def put(self, job: Any, *, replaceable: bool = False) -> None:
    """Has a job done.

    If one is waiting already, a replaceable one is dropped for this one; for
    another this call waits until it begins.

    Args:
      job: what the work is called with.
      replaceable: a later job may take the place of this one if it has not
        begun.

    Raises:
      Exception: that of an earlier job; this one is not taken.
      ValueError: closed.
    """
    if self._error is not None:
      self.wait()
    with self._changed:
      self._changed.wait_for(
        lambda: not self._waiting or self._waiting_is_replaceable
      )
      if self._closed:
        raise ValueError('Nothing can be put into the background: closed.')
      self._waiting = [job]
      self._waiting_is_replaceable = replaceable
      self._changed.notify_all()

  def wait(self) -> None:
    """Until all jobs are done; raises the error of one that failed."""
    with self._changed:
      self._changed.wait_for(lambda: not self._waiting and not self._under_way)
      error, self._error = self._error, None
    if error is not None:
      raise error

  def close(self) -> None:
    """Waits, then ends the thread; more than once is once."""
    try:
      self.wait()
    finally:
      with self._changed:
        self._closed = True
        self._changed.notify_all()
      self._thread.join()

  def _run(self) -> None:
    while True:
      with self._changed:
        self._changed.wait_for(lambda: self._waiting or self._closed)
        if not self._waiting:
          return
        self._under_way, self._waiting = self._waiting, []
        self._changed.notify_all()
      try:
        self._work(self._under_way[0])
      except BaseException as error:
        # asyncio's cancellation is no Exception. Were the thread to die of it,
        # who waits would wait for ever.
        self._error = error
      with self._changed:
        self._under_way = []
        self._changed.notify_all()
