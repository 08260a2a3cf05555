"""Reads the files of a folder of modalities: features, labels and ids."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data.sources import arrays, cells, delimited

# Usual names of arrays, in the order of trying.
_USUAL = {
  'inputs': tuple(dict.fromkeys(inputs for inputs, _ in arrays.PAIRS)),
  'targets': tuple(dict.fromkeys(targets for _, targets in arrays.PAIRS)),
  'ids': ('ids',),
}


class Keys(NamedTuple):
  """Names of arrays in every file. If None, usual names are tried.

  Attributes:
    inputs: key of the features.
    targets: key, or CSV column, of the labels.
    ids: key, or CSV column, of the ids.
  """

  inputs: str | None = None
  targets: str | None = None
  ids: str | None = None


class Block(NamedTuple):
  """The rows of one split in one file.

  Attributes:
    inputs: uint8 or float32 [N, ...], zeros in rows that were NaN; None if not
      requested.
    present: bool[N], False in these rows; None if inputs are.
    labels: labels as in the file, [N], or None.
    ids: int64 or str [N], or None.
  """

  inputs: np.ndarray | None = None
  present: np.ndarray | None = None
  labels: np.ndarray | None = None
  ids: np.ndarray | None = None


class File(NamedTuple):
  """Content of one file.

  Attributes:
    path: path of the file.
    blocks: blocks by split: `'train'`, and maybe `'test'` and `'validation'`.
    class_names: names by class number, or None.
  """

  path: Path
  blocks: dict[str, Block]
  class_names: tuple[str, ...] | None = None

  @property
  def has_ids(self) -> bool:
    """Whether the file has ids."""
    return any(block.ids is not None for block in self.blocks.values())

  @property
  def has_labels(self) -> bool:
    """Whether the file has labels."""
    return any(block.labels is not None for block in self.blocks.values())


def read_features(path: Path, keys: Keys, *, chosen: bool) -> File:
  """Reads the file of a modality.

  Args:
    path: an .npz file.
    keys: names of its arrays.
    chosen: whether to read the features. If False, only labels and ids are
      read, as these come from all files.

  Returns:
    The content of the file.

  Raises:
    ValueError: If there are no features, or a row of them is partly NaN.
  """
  return _read_npz(path, keys, needed='inputs', skipped=not chosen)


def read_labels(path: Path, keys: Keys) -> File:
  """Reads a file of labels, with ids if it has them.

  Args:
    path: an .npz file; or a CSV file with the columns `label` and `id`, by
      default the second and the first, or with labels as the only column.
    keys: names of arrays or columns.

  Returns:
    The content of the file; CSV has one split.
  """
  if path.suffix.lower() == '.npz':
    return _read_npz(path, keys, needed='targets', skipped=True)
  table = delimited.open_csv(path)
  names = table.names
  label = _column(path, 'targets', keys.targets, names)
  if label is None:
    label = names.index('label') if 'label' in names else min(1, len(names) - 1)
  named = _column(path, 'ids', keys.ids, names)
  if named is None:
    named = names.index('id') if 'id' in names else 0
  if named == label:
    _, (labels,) = table.read([], [label])
    return File(path, {'train': Block(labels=labels)})
  _, (labels, ids) = table.read([], [label, named])
  return _checked(
    File(path, {'train': Block(labels=labels, ids=cells.as_ids(ids, path))})
  )


def _column(
  path: Path, option: str, asked: str | None, names: tuple[str, ...]
) -> int | None:
  """Returns the position of the column in an option, or None if not given."""
  if asked is None:
    return None
  errors.check_name(f'{option}: the column of {path}', asked, names)
  return names.index(asked)


def _read_npz(path: Path, keys: Keys, *, needed: str, skipped: bool) -> File:
  """Reads the arrays of one file; `skipped` leaves out the inputs."""
  with arrays.open_npz(path) as archive:
    found = {
      kind: _keys_of(path, kind, asked, archive.files, needed=kind == needed)
      for kind, asked in keys._asdict().items()
    }
    _check_splits(path, found, needed)
    blocks = {}
    for split in found[needed]:
      inputs = present = labels = ids = None
      if not skipped:
        key = found['inputs'][split]
        values = arrays.member(path, archive, key)
        inputs, present = arrays.as_modality(f'{path}: {key!r}', values)
      if found['targets']:
        labels = _labels(path, archive, found['targets'][split])
      if found['ids']:
        key = found['ids'][split]
        ids = cells.as_ids(arrays.member(path, archive, key), path)
      blocks[split] = Block(inputs, present, labels, ids)
    names = None
    if 'class_names' in archive.files:
      named = arrays.member(path, archive, 'class_names')
      names = tuple(named.astype(str).tolist())
  return _checked(File(path, blocks, names))


def _keys_of(
  path: Path, kind: str, asked: str | None, there: list[str], *, needed: bool
) -> dict[str, str]:
  """Returns keys of one kind of array by split; {} if the file has none."""
  for name in _USUAL[kind] if asked is None else (asked,):
    found = arrays.keys_of_splits((name,), there)
    if found:
      return {split: key for split, (key,) in found.items()}
  # The requested labels may be in another file of the folder.
  if asked is not None and (needed or kind == 'ids'):
    raise errors.unknown_name(f'{path}: {kind}: the key', asked, there)
  if needed:
    raise ValueError(
      f'{path} has no {kind} under a usual key ({", ".join(_USUAL[kind])}, or '
      f'{_USUAL[kind][0]}_train and {_USUAL[kind][0]}_test, ...). Name it with '
      f'{kind}; keys of the file: {", ".join(there)}.'
    )
  return {}


def _check_splits(
  path: Path, found: dict[str, dict[str, str]], needed: str
) -> None:
  """Raises ValueError unless the arrays of a file have the same splits."""
  for keys in found.values():
    if keys and set(keys) != set(found[needed]):
      raise ValueError(
        f'{path}: the keys {", ".join(found[needed].values())} and '
        f'{", ".join(keys.values())} must be of the same splits.'
      )


def _labels(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
  """Reads one label per row."""
  labels = arrays.member(path, archive, key)
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]
  if labels.ndim != 1:
    raise ValueError(
      f'{path}: {key!r} must hold one label per example, shape [N] or [N, 1]; '
      f'its shape is {list(labels.shape)}.'
    )
  return labels


def _checked(file: File) -> File:
  """Returns the file; raises ValueError if lengths differ or ids repeat."""
  seen = {}
  for split, block in file.blocks.items():
    lengths = {
      kind: len(values)
      for kind, values in block._asdict().items()
      if values is not None and kind != 'present'
    }
    if len(set(lengths.values())) > 1:
      found = ', '.join(f'{number} {kind}' for kind, number in lengths.items())
      raise ValueError(
        f'{file.path}: lengths must be equal; its {split} split has {found}.'
      )
    for row, name in enumerate([] if block.ids is None else block.ids.tolist()):
      before = seen.setdefault(str(name), (split, row))
      if before != (split, row):
        raise ValueError(
          f'{file.path}: the id {name!r} is there twice: in row {before[1]} of '
          f'its {before[0]} split and in row {row} of its {split} split '
          '(counted from 0). Ids must be unique.'
        )
  return file
