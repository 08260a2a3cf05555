"""The least time of several: what is nearest to an idle machine's."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from experiments.benchmarks import timing

_Name = TypeVar('_Name', bound=Hashable)
# Each is measured so often at least, and until it has taken these seconds:
# other work comes in spells of seconds, which a short call must outlast.
_FEWEST, _ENOUGH_SECONDS = 3, 3.0


def least_in_turns(
  calls: Mapping[_Name, Callable[[], Any]],
) -> dict[_Name, float]:
  """Measures all calls in turns, after once each that does not count.

  Args:
    calls: by name; what they return is waited for.

  Returns:
    The least seconds of each.
  """
  for call in calls.values():
    timing.seconds_of(call)  # compiles
  found = {name: [] for name in calls}
  while not all(map(_is_enough, found.values())):
    for name, call in calls.items():
      found[name].append(timing.seconds_of(call))
  return {name: min(times) for name, times in found.items()}


def _is_enough(times):
  return len(times) >= _FEWEST and sum(times) >= _ENOUGH_SECONDS
