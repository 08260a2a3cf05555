"""Changes that make a data set realistic: composable, seeded, pure.

A transform is `(raw, *, seed=0, <options>) -> raw`. It draws from its own
generator, keyed by its name, its options and the seed. So the draws do not
depend on the place in a chain, and different transforms draw independently.
Transforms that pick examples are in `subsets.py`. The one in `views.py`, which
turns pictures into modalities, draws nothing and has no seed.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from al_jax import errors
from al_jax.data import named
from al_jax.data.dataset import RawData, Split
from al_jax.data.moments import constants, moments
from al_jax.data.transforms.drift import drift
from al_jax.data.transforms.outliers import outliers
from al_jax.data.transforms.subsets import (
  cap,
  check_whole,
  generator_of,
  imbalance,
  known_classes,
  validation_split,
)
from al_jax.data.transforms.views import views

_ROWS_AT_ONCE = 4_096


def redundancy(
  raw: RawData, *, seed: int = 0, copies: int = 3, noise: float = 0.1
) -> RawData:
  """Repeats the training split with fresh Gaussian noise on every copy.

  This is the protocol of Repeated-MNIST (Kirsch et al. 2019, "BatchBALD"), in
  which the first copy is noisy too. The paper adds noise to normalised inputs.
  This function adds it to raw inputs, with a standard deviation of `noise`
  times that of the training inputs before copying: per channel for images, per
  column for tables. Nothing is clipped. A constant column gets no noise.

  Each modality has its own noise, independent of the other modalities. An
  example that lacks a modality gets no noise there.

  Args:
    raw: the data set.
    seed: seed of the noise.
    copies: number of copies of each example, at least 1.
    noise: standard deviation of the noise, relative to that of the inputs. If
      0, copies are exact and inputs keep their type.

  Returns:
    The data set with all of copy 0 first, then all of copy 1, and so on. An
    example `a` becomes `a#0`, `a#1`, ... With noise, the inputs of all splits
    become float32, still in raw units.
  """
  check_whole('redundancy: copies', copies, least=1)
  errors.check_number('redundancy: noise', noise, least=0)
  train = raw.train

  def repeated(name, array):
    if not noise or named.says_who_has(name):
      return _copied(array, copies, array.dtype)
    present = named.present(train.inputs, name)
    rows = _copied(array, copies, np.float32)
    scale = np.float32(noise) * _spread(array, present)
    called = [name] if name else []
    generator = generator_of(
      'redundancy', seed, int(copies), float(noise), *called
    )
    _add_noise(generator, rows, scale)
    if present is not None:
      rows[np.tile(~present, copies)] = 0
    return rows

  inputs = named.mapped(repeated, train.inputs)
  if noise:
    raw = raw._replace(
      test=_as_float(raw.test),
      validation=_as_float(raw.validation),
    )
  ids = [f'{name}#{copy}' for copy in range(copies) for name in train.ids]
  targets = jax.tree.map(
    lambda part: _copied(part, copies, part.dtype), train.targets
  )
  return raw._replace(train=Split(inputs, targets, np.asarray(ids)))


def _copied(values: np.ndarray, copies: int, dtype: np.dtype) -> np.ndarray:
  """Returns copy 0, copy 1, ... of the values in the given type."""
  size = len(values)
  rows = np.empty((copies * size, *values.shape[1:]), dtype)
  for copy in range(copies):
    rows[copy * size : (copy + 1) * size] = values
  return rows


def _spread(inputs: np.ndarray, present: np.ndarray | None) -> np.ndarray:
  """Returns the std of `constants`, with 0 for constant channels and columns.

  There `constants` has 1, which would turn such a column into pure noise.
  """
  of_inputs = moments(inputs, present=present)
  axes = tuple(range(of_inputs.mean.ndim - 1))
  varies = of_inputs.variance.any(axes) | (np.ptp(of_inputs.mean, axes) > 0)
  _, std = constants(of_inputs, 'channel')
  return np.where(varies, std, np.float32(0))


def _add_noise(
  generator: np.random.Generator, inputs: np.ndarray, scale: np.ndarray
) -> None:
  """Adds noise in place, in blocks of rows to save memory."""
  for start in range(0, len(inputs), _ROWS_AT_ONCE):
    rows = inputs[start : start + _ROWS_AT_ONCE]
    rows += scale * generator.standard_normal(rows.shape, np.float32)


def _as_float(split: Split | None) -> Split | None:
  if split is None:
    return None
  inputs = named.mapped(
    lambda name, array: (
      array if named.says_who_has(name) else array.astype(np.float32)
    ),
    split.inputs,
  )
  return Split(inputs, split.targets, split.ids)


def label_noise(raw: RawData, *, seed: int = 0, rate: float) -> RawData:
  """Makes round(rate N) training targets wrong; test and validation stay.

  Each becomes one of the C - 1 other classes, all equally likely. The wrong
  target replaces the true one: an oracle returns it for every query, and
  training accuracy counts it as right. In contrast, a noisy `Oracle` changes
  its answers and leaves the data set as it is.

  Args:
    raw: the data set.
    seed: seed for the choice of targets and their new classes.
    rate: fraction of targets made wrong, in [0, 1].

  Returns:
    The data set with noisy training targets.
  """
  errors.check_number('label_noise: rate', rate, least=0, most=1)
  names, known = known_classes(raw, 'label_noise')
  num_classes = len(names)
  if num_classes < 2:
    raise ValueError(
      'label_noise: there is only one class, so none to flip to.'
    )
  generator = generator_of('label_noise', seed, float(rate))
  size = len(raw.train)
  flipped = generator.choice(size, round(rate * size), replace=False)
  steps = generator.integers(1, num_classes, len(flipped))
  targets = np.array(known)
  targets[flipped] = (targets[flipped] + steps) % num_classes
  return raw._replace(train=Split(raw.train.inputs, targets, raw.train.ids))


TRANSFORMS: dict[str, Callable[..., RawData]] = {
  'imbalance': imbalance,
  'redundancy': redundancy,
  'label_noise': label_noise,
  'outliers': outliers,
  'cap': cap,
  'validation_split': validation_split,
  'views': views,
  'drift': drift,
}


def apply_transforms(
  raw: RawData, specs: Sequence[Mapping[str, Any]]
) -> RawData:
  """Applies transforms one after the other.

  Args:
    raw: the data set.
    specs: dicts with a `'name'` from TRANSFORMS and options of that function:
      `{'name': 'cap', 'train': 1000, 'seed': 1}`.

  Returns:
    The data set after the last transform.

  Raises:
    ValueError: If a name or an option is unknown, an option is missing or out
      of range, or a spec occurs twice, which would repeat its draws.
  """
  check_transforms(specs)
  for spec in specs:
    options = {key: value for key, value in spec.items() if key != 'name'}
    raw = TRANSFORMS[spec['name']](raw, **options)
  return raw


def check_transforms(specs: Sequence[Mapping[str, Any]]) -> None:
  """Raises the errors of `apply_transforms` that do not depend on the data."""
  if not isinstance(specs, Sequence) or isinstance(specs, str):
    raise ValueError(f'transforms: {specs!r} must be a list of dicts.')
  for position, spec in enumerate(specs):
    _check_spec(spec)
    if dict(spec) in [dict(earlier) for earlier in specs[:position]]:
      raise ValueError(
        f'transforms: {dict(spec)} is there twice and would repeat its draws; '
        'give the second one another seed.'
      )


def _check_spec(spec: Mapping[str, Any]) -> None:
  """Raises ValueError unless the spec fits a transform and its options."""
  if not isinstance(spec, Mapping) or 'name' not in spec:
    raise ValueError(
      f"transforms: {spec!r} must be a dict with a 'name': one of "
      f'{", ".join(TRANSFORMS)}.'
    )
  name = spec['name']
  errors.check_name('The transform', name, TRANSFORMS)
  allowed = inspect.signature(TRANSFORMS[name]).parameters
  options = [option for option in allowed if option != 'raw']
  for option in spec:
    if option != 'name' and option not in options:
      raise errors.unknown_name(f'{name}: the option', option, options)
  for option in options:
    required = allowed[option].default is inspect.Parameter.empty
    if required and option not in spec:
      raise ValueError(f'{name}: the option {option!r} must be given.')
