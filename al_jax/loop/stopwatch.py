"""A stop watch for the parts of a round."""

import time


class Stopwatch:
  """Seconds between laps; results must be on the host when a lap ends."""

  def __init__(self):
    self._last = time.perf_counter()

  def lap(self) -> float:
    """Seconds since the lap before, or since it was made."""
    now = time.perf_counter()
    seconds, self._last = now - self._last, now
    return seconds
