"""TFDS sets on disk, read without TensorFlow: array_record and TFRecord.

A TFDS set is `data_dir/NAME[/CONFIG]/VERSION/` with a `dataset_info.json`. Both
kinds of files hold the same serialised examples, so only the framing differs.
"""

import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data import splits, tfds_columns, tfds_prepare, tfrecord
from al_jax.data.dataset import RawData, Split

_DATA_DIR_VARIABLE = 'TFDS_DATA_DIR'
_DEFAULT_DATA_DIR = '~/tensorflow_datasets'
_INFO_FILE = 'dataset_info.json'
_BLOCK = 4_096  # records read and decoded at a time


class Location(NamedTuple):
  """What `NAME[/CONFIG][:VERSION]` says.

  Attributes:
    name: as TFDS calls the set, with its configuration: `'emnist/letters'`.
    version: `'3.0.1'`; None: the newest one on disk.
    data_dir: the folder that holds all TFDS sets.
  """

  name: str
  version: str | None
  data_dir: pathlib.Path


def _parse(location: str, data_dir: str | None) -> Location:
  match = re.fullmatch(r'(\w+(?:/[\w.-]+)?)(?::(\d+\.\d+\.\d+))?', location)
  if match is None:
    raise ValueError(
        f"'tfds:{location}' is not of the form tfds:NAME, tfds:NAME/CONFIG or "
        'tfds:NAME:VERSION, with a version like 3.0.1.'
    )
  folder = data_dir or os.environ.get(_DATA_DIR_VARIABLE) or _DEFAULT_DATA_DIR
  return Location(match[1], match[2], pathlib.Path(folder).expanduser())


def _versions(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """The finished versions in a folder, oldest first."""
  found = [
      path.parent
      for path in folder.glob(f'*/{_INFO_FILE}')
      if re.fullmatch(r'\d+\.\d+\.\d+', path.parent.name)
  ]
  found.sort(key=lambda path: [int(part) for part in path.name.split('.')])
  return {path.name: path for path in found}


def _configs(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """The folder of each configuration that has a finished version."""
  found = {path.parents[1] for path in folder.glob(f'*/*/{_INFO_FILE}')}
  return {path.name: path for path in sorted(found)}


def _on_disk(where: Location) -> pathlib.Path | None:
  """The folder of the version asked for, or of the newest; None if absent."""
  folder = where.data_dir / where.name
  versions = _versions(folder)
  if not versions and '/' not in where.name:
    configs = _configs(folder)
    if len(configs) > 1:
      raise ValueError(
          f'tfds:{where.name} has several configurations in {folder}: choose '
          + ', '.join(f'tfds:{where.name}/{config}' for config in configs)
          + '.'
      )
    for path in configs.values():
      versions = _versions(path)
  if where.version is None:
    return list(versions.values())[-1] if versions else None
  return versions.get(where.version)


def locate(location: str, *, data_dir: str | None = None) -> pathlib.Path:
  """The folder of a prepared set; an absent one is prepared if that can be.

  Args:
    location: `NAME[/CONFIG][:VERSION]`.
    data_dir: the folder of all TFDS sets; None: the environment variable
      TFDS_DATA_DIR, or else `~/tensorflow_datasets`.

  Returns:
    A folder that has a `dataset_info.json`.

  Raises:
    FileNotFoundError: it is not there and cannot be prepared; the message says
      how to get it.
    ValueError: TFDS has no set of that name.
  """
  where = _parse(location, data_dir)
  found = _on_disk(where)
  if found is None:
    names_on_disk = sorted(
        {path.name for path in where.data_dir.glob('*') if path.is_dir()}
    )
    versions = list(_versions(where.data_dir / where.name))
    tfds_prepare.prepare(
        where.name, where.version, where.data_dir, names_on_disk, versions
    )
    found = _on_disk(where)
  if found is None:
    raise FileNotFoundError(
        f'TFDS prepared {where.name} and left no {_INFO_FILE} in '
        f'{where.data_dir / where.name}.'
    )
  return found


def source_files(
    location: str, *, data_dir: str | None = None
) -> list[pathlib.Path]:
  """The files that `read` depends on: what a cache of it is keyed by."""
  folder = locate(location, data_dir=data_dir)
  return sorted(path for path in folder.iterdir() if path.is_file())


def _positions(info: Any) -> dict[str, int]:
  """Where each file begins if all splits are laid end to end."""
  begins, total = {}, 0
  for split in info.splits.values():
    for instruction in split.file_instructions:
      begins[instruction.filename] = total
      total += instruction.examples_in_shard
  return begins


def _record_ids(info: Any, split: str) -> np.ndarray:
  """int64[N]: the place of each record in the whole set, all splits."""
  begins = _positions(info)
  ranges = []
  for instruction in info.splits[split].file_instructions:
    begin = begins[instruction.filename] + instruction.skip
    ranges.append(np.arange(begin, begin + instruction.take, dtype=np.int64))
  return np.concatenate(ranges)


def _array_record_blocks(builder: Any, split: str) -> Iterator[Sequence[bytes]]:
  """Serialised examples of array_record files, block by block."""
  from tensorflow_datasets.core import decode

  source = builder.as_data_source(
      split=split, deserialize_method=decode.DeserializeMethod.RAW_BYTES
  )
  for begin in range(0, len(source), _BLOCK):
    yield source.__getitems__(range(begin, min(begin + _BLOCK, len(source))))


def _tfrecord_blocks(
    builder: Any, split: str
) -> Iterator[Sequence[memoryview]]:
  """Serialised examples of TFRecord files, block by block."""
  for part in builder.info.splits[split].file_instructions:
    records = tfrecord.read_records(
        pathlib.Path(part.filename), num_expected=part.examples_in_shard
    )
    for begin in range(part.skip, part.skip + part.take, _BLOCK):
      yield records[begin : min(begin + _BLOCK, part.skip + part.take)]


_READERS = {'array_record': _array_record_blocks, 'tfrecord': _tfrecord_blocks}


def _check_split(info: Any, split: str) -> None:
  """Raises if a split, of which TFDS also takes slices, is not there."""
  for name in re.findall(r'(?:^|\+)(\w+)', split):
    if name not in info.splits:
      raise errors.unknown_name(f'split of {info.name}', name, info.splits)


def _read_split(
    builder: Any,
    split: str,
    columns: tfds_columns.Columns,
    size: tuple[int, int] | None,
) -> Split:
  """One split, with targets as TFDS has them: numbers, or bytes of text."""
  info = builder.info
  features = tfds_columns.flatten(info.features)
  names = [*columns.inputs, columns.target]
  if columns.id is not None:
    names.append(columns.id)
  total = info.splits[split].num_examples
  blocks = _READERS[info.file_format.value](builder, split)
  arrays = tfds_columns.read_columns(blocks, total, features, names, size)
  if columns.id is None:
    ids = _record_ids(info, split)
  else:
    ids = arrays[columns.id]
    ids = np.char.decode(ids, 'utf-8') if ids.dtype.kind == 'S' else ids
  inputs = tfds_columns.to_inputs(arrays, features, columns.inputs)
  return Split(inputs, arrays[columns.target], ids)


def _test_split_of(info: Any) -> str | None:
  for name in ('test', 'validation'):
    if name in info.splits:
      return name
  return None


def read(
    location: str,
    *,
    data_dir: str | None = None,
    train_split: str = 'train',
    test_split: str | None = None,
    input: str | Sequence[str] | None = None,
    target: str | None = None,
    size: Sequence[int] | None = None,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> RawData:
  """A TFDS classification set of images or of numeric features.

  Args:
    location: `NAME[/CONFIG][:VERSION]`, the newest version on disk by default.
    data_dir: the folder of all TFDS sets; None: the environment variable
      TFDS_DATA_DIR, or else `~/tensorflow_datasets`.
    train_split: name of the split to learn from, or a slice as TFDS writes
      them: `'train[:80%]'`.
    test_split: likewise; None: `test`, or else `validation`, or else a part of
      the training split.
    input: name of the feature, or names of several, that a model sees; None:
      the supervised input, or else the only picture, or else all but target
      and id.
    target: name of the feature to predict; None: the supervised target, or
      else the only class label.
    size: height and width that pictures are resized to; needed where they
      differ.
    test_fraction: the part held out where there is no test split.
    split_seed: of that part.

  Returns:
    RawData. Ids are the feature `id` where there is one, else the place of the
    record in the files, with all splits laid end to end.
  """
  folder = locate(location, data_dir=data_dir)
  import tensorflow_datasets as tfds  # Takes half a second.

  builder = tfds.builder_from_directory(folder)
  info = builder.info
  if info.file_format.value not in _READERS:
    raise ValueError(
        f'{folder} holds {info.file_format.value} files; those that can be '
        f'read are {" and ".join(_READERS)}. Prepare the set again with '
        "file_format='array_record'."
    )
  test_split = test_split or _test_split_of(info)
  columns = tfds_columns.choose(info, input, target)
  size = _check_size(size)
  for split in (train_split, test_split):
    if split is not None:
      _check_split(info, split)
  train = _read_split(builder, train_split, columns, size)
  test = test_split and _read_split(builder, test_split, columns, size)
  ...
