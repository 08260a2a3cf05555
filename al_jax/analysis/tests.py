"""Tests of differences paired by seed, corrected for multiple comparisons."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from al_jax import errors
from al_jax.analysis import curves

# Up to this number of pairs, every assignment of signs is counted.
_MOST_COUNTED = 14


class PairedTest(NamedTuple):
  """Tests of a system against the baseline.

  Attributes:
    difference: Mean difference over seeds, its standard error, and p of the
      t-test.
    t_holm: p of the t-test, corrected.
    wilcoxon: p of the signed-rank test.
    wilcoxon_holm: p of the signed-rank test, corrected.
  """

  difference: curves.PairedDifference
  t_holm: float
  wilcoxon: float
  wilcoxon_holm: float

  @property
  def is_constant(self) -> bool:
    """Whether the difference has no variance, so that there is no test."""
    return self.difference.n > 1 and bool(np.isnan(self.difference.p_value))


def holm(p_values: Sequence[float]) -> np.ndarray:
  """Applies Holm's step-down correction to a family of tests.

  In increasing order, the k-th of m p-values (k from 1) is multiplied by
  m - k + 1; no result is below the one before it, or above 1. Holm 1979, "A
  Simple Sequentially Rejective Multiple Test Procedure".

  Args:
    p_values: [M]. NaN marks a missing test: it stays NaN and does not count.

  Returns:
    float[M].
  """
  p_values = np.asarray(p_values, float)
  corrected = np.full(p_values.shape, np.nan)
  tested = np.flatnonzero(~np.isnan(p_values))
  order = tested[np.argsort(p_values[tested], kind='stable')]
  factors = np.arange(len(order), 0, -1)
  steps = np.maximum.accumulate(p_values[order] * factors)
  corrected[order] = np.minimum(steps, 1.0)
  return corrected


def wilcoxon(a: Mapping[int, float], b: Mapping[int, float]) -> float:
  """Computes the two-sided p of Wilcoxon's signed-rank test, by common seeds.

  Differences of zero are left out; equal ones share their mean rank. With up to
  14 pairs all assignments of signs are counted, ties included; with more,
  SciPy's normal approximation is used. With n pairs no p-value is below 2^(1 -
  n): 0.0625 with five seeds.

  Args:
    a: Value by seed.
    b: Value by seed.

  Returns:
    The p-value; NaN for a single pair, and if all differences are equal.
  """
  seeds = sorted(set(a) & set(b))
  if not seeds:
    raise ValueError(
      f'a has seeds {sorted(a)} and b has {sorted(b)}; pairs need a common one.'
    )
  if len(seeds) == 1:
    return float('nan')
  size = max(max(abs(a[seed]), abs(b[seed])) for seed in seeds)
  differences = np.array([a[seed] - b[seed] for seed in seeds])
  rounding = curves.ROUNDING * size
  if curves.mean_and_standard_error(differences).standard_error <= rounding:
    return float('nan')
  differences = differences[np.abs(differences) > rounding]
  # `size` sets the scale of rounding, and 0 stands for the differences left
  # out, so that ranks start at 1.
  tied = curves.tied([*np.abs(differences), 0.0, size])[:-2]
  steps = np.sign(differences) * tied
  if steps.size > _MOST_COUNTED:
    return float(scipy.stats.wilcoxon(steps, method='asymptotic').pvalue)
  # SciPy's exact distribution does not support ties, and its permutation test,
  # which does, takes seconds for 14 pairs.
  ranks = scipy.stats.rankdata(tied)
  signs = 1 - 2 * (
    np.arange(2**steps.size)[:, None] >> np.arange(steps.size) & 1
  )
  sums, found = signs @ ranks, np.sign(steps) @ ranks
  return float(np.mean(np.abs(sums) >= abs(found) - 1e-9))


def of_last_values(runs: curves.Runs, baseline: str) -> dict[str, PairedTest]:
  """Tests systems at the last number of labels that all runs have.

  The summary of a run and its report both take their p-values from here.

  Args:
    runs: See `curves.runs`.
    baseline: System that the others are compared with.

  Returns:
    See `against_baseline`; empty if the baseline has no run, or if the runs
    have no number of labels in common.
  """
  values = curves.last_values(runs)
  return against_baseline(values, baseline) if baseline in values else {}


def against_baseline(
  values: Mapping[str, Mapping[int, float]], baseline: str
) -> dict[str, PairedTest]:
  """Tests every other system against the baseline.

  All t-tests are one family for the correction, and so are all signed-rank
  tests.

  Args:
    values: Values by system, then seed.
    baseline: System that the others are compared with.

  Returns:
    A PairedTest by system, without the baseline and without systems that have
    no seed in common with it.
  """
  if baseline not in values:
    raise errors.unknown_name('Baseline', baseline, values)
  base = values[baseline]
  compared = [
    system
    for system, by_seed in values.items()
    if system != baseline and set(by_seed) & set(base)
  ]
  differences = [
    curves.paired_difference(values[system], base) for system in compared
  ]
  signed_rank = [wilcoxon(values[system], base) for system in compared]
  columns = (
    differences,
    holm([difference.p_value for difference in differences]),
    signed_rank,
    holm(signed_rank),
  )
  return {
    system: PairedTest(difference, float(t_holm), p_value, float(corrected))
    for system, difference, t_holm, p_value, corrected in zip(
      compared, *columns, strict=True
    )
  }
