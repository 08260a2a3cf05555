"""A stopwatch for the parts of a round."""

import time


class Stopwatch:
  """Measures laps; the results of a lap must be on the host when it ends."""

  def __init__(self):
    self._last = time.perf_counter()

  def lap(self) -> float:
    """Returns the seconds since the previous lap, or since creation."""
    now = time.perf_counter()
    seconds, self._last = now - self._last, now
    return seconds
