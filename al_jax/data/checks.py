"""Checks for errors in data that would pass silently or distort results."""

import collections
from typing import Any, NamedTuple

import numpy as np

from al_jax.data import dataset, named
from al_jax.data.dataset import RawData, Split
from al_jax.data.moments import moments_of
from al_jax.tasks import Task

_INPUT_DTYPES = (np.uint8, np.float32)
_TARGET_DTYPES = (np.int32, np.float32)
_BLOCK_BYTES = 1 << 24


class Examined(NamedTuple):
  """Data that passed the checks, with facts that need a pass over them.

  Attributes:
    raw: the data.
    fingerprint: digest of the content.
    train_moments: `Moments` of the training inputs, or a dict by modality.
  """

  raw: RawData
  fingerprint: str
  train_moments: Any


def examine(raw: RawData) -> Examined:
  """Checks the data; computes their fingerprint and moments."""
  check(raw)
  return Examined(raw, dataset.fingerprint(raw), moments_of(raw.train.inputs))


def check(raw: RawData) -> None:
  """Raises ValueError at the first error that no learner can handle.

  Args:
    raw: output of a source or a transform.

  Raises:
    ValueError: The message names the split, the first index and id, the value
      and the allowed values.
  """
  for part, split in raw.parts().items():
    where = f'{raw.name}, {part} split'
    _check_form(split, where)
    _check_presence(split, where, needed=split is raw.train)
    _check_targets(raw.task, split, where, needed=part != 'train')
    _check_like_train(split, raw.train, where)
    for name, array in named.arrays(split.inputs).items():
      _check_finite(array, split.ids, f'{where}: {named.what(name)}')
    _check_ids(split, where)
  if raw.is_image:
    _check_pictures(raw)
  _check_classes(raw)


def _check_form(split: Split, where: str) -> None:
  """Checks names, lengths, dtypes and ranks."""
  parts = named.arrays(split.inputs)
  if not parts or not all(isinstance(name, str) for name in parts):
    raise ValueError(
      f'{where}: the names of modalities are {list(parts)}; they must be one '
      'or more texts.'
    )
  targets = named.arrays(split.targets)
  lengths = {
    **{named.what(name): len(part) for name, part in parts.items()},
    **{named.what(name, 'targets'): len(of) for name, of in targets.items()},
    'ids': len(split.ids),
  }
  if len(set(lengths.values())) != 1:
    found = ', '.join(f'{count} {name}' for name, count in lengths.items())
    raise ValueError(f'{where}: lengths must be equal, found {found}.')
  if not len(split):
    raise ValueError(f'{where}: there are no examples.')
  for name, part in parts.items():
    if part.dtype not in _INPUT_DTYPES or part.ndim < 2:
      raise ValueError(
        f'{where}: {named.what(name)} must be uint8 or float32 of shape '
        f'[N, ...], not {part.dtype} of shape {list(part.shape)}.'
      )


def _check_targets(
  task: Task, split: Split, where: str, *, needed: bool
) -> None:
  """Checks targets against the task; dtypes must survive computation in JAX."""
  if split.targets is None:
    if needed:
      raise ValueError(
        f'{where}: there are no targets; only a training split may lack them.'
      )
    return
  task.check(split.targets, where, split.ids)
  for name, part in named.arrays(split.targets).items():
    if np.asarray(part).dtype not in _TARGET_DTYPES:
      raise ValueError(
        f'{where}: {named.what(name, "targets")} must be int32 or float32, not '
        f'{np.asarray(part).dtype}.'
      )


def _check_like_train(split: Split, train: Split, where: str) -> None:
  """Checks that examples have the shape and dtype of the training split."""
  found, wanted = (_forms(part.inputs) for part in (split, train))
  if found != wanted:
    raise ValueError(
      f'{where}: examples are {found}, those of the train split {wanted}; '
      'they must be alike.'
    )


def _forms(inputs: Any) -> str:
  """Describes dtype and shape of an example, by modality if there are any."""
  return ', '.join(
    f'{name} {part.dtype}{list(part.shape[1:])}'.strip()
    for name, part in named.arrays(inputs).items()
  )


def _check_finite(inputs: np.ndarray, ids: np.ndarray, where: str) -> None:
  """Raises ValueError at the first NaN or Inf."""
  if inputs.dtype == np.uint8:
    return
  per_block = max(1, _BLOCK_BYTES // max(1, inputs[0].nbytes))
  for begin in range(0, len(inputs), per_block):
    block = np.asarray(inputs[begin : begin + per_block])
    broken = ~np.isfinite(block)
    if broken.any():
      row, *position = (int(axis[0]) for axis in np.nonzero(broken))
      index = begin + row
      raise ValueError(
        f'{where} must be finite numbers; the one at index {index} '
        f'(id {ids[index]}), position {position}, is '
        f'{block[(row, *position)]}.'
      )


def _check_ids(split: Split, where: str) -> None:
  """Raises ValueError if two examples have the same id."""
  _, first, count = np.unique(split.ids, return_index=True, return_counts=True)
  repeated = first[count > 1]
  if repeated.size:
    index = int(repeated.min())
    others = np.flatnonzero(split.ids == split.ids[index])
    raise ValueError(
      f'{where}: ids must be unique; {split.ids[index]!r} is the id of the '
      f'examples at indices {others[0]} and {others[1]}.'
    )


def _check_pictures(raw: RawData) -> None:
  """Checks that pictures are one array [N, height, width, channels]."""
  shape = getattr(raw.train.inputs, 'shape', None)
  if shape is None:
    raise ValueError(
      f'{raw.name}: is_image must be False, since inputs are modalities.'
    )
  if len(shape) != 4:
    raise ValueError(
      f'{raw.name}: pictures must have shape [N, height, width, channels], '
      f'not {list(shape)}.'
    )


def _check_presence(split: Split, where: str, *, needed: bool) -> None:
  """Checks companion arrays for 0 or 1; if `needed`, each must have a 1."""
  parts = named.arrays(split.inputs)
  for name, says in parts.items():
    if not named.says_who_has(name):
      continue
    modality = name.removesuffix(named.PRESENT)
    if modality not in parts:
      raise ValueError(
        f'{where}: {name!r} marks the examples with the modality {modality!r}, '
        f'which is not there; there are {", ".join(parts)}.'
      )
    if says.dtype != np.uint8 or says.shape[1:] != (1,) or np.any(says > 1):
      raise ValueError(
        f'{where}: {name!r} must be 0 or 1, uint8 of shape [N, 1], not '
        f'{says.dtype} of shape {list(says.shape)} up to {says.max()}.'
      )
    if needed and not says.any():
      raise ValueError(
        f'{where}: no example has the modality {modality!r}; leave it out.'
      )


def _check_classes(raw: RawData) -> None:
  """Checks for two or more classes, distinct names, and examples of each."""
  names = raw.task.class_names
  if not names:
    return
  if len(set(names)) < len(names):
    ((name, _),) = collections.Counter(names).most_common(1)
    raise ValueError(
      f'{raw.name}: the class name {name!r} is there twice; names of classes '
      'must differ.'
    )
  if len(names) < 2:
    raise ValueError(
      f'{raw.name}: every example is of class {names[0]!r}; there must be two '
      'classes or more.'
    )
  classes = raw.train.classes(raw.task)
  if classes is None:
    return
  counts = np.bincount(classes, minlength=len(names))
  missing = [names[number] for number in np.flatnonzero(counts == 0)]
  if missing:
    shown = ', '.join(repr(name) for name in missing[:5])
    more = f' and {len(missing) - 5} more' if len(missing) > 5 else ''
    raise ValueError(
      f'{raw.name}, train split of {len(raw.train):,} examples: none is of '
      f'class {shown}{more}; every class needs one.'
    )
