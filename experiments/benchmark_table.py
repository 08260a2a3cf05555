"""What a benchmark prints: rows, and how pairs are measured."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_COLUMNS = '{:<48}{:>11}{:>11}{:>11}  {:<26}{:>7}{:>9}{:>5}'
HEADER = _COLUMNS.format(
  'what',
  'compiling',
  'time',
  'against',
  'which is',
  'ratio',
  'at most',
  'met',
)


class Row(NamedTuple):
  """One line of the table.

  Attributes:
    what: was measured.
    seconds: it took; the median.
    against: the seconds it is compared with; the median.
    which_is: what took those.
    ratio: of the two; the median over pairs.
    compiling: seconds that came before, once; None if they are not apart.
    at_most: the ratio that is aimed at; None if there is no such.
    enough: seconds that meet the aim whatever the ratio.
  """

  what: str
  seconds: float
  against: float
  which_is: str
  ratio: float
  compiling: float | None = None
  at_most: float | None = None
  enough: float = 0.0

  @property
  def is_met(self) -> bool:
    """Whether it is as fast as was aimed at."""
    return self.ratio <= self.at_most or self.seconds <= self.enough


def line(row: Row) -> str:
  """A row as a line below HEADER."""
  aimed_at = row.at_most is not None
  return _COLUMNS.format(
    row.what,
    _shown(row.compiling),
    _shown(row.seconds),
    _shown(row.against),
    row.which_is,
    f'{row.ratio:.3f}',
    f'{row.at_most:g}' if aimed_at else '',
    ('yes' if row.is_met else 'NO') if aimed_at else '',
  ).rstrip()


def _shown(seconds):
  if seconds is None:
    return ''
  return f'{1e3 * seconds:.3f} ms' if seconds < 1 else f'{seconds:.2f} s'


def in_turns(
  ours: Callable[[], float], other: Callable[[], float], repeats: int
) -> tuple[float, float, float, float]:
  """Measures two things in turns, after once each that does not count.

  Args:
    ours: measures itself, in seconds.
    other: likewise.
    repeats: pairs.

  Returns:
    Our time when it did not count; then medians: of ours, of the other's, and
    of the ratios of pairs.
  """
  first = ours()
  other()
  pairs = np.array([(ours(), other()) for _ in range(repeats)])
  ratio = float(np.median(pairs[:, 0] / pairs[:, 1]))
  return first, *np.median(pairs, axis=0).tolist(), ratio
