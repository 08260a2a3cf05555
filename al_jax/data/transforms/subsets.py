"""Transforms that pick examples: imbalance, cap, validation split.

They keep the order of the examples and copy only those they keep, so inputs may
be memory-mapped. See `apply.py` for the definition of a transform.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from al_jax import errors, tasks
from al_jax.data.dataset import RawData


def imbalance(
  raw: RawData,
  *,
  seed: int = 0,
  ratio: float | None = None,
  profile: str = 'exponential',
  classes: Mapping[str | int, float] | None = None,
) -> RawData:
  """Thins the training split class by class; test and validation stay.

  Class c keeps round(f n) of its n examples, at least one. The fraction f comes
  from `classes`, or from `ratio` r and `profile`, for C classes by number:

      exponential: f = r ** (-c / (C - 1))   first class all, last class 1 in r
      step:        f = 1 if c < C / 2 else 1 / r

  The profiles are those of Cui et al. 2019, "Class-Balanced Loss Based on
  Effective Number of Samples", and of Buda et al. 2018, "A systematic study of
  the class imbalance problem". Both papers start from classes of equal size.

  Args:
    raw: the data set.
    seed: seed for the choice of examples.
    ratio: r, at least 1.
    profile: `'exponential'` or `'step'`.
    classes: instead of `ratio`, the fractions in (0, 1] that classes keep, by
      class name or number; classes not named keep all examples.

  Returns:
    The thinned data set.
  """
  names, targets = known_classes(raw, 'imbalance')
  _refuse_outliers(
    raw, 'imbalance', 'count some of them as examples of a class'
  )
  if (ratio is None) == (classes is None):
    raise ValueError(
      f'imbalance: give ratio or classes; given are ratio={ratio!r} and '
      f'classes={classes!r}.'
    )
  if classes is not None:
    errors.check_mapping('imbalance: classes', classes)
    fractions = _fractions_by_class(names, classes)
  else:
    fractions = _profile(profile, ratio, len(names))
  counts = np.bincount(targets, minlength=len(names))
  keep = np.maximum(np.round(fractions * counts), 1).astype(int)
  keep = np.minimum(keep, counts)
  generator = generator_of('imbalance', seed, fractions.tolist())
  kept = _draw_per_class(generator, targets, keep)
  return raw._replace(train=raw.train.take(kept))


def _profile(profile: str, ratio: float, num_classes: int) -> np.ndarray:
  """Returns the fraction that each class keeps, [C]."""
  errors.check_number('imbalance: ratio', ratio, least=1)
  number = np.arange(num_classes)
  if profile == 'exponential':
    return float(ratio) ** (-number / max(num_classes - 1, 1))
  if profile == 'step':
    return np.where(number < num_classes / 2, 1.0, 1 / ratio)
  raise errors.unknown_name(
    'imbalance: the profile', profile, ('exponential', 'step')
  )


def _fractions_by_class(
  names: tuple[str, ...], classes: Mapping[str | int, float]
) -> np.ndarray:
  """Returns the fraction that each class keeps, [C]."""
  fractions = np.ones(len(names))
  for name, fraction in classes.items():
    if name in names:
      number = names.index(name)
    elif isinstance(name, int) and 0 <= name < len(names):
      number = name
    else:
      raise errors.unknown_name('imbalance: the class', name, names)
    errors.check_number(
      f'imbalance: classes[{name!r}]', fraction, above=0, most=1
    )
    fractions[number] = fraction
  return fractions


def cap(
  raw: RawData,
  *,
  seed: int = 0,
  train: int | None = None,
  test: int | None = None,
  stratified: bool = True,
) -> RawData:
  """Limits the number of examples of a split.

  Args:
    raw: the data set.
    seed: seed for the choice of examples.
    train: maximum number of training examples. If None, all are kept.
    test: maximum number of test examples. If None, all are kept.
    stratified: whether to keep the proportions of the classes, up to rounding,
      and at least one example of each class if the limit allows. If False, or
      without known classes, examples are drawn uniformly.

  Returns:
    The data set; a split within its limit is unchanged.
  """
  if train is None and test is None:
    raise ValueError('cap: give train, test or both.')
  for split, size in (('train', train), ('test', test)):
    if size is None:
      continue
    check_whole(f'cap: {split}', size, least=1)
    whole = getattr(raw, split)
    if whole is None:
      raise ValueError(f'cap: {split} is {size}; {raw.name} has no such split.')
    if size < len(whole):
      generator = generator_of('cap', seed, split, int(size), bool(stratified))
      classes = whole.classes(raw.task) if stratified else None
      if split == 'train' and classes is not None:
        _refuse_outliers(
          raw, 'a stratified cap', 'count some of them as examples of a class'
        )
      kept = _draw(generator, len(whole), classes, size, spare=0)
      raw = raw._replace(**{split: whole.take(kept)})
  return raw


# Prefix of an outlier's id, which no user's id should have.
OUTLIER = 'al_jax:outlier '


def are_outliers(ids: np.ndarray) -> np.ndarray:
  """Returns a mask of the examples that `outliers` added, bool[N]."""
  if ids.dtype.kind not in 'OU':
    return np.zeros(len(ids), bool)
  return np.char.startswith(ids.astype(str), OUTLIER)


def validation_split(
  raw: RawData,
  *,
  seed: int = 0,
  size: int | None = None,
  fraction: float | None = None,
  stratified: bool = True,
) -> RawData:
  """Moves training examples into a validation split.

  Args:
    raw: the data set, without a validation split.
    seed: seed for the choice of examples.
    size: number of examples to move, unless `fraction` is given.
    fraction: share of the training split to move, in (0, 1).
    stratified: whether to take from every class in proportion, up to rounding,
      and leave at least one example of each. If False, or without classes,
      examples are drawn uniformly.

  Returns:
    The data set with a validation split and a smaller training split.
  """
  _refuse_outliers(raw, 'validation_split', 'hold out some of them')
  if raw.validation is not None:
    raise ValueError(f'validation_split: {raw.name} has one already.')
  if raw.train.targets is None:
    raise ValueError(
      f'validation_split: {raw.name} has no targets; a validation split needs '
      'them.'
    )
  if (size is None) == (fraction is None):
    raise ValueError(
      f'validation_split: give size or fraction; given are size={size!r} and '
      f'fraction={fraction!r}.'
    )
  if fraction is not None:
    errors.check_number(
      'validation_split: fraction', fraction, above=0, below=1
    )
    size = max(1, round(fraction * len(raw.train)))
  check_whole('validation_split: size', size, least=1)
  num_examples = len(raw.train)
  classes = raw.train.classes(raw.task) if stratified else None
  most = num_examples - (1 if classes is None else np.unique(classes).size)
  if size > most:
    raise ValueError(
      f'validation_split: size={size!r} must be at most {most}: '
      f'{raw.name} has {num_examples} training examples'
      + ('.' if classes is None else ', and each class keeps one.')
    )
  generator = generator_of(
    'validation_split', seed, int(size), bool(stratified)
  )
  taken = _draw(generator, num_examples, classes, size, spare=1)
  left = np.delete(np.arange(num_examples), taken)
  return raw._replace(
    train=raw.train.take(left), validation=raw.train.take(taken)
  )


def _refuse_outliers(raw: RawData, transform: str, would: str) -> None:
  """Raises ValueError if the data set already has outliers.

  Args:
    raw: the data set.
    transform: transform that must come before outliers, for the message.
    would: harm that the transform would do, for the message.
  """
  if np.any(are_outliers(raw.train.ids)):
    raise ValueError(
      f'{transform} comes after outliers, and would {would}: put it first.'
    )


def known_classes(
  raw: RawData, transform: str
) -> tuple[tuple[str, ...], np.ndarray]:
  """Returns the class names and the training targets.

  Args:
    raw: the data set.
    transform: transform that needs them, for the message.

  Raises:
    ValueError: If the task is not one of classes, or the set is unlabelled.
  """
  task = tasks.need_classes(raw.task, f'transform {transform!r}')
  if raw.train.targets is None:
    raise ValueError(
      f'transform {transform!r} needs targets; the training split of '
      f'{raw.name} has none.'
    )
  return task.names, raw.train.targets


def check_whole(what: str, value: Any, *, least: int) -> None:
  """Raises ValueError unless an option is a whole number from `least` on."""
  errors.check_number(what, value, int, least=least)


def generator_of(name: str, seed: int, *options: Any) -> np.random.Generator:
  """Makes a generator keyed by a transform, its options and its seed.

  Args:
    name: name of the transform.
    seed: a whole number from 0 on.
    *options: bool, int, float, str or lists of them; exactly these types, as
      their `repr` is hashed.

  Returns:
    A fresh generator.
  """
  check_whole(f'{name}: seed', seed, least=0)
  digest = hashlib.sha256(repr((name, int(seed), options)).encode()).digest()
  return np.random.default_rng(int.from_bytes(digest[:16], 'big'))


def _draw(
  generator: np.random.Generator,
  num_examples: int,
  classes: np.ndarray | None,
  size: int,
  *,
  spare: int,
) -> np.ndarray:
  """Draws sorted positions of `size` examples; leaves `spare` per class."""
  if classes is None:
    return np.sort(generator.choice(num_examples, size, replace=False))
  counts = np.bincount(classes)
  most = np.maximum(counts - spare, 0)
  at_least_one = np.minimum(most, 1)
  least = at_least_one if at_least_one.sum() <= size else np.zeros_like(most)
  shares = _proportional_shares(counts, size, least, most)
  return _draw_per_class(generator, classes, shares)


def _proportional_shares(
  counts: np.ndarray, size: int, least: np.ndarray, most: np.ndarray
) -> np.ndarray:
  """Splits `size` into whole shares, [C], near the proportions, in bounds."""
  quotas = counts * (size / counts.sum())
  shares = np.clip(np.floor(quotas).astype(int), least, most)
  while shares.sum() < size:
    lack = np.where(shares < most, quotas - shares, -np.inf)
    shares[np.argmax(lack)] += 1
  while shares.sum() > size:
    excess = np.where(shares > least, shares - quotas, -np.inf)
    shares[np.argmax(excess)] -= 1
  return shares


def _draw_per_class(
  generator: np.random.Generator, targets: np.ndarray, shares: np.ndarray
) -> np.ndarray:
  """Draws sorted positions of `shares[c]` examples of each class c."""
  drawn = [
    generator.choice(np.flatnonzero(targets == number), share, replace=False)
    for number, share in enumerate(shares)
  ]
  return np.sort(np.concatenate(drawn))
