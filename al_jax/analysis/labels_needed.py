"""How many labels a system needs to get as far as another one ended."""

import numpy as np

from al_jax.analysis import bootstrap, stats


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
  system: bootstrap.BySeed,
  baseline: bootstrap.BySeed,
  *,
  seed: int = 0,
  resamples: int = bootstrap.RESAMPLES,
  level: float = bootstrap.LEVEL,
) -> bootstrap.Interval:
  """The labels at which a mean curve reaches the baseline's final value.

  Both means are over the seeds that both have. The bootstrap draws seeds, the
  same for both, and takes both the curve and the final value anew.

  Args:
    system: values by seed, then number of labels.
    baseline: the same, of the system whose last value is the one to reach.
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
  labels = stats.common_labels(system[key] for key in shared)
  ends = stats.common_labels(baseline[key] for key in shared)
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

  def reach(means):
    # What differs by rounding is the same value.
    target = means[..., -1]
    slack = stats.ROUNDING * np.abs(target)
    return first_reach(np.array(labels), means[..., :-1], target, slack)

  estimate = float(reach(table.mean(0)))
  if len(shared) == 1:
    return bootstrap.Interval(estimate, np.nan, np.nan)
  draws = bootstrap.resampled_means(table, seed=seed, resamples=resamples)
  return bootstrap.interval(estimate, reach(draws), level=level)
