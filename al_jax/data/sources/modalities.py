"""Reads a folder of features, one .npz file per modality."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from al_jax.data import named, splits
from al_jax.data.dataset import RawData
from al_jax.data.sources import _modality_examples, _modality_files, arrays
from al_jax.data.sources._modality_examples import SplitExamples
from al_jax.data.sources._modality_files import File

_NAME = re.compile(r'[A-Za-z0-9_-]+')


def read(
  location: str,
  *,
  modalities: Sequence[str] | None = None,
  labels: str | None = None,
  inputs: str | None = None,
  targets: str | None = None,
  ids: str | None = None,
  test_fraction: float = 0.1,
  split_seed: int = 0,
  max_train: int | None = 50_000,
) -> RawData:
  """Reads features that were extracted per modality.

  The file `face.npz` holds the modality `face`: an array [N, D] (or pictures
  [N, H, W] or [N, H, W, channels]) under a usual key of `file:` sources, plain
  or with `_train` and `_test`; maybe `ids`; and maybe labels. Labels may also
  be in `labels.npz` or `labels.csv`; files with labels must agree. Examples,
  splits and order depend on all files of the folder, so they do not change with
  the choice of modalities.

  With ids, an example is found in each file by its id. Without ids, row i of
  each file belongs to the same example. An example lacks a modality if its row
  is all NaN, or its id is not in the file. Examples that lack all chosen
  modalities are kept.

  Args:
    location: path of the folder.
    modalities: names of the modalities to use, in any order. If None, all.
    labels: file of labels, relative to the working directory or the folder. If
      None, `labels.npz` or `labels.csv`, if there is one.
    inputs: key of the features in every file. If None, usual keys are tried.
    targets: key, or CSV column, of labels. If None, usual names are tried.
    ids: key, or CSV column, of ids. If None, usual names are tried.
    test_fraction: share to hold out if there is no test split.
    split_seed: seed of the shuffle if there is no test split.
    max_train: maximum number of training examples if there is no test split.
      If None, all that are left.

  Returns:
    RawData, named after the folder, whose inputs are a dict. If some example
    lacks the modality `face`, the dict has `face_present` too, see `named`.

  Raises:
    FileNotFoundError: If the folder or a file does not exist.
    ValueError: If files do not fit together; the message says why.
  """
  folder = Path(location).expanduser()
  if not folder.is_dir():
    raise FileNotFoundError(f'There is no folder {folder}.')
  protocol = splits.SplitProtocol(test_fraction, split_seed, max_train)
  protocol.check()
  labels_path = _labels_path(folder, labels)
  paths = _modality_paths(folder, labels_path)
  chosen = sorted(paths)
  if modalities is not None:
    named.check_names('modalities', 'modality', modalities, paths)
    chosen = sorted(modalities)
  keys = _modality_files.Keys(inputs, targets, ids)
  files = {
    name: _modality_files.read_features(path, keys, chosen=name in chosen)
    for name, path in paths.items()
  }
  said = None
  if labels_path is not None:
    said = _modality_files.read_labels(labels_path, keys)
  listed = _modality_examples.find(folder, said, list(files.values()))
  features = _features(listed.splits, {name: files[name] for name in chosen})
  return splits.assemble(
    folder.resolve().name,
    {
      split: splits.Part(features[split], examples.labels, examples.ids)
      for split, examples in listed.splits.items()
    },
    protocol,
    is_image=False,
    class_names=listed.class_names,
  )


def _labels_path(folder: Path, labels: str | None) -> Path | None:
  """Returns the file of labels, or None if labels are with the features."""
  if labels is not None:
    return arrays.find_file(folder / 'labels.npz', labels)
  found = [folder / name for name in ('labels.npz', 'labels.csv')]
  found = [path for path in found if path.is_file()]
  if len(found) > 1:
    raise ValueError(
      f'{folder} has labels.npz and labels.csv; the option labels names one.'
    )
  return found[0] if found else None


def _modality_paths(folder: Path, labels_path: Path | None) -> dict[str, Path]:
  """Returns the file of each modality, sorted by name."""
  paths = {
    path.stem: path
    for path in sorted(folder.glob('*.npz'))
    if path.stem != 'labels'
    and not path.name.startswith('.')
    and (labels_path is None or not path.samefile(labels_path))
  }
  if not paths:
    raise ValueError(
      f'{folder} has no .npz files, one for each modality: face.npz, ...'
    )
  for name, path in paths.items():
    if not _NAME.fullmatch(name) or named.says_who_has(name):
      raise ValueError(
        f'{path}: the name of a modality must be letters, digits, _ and -, not '
        f'ending in {named.PRESENT!r}; got {name!r}.'
      )
  return paths


def _features(
  listed: Mapping[str, SplitExamples], files: Mapping[str, File]
) -> dict[str, dict[str, np.ndarray]]:
  """Returns inputs by split, with companion arrays for missing modalities."""
  features = {split: {} for split in listed}
  for name, file in files.items():
    aligned = _by_id if file.has_ids else _by_row
    found = aligned(file, listed)
    all_have = all(present.all() for _, present in found.values())
    for split, (rows, present) in found.items():
      features[split][name] = rows
      if not all_have:
        says = present.astype(np.uint8)[:, np.newaxis]
        features[split][name + named.PRESENT] = says
  return features


def _by_row(
  file: File, listed: Mapping[str, SplitExamples]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns `{split: (inputs, present)}` of a file without ids."""
  for split, examples in listed.items():
    number = len(file.blocks[split].inputs)
    if number != len(examples.labels):
      raise ValueError(
        f'{file.path} has {number} rows in its {split} split; there are '
        f'{len(examples.labels)} labels. {_modality_examples.TOGETHER}'
      )
  return {
    split: (file.blocks[split].inputs, file.blocks[split].present)
    for split in listed
  }


def _by_id(
  file: File, listed: Mapping[str, SplitExamples]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns `{split: (inputs, present)}` of a file with ids."""
  blocks = file.blocks.values()
  inputs = np.concatenate([block.inputs for block in blocks])
  is_there = np.concatenate([block.present for block in blocks])
  names = [str(name) for block in blocks for name in block.ids.tolist()]
  row_of = {name: row for row, name in enumerate(names)}
  found = {}
  for split, examples in listed.items():
    rows = [row_of.get(str(name), -1) for name in examples.ids.tolist()]
    rows = np.array(rows, np.int64)
    present = (rows >= 0) & is_there[rows]
    taken = inputs[rows]
    taken[~present] = 0
    found[split] = taken, present
  if not any(present.any() for _, present in found.values()):
    raise ValueError(
      f'{file.path} has no features for any of the examples; its first ids are '
      f'{", ".join(map(repr, names[:3]))}.'
    )
  return found
