"""Decodes TFDS examples to arrays, one per feature, without TensorFlow."""

import io
import os
from collections.abc import Iterable, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data.sources import images

_IMAGES_PER_TASK = 64


class Columns(NamedTuple):
  """Roles of the features of a TFDS set.

  Attributes:
    inputs: names of the input features: one, or several numeric ones.
    target: name of the feature to predict.
    id: name of the feature with ids of the examples, or None.
  """

  inputs: tuple[str, ...]
  target: str
  id: str | None


def flatten(features: Any, prefix: str = '') -> dict[str, Any]:
  """Flattens nested features; names become `outer/inner`.

  Args:
    features: a `tfds.features.FeaturesDict`.
    prefix: prefix of every name.

  Returns:
    Features that are not dicts, sorted by name, since TFDS's order may differ
    between processes.
  """
  flat = {}
  for name, feature in sorted(features.items()):
    if hasattr(feature, 'items'):
      flat |= flatten(feature, f'{prefix}{name}/')
    else:
      flat[prefix + name] = feature
  return flat


def choose(
  info: Any, inputs: str | Sequence[str] | None, target: str | None
) -> Columns:
  """Chooses input and target features by name or from TFDS's metadata.

  Args:
    info: a `tfds.core.DatasetInfo`.
    inputs: name or names of features; the name of a nested dict stands for all
      in it. If None, the supervised input, or else the only picture, or else
      all but target and id.
    target: name of a feature. If None, the supervised target, or else the only
      class label.

  Returns:
    Columns, all of which exist.

  Raises:
    ValueError: If a name is not known, or the target is ambiguous.
  """
  flat = flatten(info.features)
  supervised = info.supervised_keys or (None, None)
  if target is None:
    target = _default_target(info.name, flat, supervised[1])
  if target not in flat:
    raise errors.unknown_name(f'feature of {info.name}', target, flat)
  if inputs is None:
    inputs = _default_inputs(flat, supervised[0], target)
  chosen = []
  for name in (inputs,) if isinstance(inputs, str) else inputs:
    inner = [n for n in flat if n == name or n.startswith(f'{name}/')]
    if not inner:
      raise errors.unknown_name(f'feature of {info.name}', name, flat)
    chosen += inner
  _check_numeric(flat, chosen)
  if target in chosen:
    raise ValueError(f'target={target!r} is also among the inputs {chosen}.')
  is_named = 'id' in flat and 'id' not in (*chosen, target)
  return Columns(tuple(chosen), target, 'id' if is_named else None)


def _default_target(name: str, flat: dict[str, Any], supervised: Any) -> str:
  if isinstance(supervised, str):
    return supervised
  labels = [n for n, feature in flat.items() if hasattr(feature, 'num_classes')]
  if len(labels) != 1:
    raise ValueError(
      f'{name} does not say which feature is the target: name one with the '
      f'option target. Class labels: {", ".join(labels) or "none"}; all '
      f'features: {", ".join(flat)}.'
    )
  return labels[0]


def _default_inputs(
  flat: dict[str, Any], supervised: Any, target: str
) -> Sequence[str]:
  if isinstance(supervised, str):
    return (supervised,)
  pictures = [n for n, feature in flat.items() if is_picture(feature)]
  if len(pictures) == 1:
    return pictures
  return [n for n in flat if n not in (target, 'id')]


def _check_numeric(flat: dict[str, Any], names: Sequence[str]) -> None:
  """Raises ValueError at the first input that is text or a structure."""
  numeric = [n for n in names if _kind(flat[n]) in 'biuf']
  for name in names:
    if name not in numeric:
      raise ValueError(
        f'feature {name!r} is not numeric and cannot be an input. Choose with '
        f'the option input; numeric ones: {", ".join(numeric) or "none"}.'
      )


def _kind(feature: Any) -> str:
  """Returns NumPy's kind letter of a feature; O if it is not an array."""
  try:
    return np.dtype(feature.np_dtype).kind
  except (TypeError, AttributeError):  # a sequence of dicts
    return 'O'


def is_image_file(feature: Any) -> bool:
  """Returns whether a feature is stored as a PNG or JPEG file of bytes."""
  return (
    hasattr(feature, 'encoding_format')
    and len(feature.shape) == 3
    and feature.np_dtype == np.uint8
  )


def is_picture(feature: Any) -> bool:
  """Returns whether a feature is a picture, encoded or as an array."""
  shape = feature.shape
  is_bytes = feature.np_dtype == np.uint8
  return hasattr(feature, 'encoding_format') or (
    len(shape) == 3 and is_bytes and shape[-1] in images.MODE_OF_CHANNELS
  )


def _decode_images(
  pool: futures.Executor,
  feature: Any,
  contents: list[bytes],
  size: tuple[int, int] | None,
  first: int,
) -> list[np.ndarray]:
  """Decodes the pictures of a block; `first` is its first example's number."""
  mode = images.MODE_OF_CHANNELS[feature.shape[-1] or 3]

  def decode(begin: int) -> list[np.ndarray]:
    pixels = []
    for content in contents[begin : begin + _IMAGES_PER_TASK]:
      try:
        pixels.append(images.decode(io.BytesIO(content), mode, size))
      except images.DECODE_ERRORS as error:
        raise ValueError(
          f'the picture of example {first + begin + len(pixels)} (counted from '
          f'0) is not readable: {error}.'
        ) from error
    return pixels

  # Pillow releases the GIL: on two threads, pictures of 504 x 376 decode 1.7
  # times as fast, pictures of 32 x 32 no faster.
  blocks = pool.map(decode, range(0, len(contents), _IMAGES_PER_TASK))
  return [picture for block in blocks for picture in block]


def read_columns(
  blocks: Iterable[Sequence[bytes | memoryview]],
  total: int,
  features: dict[str, Any],
  names: Sequence[str],
  size: tuple[int, int] | None,
) -> dict[str, np.ndarray]:
  """Decodes some features of all examples.

  Args:
    blocks: serialised `tf.train.Example` messages, block by block.
    total: number of examples N.
    features: the features by name, see `flatten`.
    names: names of the features to decode.
    size: height and width to resize pictures to. If None, they keep their size.

  Returns:
    An array [N, ...] for each name. Text is bytes.
  """
  from tensorflow_datasets.core import example_parser  # Takes half a second.

  parser = example_parser.ExampleParserNp(
    {name: features[name].get_serialized_info() for name in names}
  )
  columns: dict[str, np.ndarray] = {}
  begin = 0
  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for block in blocks:
      parsed = [parser.parse_example(record) for record in block]
      for name in names:
        values = [example[name] for example in parsed]
        if is_image_file(features[name]):
          values = _decode_images(pool, features[name], values, size, begin)
        else:
          decode = features[name].decode_example_np
          values = [decode(value) for value in values]
        _put(columns, name, values, begin, total)
      begin += len(parsed)
  if begin != total:
    raise ValueError(f'{total} examples were expected, {begin} were read.')
  return columns


def _put(
  columns: dict[str, np.ndarray],
  name: str,
  values: list[Any],
  begin: int,
  total: int,
) -> None:
  """Writes a block into its column, which the first block creates."""
  column = columns.get(name)
  expected = np.shape(values[0]) if column is None else column.shape[1:]
  for position, value in enumerate(values):
    if np.shape(value) != expected:
      raise ValueError(
        f'feature {name!r} has shape {list(np.shape(value))} in example '
        f'{begin + position} and {list(expected)} before; all must be alike. '
        'The option size=[height, width] resizes pictures; the option input '
        'chooses other features.'
      )
  block = np.array(values)
  if column is None:
    column = np.zeros((total, *expected), block.dtype)
  elif block.dtype != column.dtype:  # longer text than before
    column = column.astype(np.result_type(column, block))
  column[begin : begin + len(block)] = block
  columns[name] = column


def to_inputs(
  columns: dict[str, np.ndarray],
  features: dict[str, Any],
  names: Sequence[str],
) -> np.ndarray:
  """Joins the input columns into one array.

  A picture of bytes stays uint8. Everything else becomes float32. Several
  features are flattened and concatenated in the given order; a class label
  becomes one column per class.

  Args:
    columns: arrays [N, ...] by feature.
    features: the features by name, see `flatten`.
    names: names of the input features.

  Returns:
    [N, ...], uint8 or float32.
  """
  first = columns[names[0]]
  if len(names) == 1 and is_picture(features[names[0]]):
    return first if first.dtype == np.uint8 else first.astype(np.float32)
  if len(names) == 1 and first.ndim > 1:
    return first.astype(np.float32)
  parts = []
  for name in names:
    column = columns[name]
    num_classes = getattr(features[name], 'num_classes', None)
    if num_classes is not None:
      # With np.eye, TFDS's -1 for unknown would be the last class.
      column = column[:, None] == np.arange(num_classes)
    parts.append(column.reshape(len(column), -1).astype(np.float32))
  return np.concatenate(parts, axis=1)
