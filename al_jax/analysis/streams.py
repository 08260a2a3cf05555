"""What records say of a stream, over the examples that passed."""

import collections
from collections.abc import Sequence

import numpy as np

from al_jax.analysis import curves
from al_jax.analysis.curves import Curve
from al_jax.storage.records import RoundRecord

# Columns of a record's `batch` that a stream has, in percent.
RATES = ('prequential_accuracy', 'label_rate')
COUNTS = ('seen', 'passed')
# What rates are drawn over.
POSITION = 'examples of the stream'
# Points of a curve.
_MOST_POINTS = 40


def are_of_stream(rows: Sequence[RoundRecord]) -> bool:
  """Tells whether records are those of a stream."""
  return any('seen' in row.batch for row in rows)


def over_position(rows: Sequence[RoundRecord], rate: str) -> dict[str, Curve]:
  """Computes a rate of each system over the position in the stream.

  A round tells the rate among the examples that passed in it, and rounds of
  different seeds end at different positions. The curve has means over equal
  pieces of the stream, in which each example counts with the rate of its round.

  Args:
    rows: all records.
    rate: one of `RATES`.

  Returns:
    A Curve for each system, whose `labels` are the ends of the pieces; without
    the systems that have no such rate. It ends where the first seed does.
  """
  found = {}
  by_seed = collections.defaultdict(lambda: collections.defaultdict(list))
  for row in rows:
    if rate in row.batch and row.batch['passed']:
      by_seed[row.system][row.seed].append(row)
  for system, seeds in by_seed.items():
    totals = [_running_total(of_seed, rate) for of_seed in seeds.values()]
    begin = max(seen[0] for seen, _ in totals)
    end = min(seen[-1] for seen, _ in totals)
    number = min(_MOST_POINTS, min(len(seen) - 1 for seen, _ in totals))
    edges = np.linspace(begin, end, number + 1)
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
  """Computes all rates that records have: curves of systems, by rate."""
  found = {rate: over_position(rows, rate) for rate in RATES}
  return {rate: of for rate, of in found.items() if of}


def _running_total(rows, rate):
  """Positions, from before the first round on, and the sum of the rate."""
  rows = sorted(rows, key=lambda row: row.round)
  passed = np.array([row.batch['passed'] for row in rows])
  seen = np.array([row.batch['seen'] for row in rows])
  shares = np.array([row.batch[rate] for row in rows])
  return (
    np.concatenate([seen[:1] - passed[:1], seen]),
    np.concatenate([[0.0], np.cumsum(shares * passed)]),
  )
