"""Serialised TFDS examples to arrays, one per feature, without TensorFlow."""

import functools
import io
import os
from collections.abc import Iterable, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from al_jax import errors

_IMAGE_MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}
_IMAGES_PER_TASK = 64


class Columns(NamedTuple):
  """Which features of a TFDS set are what.

  Attributes:
    inputs: names of the features a model sees: one, or several numeric ones.
    target: name of the feature to predict.
    id: name of the feature that names the example; None if there is none.
  """

  inputs: tuple[str, ...]
  target: str
  id: str | None


def flatten(features: Any, prefix: str = '') -> dict[str, Any]:
  """The features by name; those of a nested dict as `outer/inner`.

  Args:
    features: a `tfds.features.FeaturesDict`.
    prefix: of every name.

  Returns:
    Features that are not dicts, by the order of their names: that in which TFDS
    has them may differ from one process to the next.
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
  """What is input and what is target, asked for or by what TFDS says of it.

  Args:
    info: a `tfds.core.DatasetInfo`.
    inputs: name or names of features, of a nested dict to mean all in it; None:
      the supervised input, or else the only picture, or else all but target and
      id.
    target: name of a feature; None: the supervised target, or else the only
      class label.

  Returns:
    Columns, all of which exist.

  Raises:
    ValueError: a name is not known, or the target could be more than one.
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


def is_image_file(feature: Any) -> bool:
  """Whether a feature is stored as a PNG or JPEG of bytes."""
  return (
    hasattr(feature, 'encoding_format')
    and len(feature.shape) == 3
    and feature.np_dtype == np.uint8
  )


def is_picture(feature: Any) -> bool:
  """Whether a feature is a picture, however it is stored."""
  shape = feature.shape
  is_bytes = feature.np_dtype == np.uint8
  return hasattr(feature, 'encoding_format') or (
    len(shape) == 3 and is_bytes and shape[-1] in _IMAGE_MODES
  )


def _decode_image(
  content: bytes, channels: int | None, size: tuple[int, int] | None
) -> np.ndarray:
  """uint8[height, width, channels] of a PNG or JPEG; size is height, width."""
  with PIL.Image.open(io.BytesIO(content)) as image:
    mode = _IMAGE_MODES[channels or 3]
    if image.mode != mode:
      image = image.convert(mode)
    if size is not None and image.size != size[::-1]:
      image = image.resize(size[::-1], PIL.Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
  return pixels[..., None] if pixels.ndim == 2 else pixels


def _decode_values(
  pool: futures.Executor,
  feature: Any,
  values: list[Any],
  size: tuple[int, int] | None,
) -> list[Any]:
  """Values of one feature as they come out of the record, decoded."""
  if not is_image_file(feature):
    return [feature.decode_example_np(value) for value in values]
  decode = functools.partial(
    _decode_image, channels=feature.shape[-1], size=size
  )
  # Pillow lets go of the interpreter while it decodes and resizes: pictures of
  # 500 x 375 decode 1.7 times as fast on two threads, of 32 x 32 no faster.
  tasks = [
    values[i : i + _IMAGES_PER_TASK]
    for i in range(0, len(values), _IMAGES_PER_TASK)
  ]
  blocks = pool.map(lambda task: [decode(value) for value in task], tasks)
  return [image for block in blocks for image in block]


def _stack(name: str, values: list[Any], first: int) -> np.ndarray:
  """One array of a block of values; they must have one shape."""
  shapes = [np.shape(value) for value in values]
  for position, shape in enumerate(shapes):
    if shape != shapes[0]:
      raise ValueError(
        f'feature {name!r} has shape {list(shape)} in example '
        f'{first + position} and {list(shapes[0])} in example {first}; all '
        'must be alike. The option size=[height, width] resizes pictures; '
        'the option input chooses other features.'
      )
  return np.array(values)


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
    total: N, how many there are.
    features: the features by name, see `flatten`.
    names: which of the features.
    size: height and width to resize pictures to; None: as they are.

  Returns:
    For each name an array of [N, ...]. Text is bytes.
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
      end = begin + len(parsed)
      for name in names:
        values = _stack(
          name,
          _decode_values(
            pool, features[name], [example[name] for example in parsed], size
          ),
          begin,
        )
        _put(columns, name, values, begin, total)
      begin = end
  if begin != total:
    raise ValueError(f'{total} examples were promised, {begin} were read.')
  return columns


def _put(
  columns: dict[str, np.ndarray],
  name: str,
  values: np.ndarray,
  begin: int,
  total: int,
) -> None:
  """Writes a block into its column, made at the first block."""
  column = columns.get(name)
  if column is None:
    column = np.zeros((total, *values.shape[1:]), values.dtype)
  elif values.shape[1:] != column.shape[1:]:
    raise ValueError(
      f'feature {name!r} has shape {list(values.shape[1:])} in example '
      f'{begin} and {list(column.shape[1:])} before; all must be alike. The '
      'option size=[height, width] resizes pictures.'
    )
  elif values.dtype != column.dtype:  # longer text than before
    column = column.astype(np.result_type(column, values))
  column[begin : begin + len(values)] = values
  columns[name] = column


def to_inputs(
  columns: dict[str, np.ndarray],
  features: dict[str, Any],
  names: Sequence[str],
) -> np.ndarray:
  """The columns a model sees, as one array.

  A picture of bytes stays uint8. Everything else becomes float32; several
  features are laid side by side in the order of their names, a class label
  among them as one column per class.

  Args:
    columns: [N, ...] by feature.
    features: the features by name, see `flatten`.
    names: the features that are inputs.

  Returns:
    [N, ...], uint8 or float32.
  """
  for name in names:
    if columns[name].dtype.kind not in 'biuf':
      numeric = [n for n in names if columns[n].dtype.kind in 'biuf']
      raise ValueError(
        f'feature {name!r} is not numeric and cannot be an input. Choose with '
        f'the option input; numeric ones: {", ".join(numeric) or "none"}.'
      )
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
      # Not np.eye: -1, which TFDS writes for unknown, would be the last class.
      column = column[:, None] == np.arange(num_classes)
    parts.append(column.reshape(len(column), -1).astype(np.float32))
  return np.concatenate(parts, axis=1)
