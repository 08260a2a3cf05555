"""Names and numbers of the metric columns of records, for people to read."""

import re

from al_jax.tasks import Classes, Metric

_SPELLED = {'iou': 'IoU', 'mae': 'MAE', 'r2': 'R²', 'rmse': 'RMSE'}
# The dot between split and metric, not a decimal point as in `within_0.1`.
_DOT = re.compile(r'(?<=[a-z])\.')


def column(metric: Metric, split: str = 'test') -> Metric:
  """Renames a metric to its column: `'test.rmse'`."""
  return metric._replace(name=f'{split}.{metric.name}')


ACCURACY = column(Classes.headline)


def spelled(name: str) -> str:
  """Spells the name of a metric or a column for people: `'test RMSE'`."""
  words = _DOT.sub(' ', name).replace('_', ' ').split(' ')
  return ' '.join(_SPELLED.get(word, word) for word in words)


def with_unit(name: str, metric: Metric) -> str:
  """Appends the unit to a name, for a header: `'area %'`."""
  return f'{name} {metric.unit}'.rstrip()


def number(value: float, metric: Metric, *, signed: bool = False) -> str:
  """Formats a value without its unit: `'93.61'` if in %, else `'0.9361'`."""
  sign = '+' if signed else ''
  if metric.unit == '%':
    return f'{100 * value:{sign}.2f}'
  return f'{value:{sign}.4f}'
