"""Learning curves and differences from the records of several seeds."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.special

from al_jax import errors
from al_jax.storage import metrics
from al_jax.storage import records as records_lib
from al_jax.tasks import Metric

# System that others are compared with, unless a report names another.
BASELINE = 'random'

# Values by system, then seed, then number of labels.
Runs = dict[str, dict[int, dict[int, float]]]


class Estimate(NamedTuple):
  """Mean of n values, and its standard error (NaN if n is 1)."""

  mean: float
  standard_error: float
  n: int


# Metrics are computed in float32: relative differences below this are rounding.
ROUNDING = 4 * float(np.finfo(np.float32).eps)


class Curve(NamedTuple):
  """Learning curve over seeds.

  Attributes:
    labels: int[L], increasing.
    mean: float[L], over the seeds that have a record at this number of labels.
    standard_error: float[L], NaN where only one seed has a record.
    n: int[L], number of seeds that have a record.
  """

  labels: np.ndarray
  mean: np.ndarray
  standard_error: np.ndarray
  n: np.ndarray


class PairedDifference(NamedTuple):
  """Mean difference over n pairs, its standard error, and its p-value."""

  mean: float
  standard_error: float
  p_value: float
  n: int


def headline_of(
  records: Iterable[records_lib.RoundRecord], headline: Metric
) -> Metric | None:
  """Returns the column of records that curves and tables show.

  Args:
    records: Rounds of any number of runs.
    headline: Headline metric of their task.

  Returns:
    The headline on the test split, or else on the validation split; None if
    there is neither.
  """
  rows = list(records)
  if any(headline.name in row.test for row in rows):
    return metrics.column(headline)
  if any(headline.name in row.validation for row in rows):
    return metrics.column(headline, 'validation')
  return None


def labels_title(records: Iterable[records_lib.RoundRecord]) -> str:
  """Returns the title of the axis of labels.

  It is 'labels paid for', or 'labels' if some are pseudo-labels.

  Args:
    records: Rounds of any number of runs.
  """
  has_machine = any(record.ledger.get('machine') for record in records)
  return 'labels' if has_machine else 'labels paid for'


def runs(
  records: Iterable[records_lib.RoundRecord],
  *,
  column: str = metrics.ACCURACY.name,
) -> Runs:
  """Returns one column by system, seed and number of labels.

  If several rounds have the same number of labels (a round may close without an
  answer), the last one counts.

  Args:
    records: Rounds of any number of runs.
    column: Column of `RoundRecord.flat`.

  Returns:
    A nested dict; systems and seeds are in the order of their first record.

  Raises:
    ValueError: If the column is unknown, or a round has two records.
  """
  values: Runs = {}
  rounds: dict[tuple[str, int, int], int] = {}
  for record in records:
    columns = record.flat()
    if column not in columns or column == 'system':
      raise errors.unknown_name('Metric', column, set(columns) - {'system'})
    run = values.setdefault(record.system, {}).setdefault(record.seed, {})
    place = record.system, record.seed, record.labels
    if rounds.get(place) == record.round:
      raise ValueError(
        f'Two records of {record.system!r}, seed {record.seed}, are of round '
        f'{record.round}; a run has one record per round.'
      )
    if record.round > rounds.get(place, -1):
      rounds[place] = record.round
      run[record.labels] = columns[column]
  return values


def mean_and_standard_error(values: Iterable[float]) -> Estimate:
  """Computes the mean and s / sqrt(n), where s divides by n - 1.

  Args:
    values: Values, at least one.

  Returns:
    An Estimate; the standard error of a single value is NaN.
  """
  values = np.asarray(list(values), float)
  if values.size == 0:
    raise ValueError('values is empty; a mean needs at least one.')
  n = values.size
  error = np.std(values, ddof=1) / np.sqrt(n) if n > 1 else np.nan
  return Estimate(float(np.mean(values)), float(error), n)


def mean_of_last(by_seed: Mapping[int, Mapping[int, float]]) -> Estimate:
  """Computes the mean over seeds of the values at each one's last label count.

  Args:
    by_seed: Values by seed, then number of labels.
  """
  return mean_and_standard_error(run[max(run)] for run in by_seed.values())


def curve(
  records: Iterable[records_lib.RoundRecord],
  *,
  column: str = metrics.ACCURACY.name,
) -> dict[str, Curve]:
  """Computes the learning curve of each system, over its seeds.

  Args:
    records: Rounds of any number of runs.
    column: Column of `RoundRecord.flat`.

  Returns:
    A Curve by system, in the order of the first records.
  """
  curves = {}
  for system, by_seed in runs(records, column=column).items():
    at_labels = collections.defaultdict(list)
    for run in by_seed.values():
      for labels, value in run.items():
        at_labels[labels].append(value)
    points = [
      (labels, *mean_and_standard_error(at_labels[labels]))
      for labels in sorted(at_labels)
    ]
    curves[system] = Curve(*map(np.asarray, zip(*points, strict=True)))
  return curves


def paired_difference(
  a: Mapping[int, float], b: Mapping[int, float]
) -> PairedDifference:
  """Computes the mean of a - b over common seeds, and its t-test.

  t = mean / (s / sqrt(n)), two-sided with n - 1 degrees of freedom. If all
  differences are equal up to rounding, s is 0 and there is no test. For
  example, two networks that learn nothing differ by the same amount for every
  seed.

  Args:
    a: Value by seed.
    b: Value by seed.

  Returns:
    A PairedDifference. For a single pair, the p-value and the standard error
    are NaN. For equal differences, the p-value is NaN and the standard error 0.
  """
  seeds = [seed for seed in a if seed in b]
  if not seeds:
    raise ValueError(
      f'a has seeds {sorted(a)} and b has {sorted(b)}; pairs need a common one.'
    )
  differences = np.array([a[seed] - b[seed] for seed in seeds])
  mean, error, n = mean_and_standard_error(differences)
  if n == 1:
    return PairedDifference(mean, error, float('nan'), n)
  size = max(max(abs(a[seed]), abs(b[seed])) for seed in seeds)
  rounding = ROUNDING * size
  if error <= rounding:
    mean = mean if abs(mean) > rounding else 0.0
    return PairedDifference(mean, 0.0, float('nan'), n)
  p_value = 2 * scipy.special.stdtr(n - 1, -abs(mean) / error)
  return PairedDifference(mean, error, float(p_value), n)


def tied(values: Sequence[float]) -> np.ndarray:
  """Numbers values by size, with equal numbers where they differ by rounding.

  Args:
    values: [V], finite, in any order.

  Returns:
    int[V]: 0 for the smallest value, 1 for the next larger one, ...
  """
  values = np.asarray(values, float)
  order = np.argsort(values, kind='stable')
  rounding = ROUNDING * np.max(np.abs(values), initial=0.0)
  places = np.cumsum(
    np.diff(values[order], prepend=values[order][:1]) > rounding
  )
  found = np.empty(len(values), int)
  found[order] = places
  return found


def area_under_curve(labels: Sequence[int], values: Sequence[float]) -> float:
  """Computes the mean height of a learning curve, by the trapezoid rule.

  Args:
    labels: [L], increasing.
    values: [L].

  Returns:
    The area divided by the last less the first label count; for a single point,
    its value.
  """
  labels, values = np.asarray(labels, float), np.asarray(values, float)
  if labels.ndim != 1 or labels.size == 0 or labels.shape != values.shape:
    raise ValueError(
      f'labels has shape {labels.shape} and values {values.shape}; both must '
      'be [L], with L at least 1.'
    )
  if np.any(np.diff(labels) <= 0):
    raise ValueError(f'labels must increase, but is {labels.tolist()}.')
  if labels.size == 1:
    return float(values[0])
  return float(np.trapezoid(values, labels) / (labels[-1] - labels[0]))


def common_labels(some_runs: Iterable[Mapping[int, float]]) -> list[int]:
  """Returns the numbers of labels at which every run has a record, sorted."""
  label_sets = [set(run) for run in some_runs]
  return sorted(set.intersection(*label_sets)) if label_sets else []


def labels_of_all(runs: Runs) -> list[int]:
  """Returns the numbers of labels that all runs of all systems have."""
  return common_labels(
    run for by_seed in runs.values() for run in by_seed.values()
  )


def last_values(runs: Runs) -> dict[str, dict[int, float]]:
  """Returns the values at the last number of labels that all runs have.

  Args:
    runs: See `runs`.

  Returns:
    Values by system, then seed; empty if the runs have no number of labels in
    common.
  """
  common = labels_of_all(runs)
  if not common:
    return {}
  return {
    system: {seed: run[common[-1]] for seed, run in by_seed.items()}
    for system, by_seed in runs.items()
  }
