"""A transform that reorders the training split into a stream that drifts.

See `apply.py` for the definition of a transform.
"""

import numpy as np

from al_jax import errors
from al_jax.data.dataset import RawData
from al_jax.data.transforms.subsets import generator_of, known_classes

KINDS = ('shuffled', 'by_id', 'abrupt', 'gradual', 'new_class')
_WITHOUT_CLASSES = ('shuffled', 'by_id')
# Default position of the change, as a share of all examples.
_AT = 0.5


def drift(
  raw: RawData,
  *,
  seed: int = 0,
  kind: str = 'shuffled',
  at: float | None = None,
  new: str | None = None,
) -> RawData:
  """Reorders the training split; keeps every example and its id.

  The first half of the classes, by class number, are the early classes; the
  others are the late classes.

  Args:
    raw: the data set.
    seed: seed of the order.
    kind: change over the stream:
      `'shuffled'`: no change; the order is random.
      `'by_id'`: the change in your own data; examples are sorted by id. If ids
      are row numbers, this undoes the shuffle that draws a test split.
      `'abrupt'`: only early classes before a position; then the late classes
      and the remaining early examples.
      `'gradual'`: the share of early classes falls linearly from 1 to 0, if
      there are as many early examples as late ones.
      `'new_class'`: one class appears only after a position.
    at: position of the change as a share of all examples, in (0, 1), for
      `'abrupt'` and `'new_class'`. If None, one half.
    new: name of the class that `'new_class'` adds. If None, the last class.

  Returns:
    The data set in the new order.

  Raises:
    ValueError: If an option is out of range or not used by the kind, or too
      few examples may come before the position.
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
  """Raises ValueError if an option is given that the kind does not use."""
  for option, value, readers in (
    ('at', at, ('abrupt', 'new_class')),
    ('new', new, ('new_class',)),
  ):
    if value is not None and kind not in readers:
      raise ValueError(
        f'drift: {option} is {value!r}, but kind {kind!r} does not use it; '
        f'only {" and ".join(readers)} can.'
      )


def _number(new, names):
  """Returns the number of the new class."""
  if new is None:
    return len(names) - 1
  errors.check_name('drift: new', new, names)
  return names.index(new)


def _gradual(generator, is_early):
  """Sorts by random arrival times t in [0, 1].

  Their density is 2 (1 - t) for early examples and 2 t for late ones.
  """
  drawn = generator.random(len(is_early))
  times = np.where(is_early, 1 - np.sqrt(drawn), np.sqrt(drawn))
  return np.argsort(times, kind='stable')


def _changed(generator, is_early, at):
  """Puts only early examples before a position, then all others, shuffled."""
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
