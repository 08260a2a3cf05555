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
  """Estimates the seconds until all rounds are done.

  A round takes about as long as the same round of other seeds did; without
  one, as the last known rounds of its system; without these, as the same round
  of other systems. Rounds that run side by side take their share of the time
  that passes.

  Args:
    done: seconds of the rounds that are done, of all processes.
    systems: names of the systems.
    seeds: seeds that each system runs with.
    rounds: number of rounds per system and seed.
    elapsed: seconds from the beginning of the process under way to its last
      record.
    num_new: number of rounds that this process has done.

  Returns:
    Seconds from the last record on; None before the first one.
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
    # The newest rounds: later ones train on more labels.
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
  # Seconds that pass for each second of a record.
  pace = elapsed / (num_new * mean)
  return left * pace
