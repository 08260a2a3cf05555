"""Reads TFDS sets, array_record or TFRecord, without TensorFlow.

A TFDS set is `data_dir/NAME[/CONFIG]/VERSION/` with a `dataset_info.json`. Both
kinds of files hold the same serialised examples, so only the framing differs.
"""

import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from al_jax import errors
from al_jax.data import splits
from al_jax.data.dataset import RawData
from al_jax.data.sources import images
from al_jax.data.sources.tfds import columns as columns_lib
from al_jax.data.sources.tfds import locate, tfrecord

_BLOCK = 4_096  # records read and decoded at a time


def ensure_prepared(
  location: str, *, data_dir: str | None = None
) -> list[pathlib.Path]:
  """Prepares a set if it is absent, and lists the files that `read` needs.

  Raises the errors of `locate.locate`.

  Args:
    location: see `locate.locate`.
    data_dir: see `locate.locate`.

  Returns:
    Sorted paths, for the cache key.
  """
  folder = locate.locate(location, data_dir=data_dir)
  return sorted(path for path in folder.iterdir() if path.is_file())


def _positions(info: Any) -> dict[str, int]:
  """Returns the position of each file's first example, over all splits."""
  begins, total = {}, 0
  for split in info.splits.values():
    for instruction in split.file_instructions:
      begins[instruction.filename] = total
      total += instruction.examples_in_shard
  return begins


def _record_ids(info: Any, split: str) -> np.ndarray:
  """Returns the position of each record in the whole set, int64[N]."""
  begins = _positions(info)
  ranges = []
  for instruction in info.splits[split].file_instructions:
    begin = begins[instruction.filename] + instruction.skip
    ranges.append(np.arange(begin, begin + instruction.take, dtype=np.int64))
  return np.concatenate(ranges)


def _array_record_blocks(builder: Any, split: str) -> Iterator[Sequence[bytes]]:
  """Yields serialised examples of array_record files, block by block."""
  from tensorflow_datasets.core import decode

  try:
    source = builder.as_data_source(
      split=split, deserialize_method=decode.DeserializeMethod.RAW_BYTES
    )
    for begin in range(0, len(source), _BLOCK):
      end = min(begin + _BLOCK, len(source))
      yield source.__getitems__(range(begin, end))
  except RuntimeError as error:
    raise ValueError(
      f'{builder.data_path}, split {split!r}: its array_record files are '
      f'damaged: {error}. Copy or prepare the data set again.'
    ) from error


def _tfrecord_blocks(
  builder: Any, split: str
) -> Iterator[Sequence[memoryview]]:
  """Yields serialised examples of TFRecord files, block by block."""
  for part in builder.info.splits[split].file_instructions:
    records = tfrecord.read_records(
      pathlib.Path(part.filename), num_expected=part.examples_in_shard
    )
    for begin in range(part.skip, part.skip + part.take, _BLOCK):
      yield records[begin : min(begin + _BLOCK, part.skip + part.take)]


_READERS = {'array_record': _array_record_blocks, 'tfrecord': _tfrecord_blocks}


def _check_split(info: Any, split: str) -> None:
  """Raises ValueError for an unknown split; TFDS slices are allowed."""
  for name in re.findall(r'(?:^|\+)(\w+)', split):
    if name not in info.splits:
      raise errors.unknown_name(f'split of {info.name}', name, info.splits)


def _read_split(
  builder: Any,
  split: str,
  columns: columns_lib.Columns,
  size: tuple[int, int] | None,
) -> splits.Part:
  """Reads one split; targets are numbers or bytes of text, as in TFDS."""
  info = builder.info
  features = columns_lib.flatten(info.features)
  names = [*columns.inputs, columns.target]
  if columns.id is not None:
    names.append(columns.id)
  total = info.splits[split].num_examples
  if total == 0:
    raise ValueError(f'the split {split!r} of {info.name} has no examples.')
  blocks = _READERS[info.file_format.value](builder, split)
  arrays = columns_lib.read_columns(blocks, total, features, names, size)
  if columns.id is None:
    ids = _record_ids(info, split)
  else:
    ids = arrays[columns.id]
    ids = np.char.decode(ids, 'utf-8') if ids.dtype.kind == 'S' else ids
  inputs = columns_lib.to_inputs(arrays, features, columns.inputs)
  return splits.Part(inputs, arrays[columns.target], ids)


def _class_names(feature: Any) -> list[str] | None:
  """Returns names by class number, or None if it is not a class label."""
  num_classes = getattr(feature, 'num_classes', None)
  if num_classes is None:
    return None
  return feature.names or [str(number) for number in range(num_classes)]


def read(
  location: str,
  *,
  data_dir: str | None = None,
  train_split: str = 'train',
  test_split: str | None = None,
  validation_split: str | None = None,
  input: str | Sequence[str] | None = None,
  target: str | None = None,
  size: int | Sequence[int] | None = None,
  test_fraction: float = 0.1,
  split_seed: int = 0,
) -> RawData:
  """Reads a TFDS classification set of images or numeric features.

  Args:
    location: `NAME[/CONFIG][:VERSION]`; the newest version on disk by default.
    data_dir: folder of all TFDS sets. If None, the environment variable
      TFDS_DATA_DIR, or else `~/tensorflow_datasets`.
    train_split: name of the training split, or a slice in TFDS's notation:
      `'train[:80%]'`.
    test_split: name or slice of the test split. If None, `test`, or else
      `validation`, or else a part of the training split.
    validation_split: name or slice of the validation split. If None, there is
      none.
    input: name or names of the input features. If None, the supervised input,
      or else the only picture, or else all but target and id.
    target: name of the feature to predict. If None, the supervised target, or
      else the only class label.
    size: (height, width), or one number for both, to resize pictures to;
      needed if their sizes differ.
    test_fraction: share to hold out if there is no test split.
    split_seed: seed for drawing the held-out share.

  Returns:
    RawData. Ids are the feature `id` if there is one, else positions of records
    in the concatenation of all splits.
  """
  folder = locate.locate(location, data_dir=data_dir)
  import tensorflow_datasets as tfds  # Takes half a second.

  try:
    builder = tfds.builder_from_directory(folder)
    info = builder.info
  except Exception as error:  # parsers raise anything
    raise ValueError(
      f'{folder} is damaged: TFDS cannot read its dataset_info.json and '
      f'features.json ({type(error).__name__}: {errors.in_one_line(error)}). '
      'Copy or prepare the data set again.'
    ) from error
  if info.file_format.value not in _READERS:
    raise ValueError(
      f'{folder} holds {info.file_format.value} files; those that can be '
      f'read are {" and ".join(_READERS)}. Prepare the set again with '
      "file_format='array_record'."
    )
  if test_split is None:
    named = ('test', 'validation')
    test_split = next((name for name in named if name in info.splits), None)
  protocol = splits.SplitProtocol(test_fraction, split_seed)
  if test_split is None:
    protocol = protocol._replace(max_train=None)
  wanted = {
    'train': train_split,
    'test': test_split,
    'validation': validation_split,
  }
  wanted = {part: split for part, split in wanted.items() if split is not None}
  for split in wanted.values():
    _check_split(info, split)
  height_width = images.check_size(size)
  columns = columns_lib.choose(info, input, target)
  features = columns_lib.flatten(info.features)
  return splits.assemble(
    info.name,
    {
      part: _read_split(builder, split, columns, height_width)
      for part, split in wanted.items()
    },
    protocol,
    is_image=columns_lib.is_picture(features[columns.inputs[0]]),
    class_names=_class_names(features[columns.target]),
  )
