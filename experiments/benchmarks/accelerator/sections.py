"""Sections of a benchmark that share a time limit."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from experiments.benchmarks.table import Row


class Section(NamedTuple):
  """A part of the benchmark that may fail, or be skipped, separately.

  Attributes:
    name: name in `--sections`.
    least: seconds that must be left for the section to begin.
    most: seconds after which the section ends instead of beginning a row.
    measure: makes the rows; imports the packages that only this section needs.
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
  and the next one begins. The time is checked between rows: a long row is not
  interrupted.

  Args:
    sections: sections in order of value.
    seconds: time limit of all sections together.
    clock: clock that returns seconds.

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
    # Any error: the other sections are still worth measuring.
    except Exception as error:
      yield section.name, _saying(f'failed: {in_a_sentence(error)}')


def in_a_sentence(error: Exception) -> str:
  """Describes an error in one line; for a missing package, names it."""
  if isinstance(error, ModuleNotFoundError) and error.name:
    return f'the package {error.name.partition(".")[0]} is not installed'
  text = ' '.join(str(error).split())
  return f'{type(error).__name__}: {text[:300]}'


def _saying(note):
  return Row('', None, note=note)
