"""Bootstrap intervals of means over seeds.

A bootstrap of a few seeds gives intervals that are slightly too narrow. With
five seeds, its 95% interval contains the truth in about 85 of 100 cases (for a
mean of normal values). Use it for quantities without a standard error, and to
compare areas.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from al_jax.analysis import curves

RESAMPLES = 10_000
LEVEL = 0.95

# Values of one system by seed, then number of labels.
BySeed = Mapping[int, Mapping[int, float]]


class Interval(NamedTuple):
  """Estimate and the interval around it, NaN if there is a single seed."""

  estimate: float
  low: float
  high: float


def resampled_means(
  values: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> np.ndarray:
  """Draws as many seeds as there are, with replacement, and takes their means.

  The draw depends only on `seed` and on the number of rows R. Quantities in one
  array, or in two arrays with the same seeds in the same order, therefore stay
  paired.

  Args:
    values: float[R, ...], one row per seed of the runs.
    seed: Seed of the draws.
    resamples: Number of draws.

  Returns:
    float[resamples, ...].
  """
  values = np.asarray(values, float)
  if values.ndim == 0 or len(values) == 0:
    raise ValueError(
      f'values has shape {values.shape}; it must have a row for each of one or '
      'more seeds.'
    )
  size = len(values)
  generator = np.random.default_rng(seed)
  drawn = generator.integers(size, size=(resamples, size))
  times = np.zeros((resamples, size))
  np.add.at(times, (np.arange(resamples)[:, None], drawn), 1)
  return np.tensordot(times / size, values, 1)


def interval(
  estimate: float, draws: np.ndarray, *, level: float = LEVEL
) -> Interval:
  """Computes the percentile interval of draws.

  Args:
    estimate: Estimate from the data themselves.
    draws: [resamples], estimates from resampled data; infinities count as the
      largest and the smallest.
    level: Share of the draws inside the interval.

  Returns:
    An Interval.
  """
  tails = [(1 - level) / 2, (1 + level) / 2]
  # Picks a draw: interpolating between infinities gives NaN.
  low, high = np.quantile(draws, tails, method='inverted_cdf')
  return Interval(float(estimate), float(low), float(high))


def mean_interval(
  values: np.ndarray,
  *,
  seed: int = 0,
  resamples: int = RESAMPLES,
  level: float = LEVEL,
) -> Interval:
  """Computes the mean of float[R] values, one per seed, with its interval."""
  values = np.asarray(values, float)
  if values.size == 1:
    return Interval(float(values[0]), np.nan, np.nan)
  draws = resampled_means(values, seed=seed, resamples=resamples)
  return interval(np.mean(values), draws, level=level)


def areas(
  runs: curves.Runs,
  *,
  baseline: str | None = None,
  seed: int = 0,
  resamples: int = RESAMPLES,
  level: float = LEVEL,
) -> dict[str, Interval]:
  """Computes the area under each system's curve, with its bootstrap interval.

  All areas are over the label counts that every run has, see
  `curves.area_under_curve`.

  Args:
    runs: See `curves.runs`.
    baseline: System whose area is subtracted, paired by seed over the seeds
      that a system and the baseline have; the result leaves it out. If None,
      nothing is subtracted.
    seed: Seed of the draws.
    resamples: Number of draws.
    level: Share of the draws inside the interval.

  Returns:
    An Interval by system; empty if the runs have no label count in common.
  """
  by_seed = areas_by_seed(runs)
  found = {}
  for system, of_system in by_seed.items():
    if baseline is None:
      values = [of_system[key] for key in sorted(of_system)]
    elif system == baseline:
      continue
    else:
      base = by_seed.get(baseline, {})
      shared = sorted(of_system.keys() & base.keys())
      values = [of_system[key] - base[key] for key in shared]
    if values:
      found[system] = mean_interval(
        np.array(values), seed=seed, resamples=resamples, level=level
      )
  return found


def areas_by_seed(runs: curves.Runs) -> dict[str, dict[int, float]]:
  """Computes the area under each run's curve over the common label counts.

  Args:
    runs: See `curves.runs`.

  Returns:
    The area by system, then seed; empty if no label count is common.
  """
  common = curves.labels_of_all(runs)
  if not common:
    return {}
  return {
    system: {
      key: curves.area_under_curve(common, [run[labels] for labels in common])
      for key, run in by_seed.items()
    }
    for system, by_seed in runs.items()
  }


def first_reach(
  labels: np.ndarray,
  values: np.ndarray,
  target: np.ndarray,
  slack: np.ndarray | float = 0.0,
) -> np.ndarray:
  """Finds where curves first reach a value, by linear interpolation.

  Args:
    labels: [L], increasing.
    values: float[..., L], any number of curves.
    target: float[...], one value per curve.
    slack: Tolerance, float[...]; target - slack counts as reached.

  Returns:
    float[...]: numbers of labels; infinity where the value is not reached. A
    curve that begins at or above its value has reached it at labels[0].
  """
  labels = np.asarray(labels, float)
  values = np.asarray(values, float)
  target = np.asarray(target, float)
  if labels.ndim != 1 or labels.size == 0 or values.shape[-1:] != labels.shape:
    raise ValueError(
      f'labels has shape {labels.shape} and values {values.shape}; they must '
      'be [L] and [..., L], with L at least 1.'
    )
  reached = values >= (target - slack)[..., None]
  after = np.argmax(reached, -1)
  before = np.maximum(after - 1, 0)
  low = np.take_along_axis(values, before[..., None], -1)[..., 0]
  high = np.take_along_axis(values, after[..., None], -1)[..., 0]
  # At the first point there is nothing to interpolate: high equals low.
  rise = np.where(high > low, high - low, 1.0)
  share = np.clip(np.where(after > before, (target - low) / rise, 0.0), 0, 1)
  where = labels[before] + share * (labels[after] - labels[before])
  return np.where(reached.any(-1), where, np.inf)


def labels_to_reach(
  system: BySeed,
  baseline: BySeed,
  *,
  larger_is_better: bool = True,
  seed: int = 0,
  resamples: int = RESAMPLES,
  level: float = LEVEL,
) -> Interval:
  """Finds the labels at which a mean curve reaches the baseline's final value.

  Both means are over the seeds that both have. The bootstrap draws the same
  seeds for both, and recomputes both the curve and the final value.

  Args:
    system: Values by seed, then number of labels.
    baseline: Values, by seed and number of labels, of the system whose last
      value is the one to reach.
    larger_is_better: Whether curves reach it from below, or from above.
    seed: Seed of the draws.
    resamples: Number of draws.
    level: Share of the draws inside the interval.

  Returns:
    An Interval; infinity means that the value is not reached. With a single
    seed the interval is NaN.
  """
  shared = sorted(set(system) & set(baseline))
  if not shared:
    raise ValueError(
      f'system has seeds {sorted(system)} and baseline {sorted(baseline)}; '
      'they need a common one.'
    )
  labels = curves.common_labels(system[key] for key in shared)
  ends = curves.common_labels(baseline[key] for key in shared)
  if not labels or not ends:
    raise ValueError('The seeds have no number of labels in common.')
  # Columns: the points of the curve, then the value to reach.
  table = np.array(
    [
      [*(system[key][n] for n in labels), baseline[key][ends[-1]]]
      for key in shared
    ],
    float,
  )

  if not np.isfinite(table).all():
    raise ValueError(
      f'a value is {table[~np.isfinite(table)][0]}; all must be finite.'
    )

  if not larger_is_better:
    table = -table

  def reach(means):
    # Values that differ by rounding count as equal.
    target = means[..., -1]
    slack = curves.ROUNDING * np.abs(target)
    return first_reach(np.array(labels), means[..., :-1], target, slack)

  estimate = float(reach(table.mean(0)))
  if len(shared) == 1:
    return Interval(estimate, np.nan, np.nan)
  draws = resampled_means(table, seed=seed, resamples=resamples)
  return interval(estimate, reach(draws), level=level)
