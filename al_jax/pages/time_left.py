"""Estimates how long a run will take."""

import collections
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# Seconds by system, seed and round.
Seconds = Mapping[tuple[str, int, int], float]


def estimate(
  done: Seconds,
  systems: Sequence[str],
  seeds: Iterable[int],
  rounds: int,
  *,
  elapsed: float,
  num_new: int,
) -> float | None:
  """Estimates the seconds until all rounds are finished.

  The time of a round is predicted by the same round of other seeds; without
  these, by the last rounds of its system; without these, by the same round of
  other systems. The sum is scaled by the elapsed time per second of a record,
  which accounts for rounds that run in parallel.

  Args:
    done: Seconds of the finished rounds, of all processes.
    systems: Names of the systems.
    seeds: Seeds of each system.
    rounds: Number of rounds per system and seed.
    elapsed: Seconds from the beginning of the current process to its last
      record.
    num_new: Number of rounds that the current process has finished.

  Returns:
    Seconds from the last record on; None before the first record.
  """
  if not done or num_new < 1 or elapsed <= 0:
    return None
  of_round, of_system, of_any = (
    collections.defaultdict(list) for _ in range(3)
  )
  for (system, _, number), seconds in sorted(
    done.items(), key=lambda item: item[0][2]
  ):
    of_round[system, number].append(seconds)
    of_system[system].append(seconds)
    of_any[number].append(seconds)
  mean = float(np.mean(list(done.values())))

  def predicted(system, number):
    found = of_round.get((system, number))
    # Only the last rounds: rounds get slower as labels are added.
    found = found or of_system.get(system, [])[-3:] or of_any.get(number)
    return float(np.mean(found)) if found else mean

  left = sum(
    predicted(system, number)
    for system in systems
    for seed in seeds
    for number in range(rounds)
    if (system, seed, number) not in done
  )
  if mean <= 0:
    return left
  # Elapsed seconds per second of a record.
  pace = elapsed / (num_new * mean)
  return left * pace
