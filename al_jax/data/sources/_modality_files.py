"""The files of a folder of modalities: features, labels and ids by split."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data.sources import arrays, cells, delimited

# What arrays are called, in the order of trying.
_USUAL = {
  'inputs': tuple(dict.fromkeys(inputs for inputs, _ in arrays.PAIRS)),
  'targets': tuple(dict.fromkeys(targets for _, targets in arrays.PAIRS)),
  'ids': ('ids',),
}


class Keys(NamedTuple):
  """What arrays are called in every file; None: the usual names are tried.

  Attributes:
    inputs: of features.
    targets: of labels; in a CSV file their column.
    ids: of the names of the examples; in a CSV file their column.
  """

  inputs: str | None = None
  targets: str | None = None
  ids: str | None = None


class Block(NamedTuple):
  """The rows of one split in one file.

  Attributes:
    inputs: uint8 or float32 [N, ...], zeros in rows that were NaN; None if they
      were not asked for.
    present: bool[N], False in these rows; None likewise.
    labels: [N], as they stand in the file; None if it has none.
    ids: [N], int64 or str; None if it has none.
  """

  inputs: np.ndarray | None = None
  present: np.ndarray | None = None
  labels: np.ndarray | None = None
  ids: np.ndarray | None = None


class File(NamedTuple):
  """What one file says.

  Attributes:
    path: the file.
    blocks: by split: `'train'`, and maybe `'test'` and `'validation'`.
    class_names: names by class number; None if it has none.
  """

  path: Path
  blocks: dict[str, Block]
  class_names: tuple[str, ...] | None = None

  @property
  def has_ids(self) -> bool:
    """Whether its rows have names."""
    return any(block.ids is not None for block in self.blocks.values())

  @property
  def has_labels(self) -> bool:
    """Whether it says of what classes its rows are."""
    return any(block.labels is not None for block in self.blocks.values())


def read_features(path: Path, keys: Keys, *, chosen: bool) -> File:
  """Reads the file of a modality.

  Args:
    path: an .npz file.
    keys: what its arrays are called.
    chosen: False: read labels and ids alone, which all files together give.

  Returns:
    What it says.

  Raises:
    ValueError: there are no features, or a row of them is NaN in part.
  """
  return _read_npz(path, keys, needed='inputs', skipped=not chosen)


def read_labels(path: Path, keys: Keys) -> File:
  """Reads a file of labels, and of ids if it has them.

  Args:
    path: an .npz file; or CSV, with the columns `label` and `id`, else the
      second and the first, else its only column of labels.
    keys: what arrays or columns are called.

  Returns:
    What it says; CSV has one split.
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
  """Where the column stands that an option names; None if it names none."""
  if asked is None:
    return None
  errors.check_name(f'{option}: the column of {path}', asked, names)
  return names.index(asked)


def _read_npz(path: Path, keys: Keys, *, needed: str, skipped: bool) -> File:
  """The arrays of one file; without the inputs if they are skipped."""
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
  """The key of one kind of array by split; {} if the file has none."""
  for name in _USUAL[kind] if asked is None else (asked,):
    found = arrays.keys_of_splits((name,), there)
    if found:
      return {split: key for split, (key,) in found.items()}
  # Labels that were asked for may be in another file of the folder.
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
  """Raises unless the arrays of a file come in the same splits."""
  for keys in found.values():
    if keys and set(keys) != set(found[needed]):
      raise ValueError(
        f'{path}: the keys {", ".join(found[needed].values())} and '
        f'{", ".join(keys.values())} are not of the same splits.'
      )


def _labels(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
  """One label per row."""
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
  """The file, if its arrays fit each other and no id is there twice."""
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
