"""Tabulates the predictions of an exported model for a data source."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from al_jax import data, errors, tasks
from al_jax.data.load import takes_classes
from al_jax.data.sources import single
from al_jax.exporting.model import Model

SPLITS = ('all', 'train', 'validation', 'test')
_FIELDS = ('data', 'chunk_size')
# Options of sources that concern labels.
_LABELS = (
  *('labels', 'target', 'targets', 'scale'),
  *('test', 'test_inputs', 'test_targets', 'unlabeled'),
)
# Placeholders with which a source reads examples without labels, for a model
# without class names. Not shown.
_ANY_CLASSES = ('0', '1')


def check_config(config: Mapping[str, Any]) -> None:
  """Checks that a config has a source and no unknown fields.

  Args:
    config: Config as plain values.

  Raises:
    ValueError: If it does not; the message names the first fault.
  """
  for name in config:
    if name not in _FIELDS:
      raise errors.unknown_name('config field', name, _FIELDS)
  spec = config['data']
  if not (spec.get('source') if isinstance(spec, Mapping) else spec):
    raise ValueError(
      'config.data.source is not set; name what to predict: '
      '--config.data.source=file:new.csv'
    )
  errors.check_number(
    'config.chunk_size', config['chunk_size'], int, least=1, optional=True
  )


def examples(
  model: Model, spec: str | Mapping[str, Any], split: str = 'all'
) -> tuple[np.ndarray, Any]:
  """Reads examples to predict.

  Files and folders are read as unlabelled examples. If an option about labels
  is given, labels are read but not used.

  Args:
    model: Model that is to predict the examples.
    spec: A source, or a mapping of it, its options and transforms, see
      `al_jax.load`.
    split: One of `SPLITS`; `'all'` takes the training, validation and test
      splits, in this order.

  Returns:
    Ids [N], and inputs [N, ...].

  Raises:
    ValueError: If the source cannot be read so, the split does not exist, the
      data have classes that the model does not know, or the model does not take
      the inputs.
  """
  spec = {'source': spec} if isinstance(spec, str) else dict(spec)
  _check_settled(spec)
  names = model.task.class_names or _ANY_CLASSES
  dataset = data.load(_unlabelled(spec, names))
  _check_classes(model, dataset)
  parts = {
    name: part
    for name, part in dataset.as_raw().parts().items()
    if split in ('all', name)
  }
  if not parts:
    raise ValueError(f'split is {split!r}, and {dataset.name} has none.')
  parts = [parts[name] for name in SPLITS if name in parts]
  inputs = [model.read(part.inputs) for part in parts]
  if len(parts) == 1:
    return parts[0].ids, inputs[0]
  inputs = jax.tree.map(lambda *each: np.concatenate(each), *inputs)
  return np.concatenate([part.ids for part in parts]), inputs


def _check_settled(spec):
  """Rejects options whose effect on a cell depends on the rest of the table."""
  if spec.get('normalize') is not None:
    raise ValueError(
      f'config.data.normalize is {spec["normalize"]!r}; a model normalises by '
      'constants of its own: leave it out.'
    )
  fills, ways = spec.get('missing'), spec.get('categories')
  fills = fills.values() if isinstance(fills, Mapping) else [fills]
  if not set(map(str, fills)) <= {'None', 'drop'}:
    raise ValueError(
      f'config.data.missing is {spec["missing"]!r}, which fills gaps by this '
      "table and not by that of the training; it must be 'drop': fill gaps "
      'beforehand.'
    )
  is_ordered = isinstance(ways, Mapping) and all(
    isinstance(way, list | tuple) for way in ways.values()
  )
  if ways is not None and not is_ordered:
    raise ValueError(
      f'config.data.categories is {ways!r}, which encodes the categories of '
      'this table and not those of the training; it must map each column to '
      'the list of its categories.'
    )


def _unlabelled(
  spec: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
  """Changes a spec to read examples without labels, if its source can."""
  spec, source = dict(spec), str(spec['source'])
  scheme, _, location = source.partition(':')
  if scheme == 'embed':
    inner = _unlabelled({**(spec.get('of') or {}), 'source': location}, names)
    del inner['source']
    return {**spec, 'of': inner} if inner else spec
  if 'classes' in spec or any(spec.get(each) is not None for each in _LABELS):
    return spec
  return {**spec, 'classes': names} if takes_classes(source) else spec


def _check_classes(model, dataset):
  """Raises ValueError if the data have classes that the model does not."""
  known = model.task.class_names
  strange = [name for name in dataset.task.class_names if name not in known]
  if known and strange:
    more = f' and {len(strange) - 1} more' if len(strange) > 1 else ''
    raise ValueError(
      f'{dataset.name} has the class {strange[0]!r}{more}, which the model '
      f'does not know; its classes are {", ".join(known)}.'
    )


def table(
  model: Model,
  ids: np.ndarray,
  inputs: Any,
  *,
  chunk_size: int | None = None,
) -> Iterator[list[str]]:
  """Predicts examples, one row each.

  Args:
    model: The model.
    ids: Ids of the examples, [N].
    inputs: Inputs of the examples, [N, ...].
    chunk_size: Rows per forward pass. If None, as in the run.

  Returns:
    The names of the columns, then the cells of each row as text: the id, and
    for each part of the task the predicted class and the probability of each
    class, or the predicted numbers. Floats have the fewest digits that read
    back as the same float32.
  """
  predictions = model.predict(inputs, chunk_size=chunk_size)
  decided = jax.device_get(model.task.decide(predictions))
  names, columns = [single.ID], [ids]
  for part, task in tasks.parts_of(model.task).items():
    prefix = f'{part}_' if part else ''
    of_part = predictions[part] if part else predictions
    found = decided[part] if part else decided
    if tasks.are_classes(task):
      classes = np.array(task.class_names)
      names += [f'{prefix}predicted']
      columns += [classes[found]]
      names += [f'{prefix}probability_{name}' for name in classes]
      columns += list(_probabilities(of_part).T)
    else:
      names += [f'{prefix}predicted_{at}' for at in range(found.shape[1])]
      columns += list(found.T)
  yield names
  for row in zip(*columns, strict=True):
    yield list(map(str, row))


def _probabilities(logits: np.ndarray) -> np.ndarray:
  """Computes the softmax of logits, float32[N, C]."""
  logits = logits.astype(np.float64)
  exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
  found = exponents / exponents.sum(axis=1, keepdims=True)
  return found.astype(np.float32)
