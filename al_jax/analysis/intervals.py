"""How far a mean over seeds could have come out otherwise, by resampling them.

A bootstrap of a handful of seeds is a little too sure of itself: with five, its
95% interval holds the truth in about 85 of 100 cases (a mean of normal values).
It is there for quantities that have no standard error, and to compare areas.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from al_jax.analysis import curves

RESAMPLES = 10_000
LEVEL = 0.95

# Of one system: values by seed, then number of labels.
BySeed = Mapping[int, Mapping[int, float]]


class Interval(NamedTuple):
  """An estimate and the interval around it, NaN if there is a single seed."""

  estimate: float
  low: float
  high: float


def resampled_means(
  values: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> np.ndarray:
  """Means over seeds that are drawn with replacement, as many as there are.

  Which are drawn depends on `seed` and on the number R alone: what is put in
  one array, or in two with the same seeds in the same order, stays paired.

  Args:
    values: float[R, ...], a row per seed of the runs.
    seed: of the draws.
    resamples: how many draws.

  Returns:
    float[resamples, ...].
  """
  values = np.asarray(values, float)
  if values.ndim == 0 or len(values) == 0:
    raise ValueError(
      f'values has shape {values.shape}; a row for at least one seed is needed.'
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
  """The percentile interval of draws.

  Args:
    estimate: of the data themselves.
    draws: [resamples], of the resampled data; infinities count as the largest
      and the smallest.
    level: the share of the draws within.

  Returns:
    An Interval.
  """
  tails = [(1 - level) / 2, (1 + level) / 2]
  # Takes a draw as it is: between infinities nothing can be interpolated.
  low, high = np.quantile(draws, tails, method='inverted_cdf')
  return Interval(float(estimate), float(low), float(high))


def mean_interval(
  values: np.ndarray,
  *,
  seed: int = 0,
  resamples: int = RESAMPLES,
  level: float = LEVEL,
) -> Interval:
  """The mean of float[R] values, one per seed, with its interval."""
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
  """The area under each system's curve, with its bootstrap interval.

  All areas are over the label counts that every run has, see
  `curves.area_under_curve`.

  Args:
    runs: see `curves.runs`.
    baseline: if given, the areas are less its area, paired by seed over the
      seeds that a system and the baseline have; itself is left out.
    seed: of the draws.
    resamples: how many draws.
    level: the share of the draws within the interval.

  Returns:
    An Interval by system; empty where the runs have no label count in common.
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
  """The area under each run's curve over the label counts that all have.

  Args:
    runs: see `curves.runs`.

  Returns:
    The area by system, then seed; empty where no label count is common.
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
  """Where curves first reach a value, by linear interpolation between points.

  Args:
    labels: [L], increasing.
    values: float[..., L], any number of curves.
    target: float[...], a value for each.
    slack: float[...]; values so far below the target have reached it.

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
  # At the first point there is nothing to interpolate, and high is low.
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
  """The labels at which a mean curve reaches the baseline's final value.

  Both means are over the seeds that both have. The bootstrap draws seeds, the
  same for both, and takes both the curve and the final value anew.

  Args:
    system: values by seed, then number of labels.
    baseline: the same, of the system whose last value is the one to reach.
    larger_is_better: whether curves reach it from below, or from above.
    seed: of the draws.
    resamples: how many draws.
    level: the share of the draws within the interval.

  Returns:
    An Interval; infinity means that the value is not reached. Of a single seed
    there is no interval: NaN.
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
  # A column per point of the curve, and last the value to reach.
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
    # What differs by rounding is the same value.
    target = means[..., -1]
    slack = curves.ROUNDING * np.abs(target)
    return first_reach(np.array(labels), means[..., :-1], target, slack)

  estimate = float(reach(table.mean(0)))
  if len(shared) == 1:
    return Interval(estimate, np.nan, np.nan)
  draws = resampled_means(table, seed=seed, resamples=resamples)
  return interval(estimate, reach(draws), level=level)
