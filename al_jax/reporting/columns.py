"""Columns of a report's tables, and how their numbers are shown."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from al_jax.analysis import tables
from al_jax.storage import metrics
from al_jax.tasks import Metric

Row = Mapping[str, Any]
Format = Callable[..., str]


class Column(NamedTuple):
  """A column of a table.

  Attributes:
    title: its header.
    key: key of the value in a row; or several keys, of all values that a cell
      shows. Where a row lacks the first, the cell shows a dash.
    format: takes the values, and returns the text of a cell.
    bold: takes a row, and returns whether its cell stands out.
  """

  title: str
  key: str | tuple[str, ...]
  format: Format = str
  bold: Callable[[Row], bool] = lambda row: False

  @property
  def keys(self) -> tuple[str, ...]:
    """All keys that a cell reads."""
    return (self.key,) if isinstance(self.key, str) else self.key

  def text(self, row: Row) -> str:
    """Returns the text of a cell."""
    if self.keys[0] not in row:
      return tables.MISSING
    return self.format(*(row[key] for key in self.keys))

  def is_bold(self, row: Row) -> bool:
    """Returns whether a cell stands out."""
    return self.keys[0] in row and bool(self.bold(row))

  def look(self, rows: Sequence[Row]) -> str:
    """Returns the class of its cells: words stand left, numbers right."""
    values = (row.get(self.keys[0], '') for row in rows)
    is_words = all(isinstance(value, str) for value in values)
    return 'words' if is_words else 'number'


def mean(metric: Metric, *, signed: bool = False) -> Format:
  """Shows a mean and its error as `93.61 ± 0.12`; shares in percent."""

  def show(value: float, error: float) -> str:
    if math.isnan(value):
      return tables.MISSING
    return tables.shown(value, error, metric, signed=signed)

  return show


def interval(metric: Metric, *, signed: bool = False) -> Format:
  """Shows a value and its interval as `81.20 [80.10, 82.30]`."""

  def show(estimate: float, low: float, high: float) -> str:
    estimate, low, high = (
      metrics.number(value, metric, signed=signed)
      for value in (estimate, low, high)
    )
    return estimate if 'nan' in low else f'{estimate} [{low}, {high}]'

  return show


def labels_needed(estimate: float, low: float, high: float) -> str:
  """Shows `340 [310, not reached]`; no interval if hardly a draw reaches it."""
  shown = number_of_labels(estimate)
  if not math.isfinite(low):
    return shown
  return f'{shown} [{number_of_labels(low)}, {number_of_labels(high)}]'


def number_of_labels(value: float) -> str:
  """Shows a whole number with commas, rounded up, or `not reached`."""
  return (
    count(math.ceil(value - 1e-9)) if math.isfinite(value) else ('not reached')
  )


def count(value: float) -> str:
  """Shows a whole number with commas."""
  return f'{value:,.0f}'


def mean_count(value: float) -> str:
  """Shows a mean of counts: `1,234`, or `1.5` if it is not whole."""
  return count(value) if value == round(value) else f'{value:,.1f}'


def seconds(value: float) -> str:
  """Shows three digits, from microseconds to hours of seconds."""
  if math.isnan(value):
    return tables.MISSING
  return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def title(metric: Metric) -> str:
  """Names a metric in a header, with its unit."""
  name = metrics.spelled(metric.name.removeprefix('test.'))
  return metrics.with_unit(name, metric)
