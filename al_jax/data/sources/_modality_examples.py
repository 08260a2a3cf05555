"""Finds the examples of a folder of modalities, with splits and labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from al_jax.data.sources import cells
from al_jax.data.sources._modality_files import File

# End of messages on files that do not fit together.
TOGETHER = 'Without ids, row i of each file belongs to the same example.'


class SplitExamples(NamedTuple):
  """The examples of one split.

  Attributes:
    labels: labels not yet encoded, [N].
    ids: ids of the examples, [N]. If None, row i of each file belongs to
      example i.
  """

  labels: np.ndarray
  ids: np.ndarray | None


class FolderExamples(NamedTuple):
  """The examples of a folder.

  Attributes:
    splits: splits by name, in order.
    class_names: names by class number, or None if no file has them.
  """

  splits: dict[str, SplitExamples]
  class_names: tuple[str, ...] | None


def find(
  folder: Path, labels: File | None, features: Sequence[File]
) -> FolderExamples:
  """Finds the examples of a folder, in an order that depends on the files.

  With ids, examples and splits come from the file of labels. If there is no
  such file, or it has one split and the files of modalities have several, they
  come from these files, one after the other. Without ids, the examples are the
  rows.

  Args:
    folder: the folder, for messages.
    labels: file of labels, or None.
    features: files of all modalities, chosen or not.

  Returns:
    The examples.

  Raises:
    ValueError: If files do not agree, an example has no label or is in two
      splits, or only some files have ids.
  """
  everyone = [*([] if labels is None else [labels]), *features]
  _check_ids(folder, everyone)
  if not any(file.has_labels for file in everyone):
    raise ValueError(
      f'{folder}: no file has labels: there is neither labels.npz nor '
      'labels.csv, and no modality has them. The options labels and targets '
      'name the file and the key.'
    )
  if not everyone[0].has_ids:
    _check_splits(everyone)
    splits = {name: _by_row(name, everyone) for name in everyone[0].blocks}
    return FolderExamples(splits, _class_names(everyone))
  listing = features
  if labels is not None and (
    len(labels.blocks) > 1 or len(features[0].blocks) == 1
  ):
    listing = [labels]
  _check_splits(listing)
  label_of = _labels_by_id(everyone)
  splits = {name: _by_id(name, listing, label_of) for name in listing[0].blocks}
  _check_found(folder, splits, features)
  return FolderExamples(splits, _class_names(everyone))


def _names(file: File) -> list[str]:
  """Returns all ids of a file as text, since types may differ by file."""
  return [
    str(name) for block in file.blocks.values() for name in block.ids.tolist()
  ]


def _check_ids(folder: Path, files: Sequence[File]) -> None:
  """Raises ValueError unless all files have ids, or none does."""
  having = [file.path.name for file in files if file.has_ids]
  lacking = [file.path.name for file in files if not file.has_ids]
  if having and lacking:
    raise ValueError(
      f'{folder}: there are ids in {", ".join(having)} and none in '
      f'{", ".join(lacking)}; all files must have them, or none. The option '
      'ids names their key.'
    )


def _check_splits(files: Sequence[File]) -> None:
  """Raises ValueError unless files have the same splits."""
  first, *others = files
  for other in others:
    if set(other.blocks) != set(first.blocks):
      raise ValueError(
        f'{other.path} has the splits {", ".join(other.blocks)}, {first.path} '
        f'has {", ".join(first.blocks)}; they must be the same.'
      )


def _by_row(split: str, files: Sequence[File]) -> SplitExamples:
  """Returns the labels by row; raises ValueError if files disagree."""
  first, *others = (file for file in files if file.has_labels)
  labels = first.blocks[split].labels
  for other in others:
    again = other.blocks[split].labels
    if len(again) != len(labels):
      raise ValueError(
        f'{other.path} has {len(again)} labels in its {split} split, '
        f'{first.path} has {len(labels)}. {TOGETHER}'
      )
    pairs = enumerate(zip(again, labels, strict=True))
    differ = [
      row for row, (one, other) in pairs if _class(one) != _class(other)
    ]
    if differ:
      row = differ[0]
      raise ValueError(
        f'{other.path} has the label {str(again[row])!r} in row {row} (counted '
        f'from 0) of its {split} split, {first.path} has {str(labels[row])!r}.'
      )
  return SplitExamples(labels, None)


def _labels_by_id(files: Sequence[File]) -> dict[str, Any]:
  """Returns labels by id; raises ValueError if files disagree."""
  labels, said_in = {}, {}
  for file in files:
    if not file.has_labels:
      continue
    said = [label for block in file.blocks.values() for label in block.labels]
    for name, label in zip(_names(file), said, strict=True):
      before = labels.setdefault(name, label)
      path = said_in.setdefault(name, file.path)
      if _class(before) != _class(label):
        raise ValueError(
          f'{file.path} has the label {str(label)!r} for the id {name!r}, '
          f'{path} has {str(before)!r}.'
        )
  return labels


def _class(label: Any) -> str:
  """Returns a label as text; 1, 1.0 and their texts become one class."""
  text = str(label)
  try:
    number = float(text)
  except ValueError:
    return text
  return str(int(number)) if number.is_integer() else text


def _by_id(
  split: str, files: Sequence[File], label_of: dict[str, Any]
) -> SplitExamples:
  """Returns the ids that the files list, with their labels."""
  ids = [str(name) for file in files for name in file.blocks[split].ids]
  ids = list(dict.fromkeys(ids))
  for name in ids:
    if name not in label_of:
      raise ValueError(
        f'{files[0].path.parent}: the id {name!r} of the {split} split has no '
        'label in any file.'
      )
  labels = np.asarray([label_of[name] for name in ids])
  return SplitExamples(labels, cells.as_ids(np.asarray(ids)))


def _check_found(
  folder: Path, splits: dict[str, SplitExamples], features: Sequence[File]
) -> None:
  """Raises ValueError if an id is in two splits, or in no modality."""
  split_of = {}
  for split, examples in splits.items():
    for name in map(str, examples.ids.tolist()):
      if split_of.setdefault(name, split) != split:
        raise ValueError(
          f'{folder}: the id {name!r} is in the {split_of[name]} split and in '
          f'the {split} split.'
        )
  known = {name for file in features for name in _names(file)}
  missing = [name for name in split_of if name not in known]
  if missing:
    raise ValueError(
      f'{folder}: {len(missing)} of {len(split_of)} ids are in no file of a '
      f'modality; the first is {missing[0]!r}.'
    )


def _class_names(files: Sequence[File]) -> tuple[str, ...] | None:
  found = {file.class_names: file.path for file in files if file.class_names}
  if len(found) > 1:
    raise ValueError(
      f'class_names differ: {" and ".join(map(str, found.values()))}.'
    )
  return next(iter(found), None)
