"""Columns of a report's tables, and formats of their numbers."""

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
    title: header of the column.
    key: key of the value in a row, or a tuple of keys if a cell shows several
      values. If a row lacks the first key, the cell shows a dash.
    format: function from the values to the text of a cell.
    bold: function from a row to whether its cell is bold.
  """

  title: str
  key: str | tuple[str, ...]
  format: Format = str
  bold: Callable[[Row], bool] = lambda row: False

  @property
  def keys(self) -> tuple[str, ...]:
    """Returns all keys that a cell reads."""
    return (self.key,) if isinstance(self.key, str) else self.key

  def text(self, row: Row) -> str:
    """Returns the text of a cell."""
    if self.keys[0] not in row:
      return tables.MISSING
    return self.format(*(row[key] for key in self.keys))

  def is_bold(self, row: Row) -> bool:
    """Returns whether a row's cell is bold."""
    return self.keys[0] in row and bool(self.bold(row))

  def look(self, rows: Sequence[Row]) -> str:
    """Returns the CSS class of the cells: `words` (left), `number` (right)."""
    values = (row.get(self.keys[0], '') for row in rows)
    is_words = all(isinstance(value, str) for value in values)
    return 'words' if is_words else 'number'


def mean(metric: Metric, *, signed: bool = False) -> Format:
  """Formats a mean and its error as `93.61 ± 0.12`; shares in percent."""

  def show(value: float, error: float) -> str:
    if math.isnan(value):
      return tables.MISSING
    return tables.shown(value, error, metric, signed=signed)

  return show


def interval(metric: Metric, *, signed: bool = False) -> Format:
  """Formats a value and its interval as `81.20 [80.10, 82.30]`."""

  def show(estimate: float, low: float, high: float) -> str:
    estimate, low, high = (
      metrics.number(value, metric, signed=signed)
      for value in (estimate, low, high)
    )
    return estimate if 'nan' in low else f'{estimate} [{low}, {high}]'

  return show


def labels_needed(estimate: float, low: float, high: float) -> str:
  """Formats as `340 [310, not reached]`; just `340` if `low` is not finite."""
  shown = number_of_labels(estimate)
  if not math.isfinite(low):
    return shown
  return f'{shown} [{number_of_labels(low)}, {number_of_labels(high)}]'


def number_of_labels(value: float) -> str:
  """Formats a number, rounded up, with commas, or as `not reached`."""
  return (
    count(math.ceil(value - 1e-9)) if math.isfinite(value) else ('not reached')
  )


def count(value: float) -> str:
  """Formats a whole number with commas."""
  return f'{value:,.0f}'


def mean_count(value: float) -> str:
  """Formats a mean of counts: `1,234`, or `1.5` if it is not whole."""
  return count(value) if value == round(value) else f'{value:,.1f}'


def seconds(value: float) -> str:
  """Formats seconds with three digits, from microseconds to hours."""
  if math.isnan(value):
    return tables.MISSING
  return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def title(metric: Metric) -> str:
  """Returns the header of a metric's column, with its unit."""
  name = metrics.spelled(metric.name.removeprefix('test.'))
  return metrics.with_unit(name, metric)
