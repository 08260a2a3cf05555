"""Fills gaps and expands categories with statistics of the training split.

Median, mean, values to draw from and the list of categories come from the
training split alone, never from test or validation data.
"""

import numpy as np

from al_jax.data.columns import Table
from al_jax.data.dataset import RawData, Split
from al_jax.data.transforms.subsets import generator_of


def settle(raw: RawData, table: Table, *, seed: int) -> RawData:
  """Fills gaps and expands categories into columns of 0 and 1.

  Args:
    raw: the final splits of a table.
    table: result of `columns.prepare`.
    seed: seed of the values drawn into gaps.

  Returns:
    The data set with float32 inputs, without gaps, and with remarks on the
    changes.

  Raises:
    ValueError: If a column has no value in the training split.
  """
  parts = raw.parts()
  inputs, filled, unknown = {split: [] for split in parts}, {}, {}
  for at, column in enumerate(table.columns):
    values = {split: part.inputs[:, at] for split, part in parts.items()}
    observed = values['train'][~np.isnan(values['train'])]
    num_gaps = sum(int(np.isnan(each).sum()) for each in values.values())
    if not observed.size:
      raise ValueError(
        f'{raw.name}: the column {column.name!r} has no value in the training '
        'split; leave it out.'
      )
    if num_gaps:
      filled[column.name] = num_gaps
    known = np.unique(observed)
    if column.is_one_hot:
      unknown[column.name] = sum(
        np.count_nonzero(~np.isin(each, known) & ~np.isnan(each))
        for each in values.values()
      )
    for split, each in values.items():
      each = _filled(column, each, observed, seed, split)[:, np.newaxis]
      if column.is_one_hot:
        each = (each == known).astype(np.float32)
      inputs[split].append(each)
  changed = {
    split: Split(np.concatenate(inputs[split], axis=1), part.targets, part.ids)
    for split, part in parts.items()
  }
  remarks = (*raw.remarks, *table.remarks, *_remarks(table, filled, unknown))
  return raw._replace(remarks=remarks, **changed)


def _filled(column, values, observed, seed, split):
  """Fills gaps; in one-hot columns, gaps stay NaN unless drawn."""
  is_gap = np.isnan(values)
  if not is_gap.any():
    return values
  values = values.copy()
  if column.fill == 'draw':
    generator = generator_of('missing', seed, column.name, split)
    values[is_gap] = generator.choice(observed, int(is_gap.sum()))
  elif not column.is_one_hot:
    statistic = np.median if column.fill == 'median' else np.mean
    values[is_gap] = statistic(observed.astype(np.float64))
  return values


def _remarks(table, filled, unknown):
  """Yields remarks on gaps and on categories absent from training."""
  if filled:
    by_name = {column.name: column for column in table.columns}
    said = ', '.join(
      f'{count} in {name!r} ({_filling(by_name[name])})'
      for name, count in filled.items()
    )
    yield f'filled gaps: {said}.'
  if unknown:
    names = ', '.join(map(repr, unknown))
    yield f'turned into one column of 0 and 1 per category: {names}.'
  for name, count in unknown.items():
    if count:
      yield (
        f'{count} examples have a category in {name!r} that no training '
        'example has: 0 for every category.'
      )


def _filling(column):
  if column.fill == 'draw':
    return 'drawn from the training split'
  if column.is_one_hot:
    return '0 for every category'
  return f'{column.fill} of the training split'
