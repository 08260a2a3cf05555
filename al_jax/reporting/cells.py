"""Numbers as a reader of the report sees them."""

import math

from al_jax.analysis import curves, intervals, tables

_MISSING = '-'


def mean(
  value: float, error: float, metric: str, *, signed: bool = False
) -> str:
  """`93.61 ± 0.12`; shares in percent, no error where there is none."""
  if math.isnan(value):
    return _MISSING
  return tables.shown(value, error, metric, signed=signed)


def interval(
  found: intervals.Interval | None, metric: str, *, signed: bool = False
) -> str:
  """`81.20 [80.10, 82.30]`; shares in percent."""
  if found is None:
    return _MISSING
  scale, digits = (100, 2) if curves.is_share(metric) else (1, 4)
  sign = '+' if signed else ''
  shown = f'{scale * found.estimate:{sign}.{digits}f}'
  if math.isnan(found.low):
    return shown
  low, high = (f'{scale * end:{sign}.{digits}f}' for end in found[1:])
  return f'{shown} [{low}, {high}]'


def labels(found: intervals.Interval | None) -> str:
  """`340 [310, not reached]`; `not reached` if hardly a draw reaches it."""
  if found is None:
    return _MISSING
  shown = number_of_labels(found.estimate)
  if math.isnan(found.low) or math.isinf(found.low):
    return shown
  return (
    f'{shown} [{number_of_labels(found.low)}, {number_of_labels(found.high)}]'
  )


def number_of_labels(value: float) -> str:
  """A whole number with commas, rounded up; infinity is `not reached`."""
  return (
    f'{math.ceil(value - 1e-9):,}' if math.isfinite(value) else 'not reached'
  )


def p_value(value: float) -> str:
  """Three decimals."""
  if math.isnan(value):
    return _MISSING
  return '<0.001' if value < 0.001 else f'{value:.3f}'


def seconds(value: float) -> str:
  """Three digits, from microseconds to hours of them."""
  if math.isnan(value):
    return _MISSING
  return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def percent(metric: str) -> str:
  """The metric's name, with its unit."""
  name = metric.removeprefix('test.').replace('.', ' ').replace('_', ' ')
  return f'{name} %' if curves.is_share(metric) else name
