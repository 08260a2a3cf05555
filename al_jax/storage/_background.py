"""A thread that runs jobs one after another while the caller continues."""

import threading
from collections.abc import Callable
from typing import Any


class Background:
  """Worker thread with one running job and at most one waiting job.

  The next `put`, `wait` or `close` raises the error of a failed job. A job that
  was waiting behind it still runs.
  """

  def __init__(self, work: Callable[[Any], None]):
    self._work = work
    self._changed = threading.Condition()
    # Lists of at most one entry, because a job may be any object, even None.
    self._waiting = []
    self._under_way = []
    self._waiting_is_replaceable = False
    self._error = None
    self._closed = False
    # A daemon, so that the process can exit even without a call of `close`.
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._thread.start()

  def put(self, job: Any, *, replaceable: bool = False) -> None:
    """Schedules a job.

    If a replaceable job is waiting, the new job replaces it. If another job is
    waiting, this call blocks until that job begins.

    Args:
      job: argument for `work`.
      replaceable: whether a later job may replace this one before it begins.

    Raises:
      Exception: the error of an earlier job; the new job is not scheduled.
      ValueError: the worker is closed.
    """
    if self._error is not None:
      self.wait()
    with self._changed:
      self._changed.wait_for(
        lambda: not self._waiting or self._waiting_is_replaceable
      )
      if self._closed:
        raise ValueError('The background worker is closed and takes no jobs.')
      self._waiting = [job]
      self._waiting_is_replaceable = replaceable
      self._changed.notify_all()

  def wait(self) -> None:
    """Blocks until all jobs are done; raises the error of a failed one."""
    with self._changed:
      self._changed.wait_for(lambda: not self._waiting and not self._under_way)
      error, self._error = self._error, None
    if error is not None:
      raise error

  def close(self) -> None:
    """Waits for all jobs and ends the thread; idempotent."""
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
        # asyncio.CancelledError is not an Exception. If it killed the thread,
        # callers of `wait` would wait forever.
        self._error = error
      with self._changed:
        self._under_way = []
        self._changed.notify_all()
