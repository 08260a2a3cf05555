"""How often one system beats another: BADGE's pairwise penalty matrix.

After Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain
Gradient Lower Bounds", section 4.
"""

import types
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from al_jax import errors
from al_jax.analysis import stats

# A round at which random has this share of its final accuracy is too late to
# tell strategies apart.
_NEARLY_DONE = 0.99
_MOST_REPETITIONS = 5
_SIGNIFICANT = 0.05


class Setting(NamedTuple):
  """The runs of all systems on one data set, with one model and batch size.

  Attributes:
    runs: accuracy by system, seed and number of labels, see `stats.runs`.
    axes: what sets it apart, such as `{'data': 'letter', 'batch': '100'}`.
  """

  runs: stats.Runs
  axes: Mapping[str, str] = types.MappingProxyType({})


class PenaltyMatrix(NamedTuple):
  """Who beats whom.

  Attributes:
    systems: A names.
    matrix: float[A, A]; row i, column j: the share of the checkpoints at which
      i beats j, summed over settings, so at most `settings`. The diagonal is 0.
    column_mean: float[A], over all A rows: how often a system is beaten; lower
      is better.
    settings: how many settings were counted.
  """

  systems: tuple[str, ...]
  matrix: np.ndarray
  column_mean: np.ndarray
  settings: int


Anything = TypeVar('Anything')


def checkpoints(baseline: Mapping[int, Mapping[int, float]]) -> list[int]:
  """The numbers of labels at which the systems of a setting are compared.

  The first set M, then M + b, M + 2b, M + 4b, ...: up to the last number of
  labels of the baseline, or, exclusively, up to where its mean accuracy is
  above 99% of its last. M is the baseline's first number of labels, b the step
  to its second.

  Args:
    baseline: random's accuracy by seed, then number of labels. Numbers that
      not every seed has do not count.

  Returns:
    Increasing numbers of labels; M is always there.
  """
  recorded = stats.common_labels(baseline.values())
  if not recorded:
    raise ValueError(
      'baseline has no number of labels that all of its seeds have.'
    )
  mean = _mean_by_labels(baseline, recorded)
  first, last = recorded[0], recorded[-1]
  found = [first]
  if len(recorded) == 1:
    return found
  step = recorded[1] - first
  labels = first + step
  while labels <= last:
    if labels not in mean:
      raise ValueError(
        f'baseline has no record at {labels} labels: from {first} on its '
        f'rounds must be of {step} labels, but they are at {recorded}.'
      )
    if mean[labels] > _NEARLY_DONE * mean[last]:
      break
    found.append(labels)
    step *= 2
    labels = first + step
  return found


def beats(
  a: Mapping[int, Mapping[int, float]],
  b: Mapping[int, Mapping[int, float]],
  labels: int,
) -> bool:
  """Whether a is significantly better than b at a number of labels.

  A two-sided t-test of the differences, paired by seed, of the first five
  seeds that both have: mean > 0 and p < 0.05. Where all differences are the
  same, a mean above zero is a win and a mean of zero is none.

  Args:
    a: accuracy by seed, then number of labels.
    b: the same of the other system.
    labels: where to compare them.

  Returns:
    Whether it is; False where fewer than two pairs are there.
  """
  seeds = sorted(
    seed for seed in set(a) & set(b) if labels in a[seed] and labels in b[seed]
  )[:_MOST_REPETITIONS]
  if len(seeds) < 2:
    return False
  difference = stats.paired_difference(
    {seed: a[seed][labels] for seed in seeds},
    {seed: b[seed][labels] for seed in seeds},
  )
  return difference.mean > 0 and difference.p_value < _SIGNIFICANT


def penalty_matrix(
  settings: Sequence[Setting],
  *,
  baseline: str = 'random',
  systems: Sequence[str] | None = None,
) -> PenaltyMatrix:
  """How often each system beats each other one, over settings.

  P[i, j] = sum over settings of (checkpoints at which i beats j) / K, with K
  the number of checkpoints of the setting: each setting counts the same.

  Args:
    settings: at least one, each with the baseline.
    baseline: the system that sets the checkpoints.
    systems: rows and columns, which each setting must have; those that all
      settings have if None.

  Returns:
    A PenaltyMatrix.
  """
  if systems is None:
    systems = common_systems(settings)
  matrix = np.zeros((len(systems), len(systems)))
  for setting in settings:
    for name in (baseline, *systems):
      if name not in setting.runs:
        raise errors.unknown_name('System', name, setting.runs)
    at = checkpoints(setting.runs[baseline])
    for i, a in enumerate(systems):
      for j, b in enumerate(systems):
        if i != j:
          wins = sum(beats(setting.runs[a], setting.runs[b], n) for n in at)
          matrix[i, j] += wins / len(at)
  return PenaltyMatrix(
    tuple(systems), matrix, matrix.sum(0) / max(len(systems), 1), len(settings)
  )


def common_systems(settings: Sequence[Setting]) -> list[str]:
  """The systems that all settings have, in the order of the first."""
  if not settings:
    raise ValueError('settings is empty; a comparison needs at least one.')
  return [
    name
    for name in settings[0].runs
    if all(name in setting.runs for setting in settings)
  ]


def by_axis(
  settings: Sequence[Anything], axis: str
) -> dict[str, list[Anything]]:
  """Settings by their value on an axis.

  Args:
    settings: anything with `axes`; those without this axis are left out.
    axis: its name.

  Returns:
    Lists by value; values that are numbers come first, in their order.
  """
  groups: dict[str, list[Anything]] = {}
  for setting in settings:
    if axis in setting.axes:
      groups.setdefault(str(setting.axes[axis]), []).append(setting)
  return {value: groups[value] for value in sorted(groups, key=numbers_first)}


def numbers_first(value: str) -> tuple[int, float, str]:
  """Sorts names that are numbers by their value, before all others."""
  try:
    return (0, float(value), value)
  except ValueError:
    return (1, 0.0, value)


def _mean_by_labels(
  by_seed: Mapping[int, Mapping[int, float]], labels: Sequence[int]
) -> dict[int, float]:
  return {
    n: float(np.mean([run[n] for run in by_seed.values()])) for n in labels
  }
