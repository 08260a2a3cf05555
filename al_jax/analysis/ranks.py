"""The place of each system among the others, over settings."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.stats

from al_jax.analysis import stats


def ranks(scores: Mapping[str, float]) -> dict[str, float]:
  """The rank of each system in one setting: 1 is the highest score.

  Args:
    scores: by system; those that are equal but for rounding share the mean of
      their ranks.

  Returns:
    The rank by system.
  """
  placed = scipy.stats.rankdata(-stats.tied(list(scores.values())))
  return {
    system: float(rank) for system, rank in zip(scores, placed, strict=True)
  }


def mean_ranks(
  scores: Sequence[Mapping[str, float]],
) -> dict[str, stats.Estimate]:
  """The mean rank of each system over settings.

  Only systems that all settings have are ranked, and only among each other.

  Args:
    scores: by system, for each setting; higher is better. At least one.

  Returns:
    By system, from the best: the mean rank with its standard error over
    settings. The better of two equal ones is the earlier of the first setting.
  """
  if not scores:
    raise ValueError('scores is empty; a rank needs at least one setting.')
  systems = [
    system for system in scores[0] if all(system in of for of in scores)
  ]
  placed = [ranks({system: of[system] for system in systems}) for of in scores]
  means = {
    system: stats.mean_and_standard_error(of[system] for of in placed)
    for system in systems
  }
  order = np.argsort([of.mean for of in means.values()], kind='stable')
  return {systems[i]: means[systems[i]] for i in order}
