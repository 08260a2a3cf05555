"""Rates of a stream, computed from records over the examples that passed."""

import collections
from collections.abc import Sequence

import numpy as np

from al_jax.analysis import curves, tables, tests
from al_jax.analysis.curves import Curve
from al_jax.storage import metrics
from al_jax.storage.records import RoundRecord
from al_jax.tasks import Metric

# Systems are compared by this rate.
ACCURACY = 'prequential_accuracy'
# Columns that the `batch` of a stream's record has, in percent.
RATES = (ACCURACY, 'label_rate')
COUNTS = ('seen', 'passed')
# Title of the axis that rates are drawn over.
POSITION = 'examples of the stream'
# Maximum number of points of a curve.
_MOST_POINTS = 40
_PERCENT = Metric('', '%', True)


def are_of_stream(rows: Sequence[RoundRecord]) -> bool:
  """Returns whether records are those of a stream."""
  return any('seen' in row.batch for row in rows)


def over_position(rows: Sequence[RoundRecord], rate: str) -> dict[str, Curve]:
  """Computes a rate of each system over the position in the stream.

  A round records the rate among the examples that passed in it, and rounds of
  different seeds end at different positions. The curve has means over equal
  pieces of the stream, in which each example counts with the rate of its round.
  It ends where the shortest seed ends.

  Args:
    rows: All records.
    rate: One of `RATES`.

  Returns:
    A Curve by system, whose `labels` are the ends of the pieces. Systems
    without this rate are left out.
  """
  found, by_seed = {}, _running_totals(rows, rate)
  # A system with few long rounds gets as many pieces as the others.
  number = max(
    (min(len(seen) - 1 for seen, _ in of.values()) for of in by_seed.values()),
    default=0,
  )
  for system, of in by_seed.items():
    totals = list(of.values())
    begin = max(seen[0] for seen, _ in totals)
    end = min(seen[-1] for seen, _ in totals)
    edges = np.linspace(begin, end, min(_MOST_POINTS, number) + 1)
    values = [
      np.diff(np.interp(edges, seen, total)) / np.diff(edges)
      for seen, total in totals
    ]
    estimates = [
      curves.mean_and_standard_error(of_piece)
      for of_piece in np.transpose(values)
    ]
    found[system] = Curve(
      np.round(edges[1:]).astype(int),
      *(np.asarray(part) for part in zip(*estimates, strict=True)),
    )
  return found


def panels(rows: Sequence[RoundRecord]) -> dict[str, dict[str, Curve]]:
  """Computes all rates that records have: curves by rate, then system."""
  found = {rate: over_position(rows, rate) for rate in RATES}
  return {rate: of for rate, of in found.items() if of}


def of_whole(
  rows: Sequence[RoundRecord], rate: str
) -> dict[str, dict[int, float]]:
  """Computes a rate over all examples that passed, by system and seed.

  Args:
    rows: All records.
    rate: One of `RATES`.
  """
  return {
    system: {
      seed: float(total[-1] / (seen[-1] - seen[0]))
      for seed, (seen, total) in of.items()
    }
    for system, of in _running_totals(rows, rate).items()
  }


def against_baseline(
  rows: Sequence[RoundRecord], baseline: str
) -> dict[str, tests.PairedTest]:
  """Tests the accuracy on the whole stream, see `tests.against_baseline`.

  Args:
    rows: All records.
    baseline: System that the others are compared with.

  Returns:
    Empty if the baseline has no such accuracy.
  """
  values = of_whole(rows, ACCURACY)
  return tests.against_baseline(values, baseline) if baseline in values else {}


def summary_table(
  rows: Sequence[RoundRecord], *, baseline: str = curves.BASELINE
) -> str:
  """Summarizes a stream as aligned text, one row per system.

  Args:
    rows: All records.
    baseline: See `against_baseline`.
  """
  found = {rate: of_whole(rows, rate) for rate in RATES}
  compared = against_baseline(rows, baseline)
  lines = [
    ['system', 'seeds', *(f'{metrics.spelled(rate)} %' for rate in RATES)]
  ]
  if compared:
    lines[0] += [f'minus {baseline}', 'p']
  for system, by_seed in found['label_rate'].items():
    line = [system, str(len(by_seed))]
    for rate in RATES:
      values = found[rate].get(system)
      line.append(_shown(values.values()) if values else tables.MISSING)
    if system in compared:
      mean, error, p, _ = compared[system].difference
      line.append(tables.shown(mean, error, _PERCENT, signed=True))
      line.append(tables.p_value(p))
    lines.append(line)
  return (
    'over all examples that passed, mean ± standard error over seeds\n'
    f'{tables.aligned(lines)}'
  )


def unfinished_notes(
  rows: Sequence[RoundRecord], num_examples: int
) -> list[str]:
  """Describes which runs ended before the stream did.

  Args:
    rows: All records.
    num_examples: Length of the stream.

  Returns:
    A sentence for each system that has such runs.
  """
  seen = collections.defaultdict(dict)
  for row in rows:
    if 'seen' in row.batch:
      seen[row.system][row.seed] = int(row.batch['seen'])
  notes = []
  for system, of in seen.items():
    early = [count for count in of.values() if count < num_examples]
    if early:
      notes.append(
        f'{system} ended after {min(early):,} of the {num_examples:,} examples '
        f'of the stream ({len(early)} of {len(of)} seeds), so its rates cover '
        'only part of it. protocol.rounds and protocol.label_budget limit a '
        'run.'
      )
  return notes


def _shown(values):
  mean, error, *_ = curves.mean_and_standard_error(values)
  return tables.shown(mean, error, _PERCENT)


def _running_totals(rows, rate):
  """Computes `_running_total` by system and seed."""
  by_seed = collections.defaultdict(lambda: collections.defaultdict(list))
  for row in rows:
    if rate in row.batch and row.batch['passed']:
      by_seed[row.system][row.seed].append(row)
  return {
    system: {seed: _running_total(each, rate) for seed, each in of.items()}
    for system, of in by_seed.items()
  }


def _running_total(rows, rate):
  """Returns positions from before the first round on, and sums of the rate."""
  rows = sorted(rows, key=lambda row: row.round)
  passed = np.array([row.batch['passed'] for row in rows])
  seen = np.array([row.batch['seen'] for row in rows])
  shares = np.array([row.batch[rate] for row in rows])
  return (
    np.concatenate([seen[:1] - passed[:1], seen]),
    np.concatenate([[0.0], np.cumsum(shares * passed)]),
  )
