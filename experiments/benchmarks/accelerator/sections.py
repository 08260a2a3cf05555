"""Sections of a benchmark that share a budget of time."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from experiments.benchmarks.table import Row


class Section(NamedTuple):
  """A part of the benchmark that may fail, or be left out, on its own.

  Attributes:
    name: what `--sections` calls it.
    least: seconds that must be left for it to begin.
    most: seconds after which it ends before its next row.
    measure: makes its rows; it imports what only this section needs.
  """

  name: str
  least: float
  most: float
  measure: Callable[[], Iterator[Row]]


def run(
  sections: Sequence[Section],
  seconds: float,
  clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, Row]]:
  """Measures one section after another until the time is used up.

  A section that fails, is skipped or is cut short yields a Row that says so,
  and the next one begins. Time is looked at before each row: a row that takes
  long is not interrupted.

  Args:
    sections: in order of value.
    seconds: for all of them.
    clock: seconds since some time.

  Yields:
    The name of a section and a Row.
  """
  end = clock() + seconds
  for section in sections:
    left = end - clock()
    if left < section.least:
      yield (
        section.name,
        _saying(
          f'skipped: it needs {section.least:.0f} s, {max(left, 0):.0f} s are '
          'left'
        ),
      )
      continue
    until = min(end, clock() + section.most)
    try:
      for row in section.measure():
        yield section.name, row
        if clock() > until:
          yield section.name, _saying('cut short: its time is used up')
          break
    # Whatever it is: the other sections are worth having.
    except Exception as error:
      yield section.name, _saying(f'failed: {in_a_sentence(error)}')


def in_a_sentence(error: Exception) -> str:
  """Returns what went wrong in one line; of a missing package, its name."""
  if isinstance(error, ModuleNotFoundError) and error.name:
    return f'the package {error.name.partition(".")[0]} is not installed'
  text = ' '.join(str(error).split())
  return f'{type(error).__name__}: {text[:300]}'


def _saying(note):
  return Row('', None, note=note)
