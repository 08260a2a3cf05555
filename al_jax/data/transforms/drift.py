"""A transform that puts the training split in an order: a stream that drifts.

What a transform is stands in `apply.py`.
"""

import numpy as np

from al_jax import errors
from al_jax.data.dataset import RawData
from al_jax.data.transforms.subsets import generator_of, known_classes

KINDS = ('shuffled', 'by_id', 'abrupt', 'gradual', 'new_class')
# What needs no classes.
_WITHOUT_CLASSES = ('shuffled', 'by_id')
# Where a change comes, of all examples, if `at` does not say.
_AT = 0.5


def drift(
  raw: RawData,
  *,
  seed: int = 0,
  kind: str = 'shuffled',
  at: float | None = None,
  new: str | None = None,
) -> RawData:
  """Reorders the training split; every example is kept once, with its id.

  The first half of the classes, in the order of their numbers, are the early
  ones, the others the late ones.

  Args:
    raw: the data set.
    seed: of the order.
    kind: what happens over the stream:
      `'shuffled'`: nothing; the order is random.
      `'by_id'`: what your data have: the order of the ids, such as the row
      numbers of a table, whose rows a source shuffles to hold out a test split.
      `'abrupt'`: up to a position there are early classes alone; from there on
      the late ones, with the early ones that are left.
      `'gradual'`: of as many early as late examples the share of early ones
      falls from 1 to 0 in a line.
      `'new_class'`: a class that is not there up to a position comes after it.
    at: that position as a share of all examples, above 0, below 1; of
      `'abrupt'` and `'new_class'`. If None, one half.
    new: name of the class of `'new_class'`, a text. If None, the last one.

  Returns:
    The data set in another order.

  Raises:
    ValueError: an option out of range, one that the kind does not read, or a
      position that the classes cannot fill.
  """
  errors.check_name('drift: kind', kind, KINDS)
  errors.check_number('drift: at', at, above=0, below=1, optional=True)
  _check_read(kind, at, new)
  generator = generator_of('drift', seed, kind, float(at or 0), new or '')
  if kind in _WITHOUT_CLASSES:
    order = (
      np.argsort(raw.train.ids, kind='stable')
      if kind == 'by_id'
      else generator.permutation(len(raw.train))
    )
    return raw._replace(train=raw.train.take(order))
  names, classes = known_classes(raw, 'drift')
  if len(names) < 2:
    raise ValueError(f'drift: kind {kind!r} needs a second class.')
  if kind == 'gradual':
    order = _gradual(generator, classes < len(names) / 2)
  else:
    is_early = classes < len(names) / 2
    if kind == 'new_class':
      is_early = classes != _number(new, names)
    order = _changed(generator, is_early, at or _AT)
  return raw._replace(train=raw.train.take(order))


def _check_read(kind, at, new):
  """Refuses what the kind does not read."""
  for option, value, readers in (
    ('at', at, ('abrupt', 'new_class')),
    ('new', new, ('new_class',)),
  ):
    if value is not None and kind not in readers:
      raise ValueError(
        f'drift: {option} is {value!r}, and kind {kind!r} does not read it, '
        f'but {" and ".join(readers)}: leave it out.'
      )


def _number(new, names):
  """The number of the class that is new."""
  if new is None:
    return len(names) - 1
  errors.check_name('drift: new', new, names)
  return names.index(new)


def _gradual(generator, is_early):
  """Positions by times of arrival: early ones have density 2 (1 - t)."""
  drawn = generator.random(len(is_early))
  times = np.where(is_early, 1 - np.sqrt(drawn), np.sqrt(drawn))
  return np.argsort(times, kind='stable')


def _changed(generator, is_early, at):
  """Up to a position only early ones, in random order; then all others."""
  order = generator.permutation(len(is_early))
  before = round(at * len(order))
  early = order[is_early[order]]
  if len(early) < before:
    raise ValueError(
      f'drift: at is {at}, which takes {before} examples of the classes that '
      f'come first; there are {len(early)}.'
    )
  rest = np.setdiff1d(order, early[:before])
  return np.concatenate([early[:before], generator.permutation(rest)])
