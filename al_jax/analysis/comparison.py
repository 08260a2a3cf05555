"""Comparison of systems over a grid: wins, ranks, error distributions.

The penalty matrix is that of Ash et al. 2020, "Deep Batch Active Learning by
Diverse, Uncertain Gradient Lower Bounds", section 4.
"""

import types
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.stats

from al_jax import errors
from al_jax.analysis import curves
from al_jax.storage import metrics
from al_jax.tasks import Metric

# Once the baseline has this share of its final accuracy, a round is too late to
# distinguish strategies.
_NEARLY_DONE = 0.99
_MOST_REPETITIONS = 5
_SIGNIFICANT = 0.05


class CellScores(NamedTuple):
  """Scores of all systems in one cell of a grid.

  Attributes:
    runs: Values by system, seed and number of labels, see `curves.runs`.
    axes: Value of the cell on each axis of the grid, such as
      `{'data': 'letter', 'batch': '100'}`.
    metric: Metric of the values.
  """

  runs: curves.Runs
  axes: Mapping[str, str] = types.MappingProxyType({})
  metric: Metric = metrics.ACCURACY


class PenaltyMatrix(NamedTuple):
  """Matrix of which system beats which.

  Attributes:
    systems: Names of the A systems.
    matrix: float[A, A]; row i, column j: the share of the checkpoints at which
      i beats j, summed over cells, so at most `cells`. The diagonal is 0.
    column_mean: float[A], over all A rows: how often a system is beaten; lower
      is better.
    cells: Number of cells.
  """

  systems: tuple[str, ...]
  matrix: np.ndarray
  column_mean: np.ndarray
  cells: int


Anything = TypeVar('Anything')


def checkpoints(
  baseline: Mapping[int, Mapping[int, float]], *, larger_is_better: bool = True
) -> list[int]:
  """Lists the numbers of labels at which the systems of a cell are compared.

  They are M, then M + b, M + 2b, M + 4b, ..., where M is the baseline's first
  number of labels and b the step to its second. They end at the baseline's last
  number of labels, or before its mean exceeds 99% of its last mean. If smaller
  is better, they end before 99% of its mean is below its last mean.

  Args:
    baseline: Values of the baseline by seed, then number of labels. Numbers of
      labels that some seed lacks do not count.
    larger_is_better: Whether values rise as the baseline learns.

  Returns:
    Increasing numbers of labels, starting with M.
  """
  recorded = curves.common_labels(baseline.values())
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
        f'rounds must add {step} labels, but its records are at {recorded}.'
      )
    low, high = mean[labels], mean[last]
    if not larger_is_better:
      low, high = high, low
    if low > _NEARLY_DONE * high:
      break
    found.append(labels)
    step *= 2
    labels = first + step
  return found


def beats(
  a: Mapping[int, Mapping[int, float]],
  b: Mapping[int, Mapping[int, float]],
  labels: int,
  *,
  larger_is_better: bool = True,
) -> bool:
  """Returns whether a is significantly better than b at a number of labels.

  The test is a two-sided t-test of the differences, paired by seed, of the
  first five seeds that both have: a wins if mean > 0 and p < 0.05. If all
  differences are equal, a mean above zero is a win and a mean of zero is not.
  If smaller is better, the differences are b - a.

  Args:
    a: Values of one system by seed, then number of labels.
    b: Values of the other system by seed, then number of labels.
    labels: Number of labels at which to compare them.
    larger_is_better: Whether larger values are better.

  Returns:
    Whether a wins; False if there are fewer than two pairs.
  """
  seeds = sorted(
    seed for seed in set(a) & set(b) if labels in a[seed] and labels in b[seed]
  )[:_MOST_REPETITIONS]
  if len(seeds) < 2:
    return False
  if not larger_is_better:
    a, b = b, a
  difference = curves.paired_difference(
    {seed: a[seed][labels] for seed in seeds},
    {seed: b[seed][labels] for seed in seeds},
  )
  is_certain = difference.standard_error == 0 or (
    difference.p_value < _SIGNIFICANT
  )
  return difference.mean > 0 and is_certain


def penalty_matrix(
  cells: Sequence[CellScores],
  *,
  baseline: str = curves.BASELINE,
  systems: Sequence[str] | None = None,
) -> PenaltyMatrix:
  """Counts how often each system beats each other one, over cells.

  P[i, j] = sum over cells of (checkpoints at which i beats j) / K, with K
  the number of checkpoints of the cell, so that all cells weigh the same.

  Args:
    cells: Cells, at least one, each with the baseline.
    baseline: System that sets the checkpoints.
    systems: Rows and columns, which each cell must have. If None, the systems
      that all cells have.

  Returns:
    A PenaltyMatrix.
  """
  if systems is None:
    systems = common_systems(cells)
  matrix = np.zeros((len(systems), len(systems)))
  for cell in cells:
    for name in (baseline, *systems):
      if name not in cell.runs:
        raise errors.unknown_name('System', name, cell.runs)
    is_larger = {'larger_is_better': cell.metric.larger_is_better}
    at = checkpoints(cell.runs[baseline], **is_larger)
    for i, a in enumerate(systems):
      for j, b in enumerate(systems):
        if i != j:
          pair = cell.runs[a], cell.runs[b]
          wins = sum(beats(*pair, n, **is_larger) for n in at)
          matrix[i, j] += wins / len(at)
  return PenaltyMatrix(
    tuple(systems), matrix, matrix.sum(0) / max(len(systems), 1), len(cells)
  )


def common_systems(cells: Sequence[CellScores]) -> list[str]:
  """Returns the systems that all cells have, in the order of the first cell."""
  if not cells:
    raise ValueError('cells is empty; a comparison needs at least one.')
  return [
    name for name in cells[0].runs if all(name in cell.runs for cell in cells)
  ]


def by_axis(cells: Sequence[Anything], axis: str) -> dict[str, list[Anything]]:
  """Groups cells by their value on an axis.

  Args:
    cells: Objects with `axes`; those without this axis are left out.
    axis: Name of the axis.

  Returns:
    Lists by value; values that are numbers come first, in numerical order.
  """
  groups: dict[str, list[Anything]] = {}
  for cell in cells:
    if axis in cell.axes:
      groups.setdefault(str(cell.axes[axis]), []).append(cell)
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


def ranks(
  scores: Mapping[str, float], *, larger_is_better: bool = True
) -> dict[str, float]:
  """Ranks the systems in one cell: 1 is the best score.

  Args:
    scores: Scores by system; scores that are equal up to rounding share the
      mean of their ranks.
    larger_is_better: Whether the highest score is the best, or the lowest.

  Returns:
    The rank by system.
  """
  tied = curves.tied(list(scores.values()))
  placed = scipy.stats.rankdata(-tied if larger_is_better else tied)
  return {
    system: float(rank) for system, rank in zip(scores, placed, strict=True)
  }


def mean_ranks(
  scores: Sequence[Mapping[str, float]], *, larger_is_better: bool = True
) -> dict[str, curves.Estimate]:
  """Computes the mean rank of each system over cells.

  Only systems that all cells have are ranked, and only among each other.

  Args:
    scores: Scores by system, for each of one or more cells.
    larger_is_better: Whether the highest score is the best, or the lowest.

  Returns:
    By system, best first: the mean rank with its standard error over cells.
    Systems with equal mean ranks keep the order of the first cell.
  """
  if not scores:
    raise ValueError('scores is empty; a rank needs at least one cell.')
  systems = [
    system for system in scores[0] if all(system in of for of in scores)
  ]
  placed = [
    ranks(
      {system: of[system] for system in systems},
      larger_is_better=larger_is_better,
    )
    for of in scores
  ]
  means = {
    system: curves.mean_and_standard_error(of[system] for of in placed)
    for system in systems
  }
  order = np.argsort([of.mean for of in means.values()], kind='stable')
  return {systems[i]: means[systems[i]] for i in order}


class WeightedCdf(NamedTuple):
  """Cumulative distribution of weighted values.

  Attributes:
    values: float[V], increasing.
    cumulative: float[V], share of the weight at or below each value; ends at 1.
  """

  values: np.ndarray
  cumulative: np.ndarray


def normalised_errors(
  cells: Sequence[CellScores],
  *,
  baseline: str = curves.BASELINE,
  systems: Sequence[str] | None = None,
) -> dict[str, WeightedCdf]:
  """Computes the distribution of error / baseline error for each system.

  Errors are means over seeds, at the checkpoints of `checkpoints`: the values
  themselves, or 1 less the value if larger is better. Each has the weight 1 /
  K, with K the number of checkpoints of its cell; weights are scaled to a sum
  of 1. Checkpoints at which the baseline makes no error, or a system has no
  record, are left out, and so are their weights.

  Args:
    cells: Cells, at least one, each with the baseline.
    baseline: System that the errors are divided by.
    systems: Systems to return. If None, those that all cells have.

  Returns:
    A WeightedCdf by system; a system without any value is left out. The
    distribution of the baseline is a step at 1.
  """
  if systems is None:
    systems = common_systems(cells)
  ratios = {system: [] for system in systems}
  for cell in cells:
    if baseline not in cell.runs:
      raise errors.unknown_name('System', baseline, cell.runs)
    is_larger = cell.metric.larger_is_better
    at = checkpoints(cell.runs[baseline], larger_is_better=is_larger)
    for labels in at:
      random_error = _mean_error(cell.runs[baseline], labels, is_larger)
      if not random_error:
        continue
      for system in systems:
        error = _mean_error(cell.runs.get(system, {}), labels, is_larger)
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
  """Computes the cumulative distribution of weighted values.

  Args:
    values: [V], at least one, in any order.
    weights: [V], positive, with any sum.

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


def _mean_error(by_seed, labels: int, larger_is_better: bool) -> float | None:
  values = [run[labels] for run in by_seed.values() if labels in run]
  if not values:
    return None
  mean = float(np.mean(values))
  return 1 - mean if larger_is_better else mean
