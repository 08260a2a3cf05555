"""The table that a benchmark prints."""

from typing import NamedTuple

_COLUMNS = '{:<48}{:>11}{:>11}{:>11}  {:<26}{:>8}{:>9}{:>5}{:>11}{:>10}  {}'
HEADER = _COLUMNS.format(
  'what',
  'compiling',
  'time',
  'against',
  'which is',
  'ratio',
  'at most',
  'met',
  'bound',
  'memory',
  'note',
)


class Row(NamedTuple):
  """One line of the table.

  Attributes:
    what: name of the measurement.
    seconds: median seconds. None if not measured.
    against: median seconds of the counterpart. None if there is no counterpart,
      or it is not installed.
    which_is: name of the counterpart.
    ratio: median over pairs of `seconds` / `against`.
    compiling: seconds of one-time compilation. None if not measured separately.
    at_most: target for the ratio. None if there is none.
    enough: seconds that meet the target at any ratio.
    bound: lower bound of the seconds on this machine.
    extra_bytes: memory besides arguments and result.
    bytes_at_most: target for `extra_bytes`. None if there is none.
    note: further remarks.
  """

  what: str
  seconds: float | None
  against: float | None = None
  which_is: str = ''
  ratio: float | None = None
  compiling: float | None = None
  at_most: float | None = None
  enough: float = 0.0
  bound: float | None = None
  extra_bytes: float | None = None
  bytes_at_most: float | None = None
  note: str = ''

  @property
  def is_met(self) -> bool | None:
    """Whether the row meets all its targets; None if it has none."""
    met = []
    if self.at_most is not None and self.ratio is not None:
      met.append(self.ratio <= self.at_most or self.seconds <= self.enough)
    if self.bytes_at_most is not None and self.extra_bytes is not None:
      met.append(self.extra_bytes <= self.bytes_at_most)
    return all(met) if met else None


def line(row: Row) -> str:
  """Formats a row as a line below HEADER."""
  note = row.note
  if row.bytes_at_most is not None:
    aim = f'memory at most {_shown_bytes(row.bytes_at_most)}'
    note = f'{aim}; {note}' if note else aim
  return _COLUMNS.format(
    row.what,
    _shown(row.compiling),
    _shown(row.seconds),
    _shown(row.against),
    row.which_is,
    '' if row.ratio is None else f'{row.ratio:.3g}',
    '' if row.at_most is None else f'{row.at_most:g}',
    {None: '', True: 'yes', False: 'NO'}[row.is_met],
    _shown(row.bound),
    _shown_bytes(row.extra_bytes),
    note,
  ).rstrip()


def _shown(seconds):
  if seconds is None:
    return ''
  return f'{1e3 * seconds:.3f} ms' if seconds < 1 else f'{seconds:.2f} s'


def _shown_bytes(count):
  return '' if count is None else f'{count / 1e6:.1f} MB'
