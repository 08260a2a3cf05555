"""How a system's errors compare to random's, over settings and checkpoints."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from al_jax import errors
from al_jax.analysis import penalty


class WeightedCdf(NamedTuple):
  """A cumulative distribution of weighted values.

  Attributes:
    values: float[V], increasing.
    cumulative: float[V], the share of the weight at or below each; ends at 1.
  """

  values: np.ndarray
  cumulative: np.ndarray


def normalised_errors(
  settings: Sequence[penalty.Setting],
  *,
  baseline: str = 'random',
  systems: Sequence[str] | None = None,
) -> dict[str, WeightedCdf]:
  """The distribution of error / error of random, for each system.

  The errors are means over seeds, at the checkpoints of `penalty.checkpoints`;
  each has the weight 1 / K, with K the checkpoints of its setting, and weights
  are scaled to a sum of 1. A checkpoint at which random makes no error, or at
  which a system has no record, counts neither as a value nor as a weight.

  Args:
    settings: at least one, each with the baseline.
    baseline: the system that the errors are divided by.
    systems: whose distributions; those that all settings have if None.

  Returns:
    A WeightedCdf by system; a system without any value is left out. That of
    the baseline is a step at 1.
  """
  if systems is None:
    systems = penalty.common_systems(settings)
  ratios = {system: [] for system in systems}
  for setting in settings:
    if baseline not in setting.runs:
      raise errors.unknown_name('System', baseline, setting.runs)
    at = penalty.checkpoints(setting.runs[baseline])
    for labels in at:
      random_error = _mean_error(setting.runs[baseline], labels)
      if not random_error:
        continue
      for system in systems:
        error = _mean_error(setting.runs.get(system, {}), labels)
        if error is not None and not np.isfinite(error / random_error):
          raise ValueError(
            f'the error of {system!r} at {labels} labels is {error}, that of '
            f'{baseline!r} {random_error}; both must be finite.'
          )
        if error is not None:
          ratios[system].append((error / random_error, 1 / len(at)))
  return {
    system: weighted_cdf(*zip(*pairs, strict=True))
    for system, pairs in ratios.items()
    if pairs
  }


def weighted_cdf(
  values: Sequence[float], weights: Sequence[float]
) -> WeightedCdf:
  """The cumulative distribution of values with weights.

  Args:
    values: [V], at least one, in any order.
    weights: [V], positive, of any sum.

  Returns:
    A WeightedCdf.
  """
  values, weights = np.asarray(values, float), np.asarray(weights, float)
  if values.size == 0 or values.shape != weights.shape:
    raise ValueError(
      f'values has shape {values.shape} and weights {weights.shape}; both must '
      'be [V], with V at least 1.'
    )
  order = np.argsort(values, kind='stable')
  total = np.cumsum(weights[order])
  return WeightedCdf(values[order], total / total[-1])


def _mean_error(by_seed, labels: int) -> float | None:
  accuracies = [run[labels] for run in by_seed.values() if labels in run]
  return 1 - float(np.mean(accuracies)) if accuracies else None
