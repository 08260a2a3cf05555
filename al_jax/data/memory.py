"""Makes RawData from arrays, dicts of modalities or data frames in memory."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import errors, sources
from al_jax.data import columns, filling, named, splits
from al_jax.data.columns import Declared
from al_jax.data.dataset import RawData
from al_jax.data.sources import arrays, cells, frames, tables
from al_jax.data.transforms import subsets
from al_jax.tasks import Task

# Default share of the examples to hold out for testing.
SHARE = 0.1


class _Given(NamedTuple):
  """Examples of one split, as a user gave them.

  Attributes:
    part: inputs, labels, ids. Inputs are an array or a dict of arrays, of any
      type; for a data frame, a list of its columns as arrays.
    names: names of the columns, or None if the inputs are not a table.
    targets: names of the label columns.
  """

  part: splits.Part
  names: tuple[str, ...] | None
  targets: tuple[str, ...] = ()


def read(
  x: Any,
  y: Any,
  *,
  task: Task | None,
  scale: float | None,
  test: Any,
  validation: Any,
  ids: Any,
  features: Sequence[tables.Column] | None,
  missing: Any,
  categories: Any,
  max_train: int | None,
  seed: int,
  name: str,
) -> RawData:
  """Reads arrays or frames; see `Dataset.from_arrays` for the arguments.

  Returns:
    RawData.
  """
  declared = Declared(missing, categories)
  declared.check()
  _check_task(y, task, scale)
  given = {'train': _given('x', x, y, ids, features)}
  for split, value in (('test', test), ('validation', validation)):
    if _is_examples(value):
      given[split] = _given_split(split, value, y, ids, given['train'])
  _refuse_shared_ids(name, {split: each.part for split, each in given.items()})
  parts, table = _numbers(name, given, declared)
  raw = splits.assemble(
    name,
    parts,
    _protocol(y, parts, test, seed, max_train),
    is_image=getattr(parts['train'].inputs, 'ndim', 0) == 4,
    scale=scale,
    task=task,
  )
  if validation is not None and 'validation' not in parts:
    option = 'size' if _is_whole(validation) else 'fraction'
    raw = subsets.validation_split(raw, seed=seed, **{option: validation})
  return raw if table is None else filling.settle(raw, table, seed=seed)


def _check_task(y, task, scale):
  """Raises ValueError unless y, task and scale determine one task."""
  errors.check_number('scale', scale, above=0, optional=True)
  if task is not None and not hasattr(task, 'headline'):
    raise ValueError(
      f'task is {task!r}; it must be a task, such as '
      "al_jax.tasks.Classes(('cat', 'dog'))."
    )
  if task is not None and scale is not None:
    raise ValueError(
      f'scale={scale!r} says that y is numbers, and task says what y is; give '
      'one of the two.'
    )
  if task is None and (y is None or isinstance(y, Mapping)):
    what = 'is None: x is unlabelled' if y is None else 'is a dict'
    example = (
      "Classes(('cat', 'dog'))"
      if y is None
      else "Mixed({'kind': Classes(('cat', 'dog')), 'box': Box(scale=640)})"
    )
    raise ValueError(
      f'y {what}; give the task, with tasks from al_jax: task=tasks.{example}.'
    )


def _is_examples(value):
  """Returns whether an option holds examples, not a share or a number."""
  return not isinstance(value, numbers.Number | str | None)


def _is_whole(value):
  return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _protocol(y, parts, test, seed, max_train):
  """Returns how to draw a test split, or None if none is drawn."""
  protocol = splits.SplitProtocol(SHARE, seed, max_train)
  if 'test' in parts or (y is None and test == SHARE):
    test = None
  if y is None and test is not None:
    raise ValueError(
      f'test is {test!r}, and y is None, so a test split would have no labels; '
      'test=(x, y) gives them.'
    )
  if _is_whole(test):
    size = len(next(iter(named.arrays(parts['train'].inputs).values())))
    errors.check_number('test', test, int, least=1, most=size - 1)
    test = int(test) / size
  errors.check_number('test', test, above=0, below=1, optional=True)
  if test is not None:
    protocol = protocol._replace(test_fraction=float(test))
  elif max_train is not None:
    raise ValueError(
      f'max_train={max_train!r} is for a test split that is drawn; the '
      "transform 'cap' makes a split smaller."
    )
  protocol.check()
  return None if test is None else protocol


def _given_split(split, value, y, ids, train):
  """Reads a separate split: a frame with its labels, or `(x, y)`."""
  in_frame = bool(train.targets)
  if isinstance(value, tuple | list):
    if len(value) != 2:
      raise ValueError(
        f'{split} has {len(value)} entries; it must be a share, a number of '
        'examples, or (x, y).'
      )
    x, labels = value
  elif in_frame:
    x, labels = value, y
  else:
    raise ValueError(
      f'{split} is a {type(value).__name__} without labels: {split}=(x, y).'
    )
  in_column = ids if isinstance(ids, str) else None
  names = train.names if frames.is_frame(x) else None
  return _given(split, x, labels, in_column, names)


def _given(called, x, y, ids, features):
  """Reads inputs, labels and ids in any accepted form."""
  if frames.is_frame(x):
    return _from_frame(called, x, y, ids, features)
  for option, value in (('y', y), ('ids', ids)):
    if isinstance(value, str):
      raise ValueError(
        f'{option} is {value!r}, the name of a column; {called} is a '
        f'{type(x).__name__}, not a data frame.'
      )
  if isinstance(x, str):
    raise ValueError(
      f"{called} is {x!r}; files are read by al_jax.load('file:{x}')."
    )
  if features is not None:
    raise ValueError(
      f'features={features!r} are columns of a data frame; {called} is a '
      f'{type(x).__name__}.'
    )
  labels, ids = frames.labels_of(called, x, y), _ids(ids)
  if isinstance(x, Mapping):
    x = {
      name: sources.on_host(f'{called}[{name!r}]', value)
      for name, value in x.items()
    }
    return _Given(splits.Part(x, labels, ids), None)
  array = sources.on_host(called, x)
  if array.ndim == 1 and np.ndim(labels) > 1:
    raise ValueError(
      f'{called} has shape {list(array.shape)}, and its labels have '
      f'{list(np.shape(labels))}: they may be swapped; inputs come first.'
    )
  names = None
  if array.ndim == 2:
    names = tuple(str(at) for at in range(array.shape[1]))
  return _Given(splits.Part(array, labels, ids), names)


def _from_frame(called, frame, y, ids, features):
  """Reads a data frame; y and ids may be columns."""
  table = frames.open_frame(frame, called)
  chosen = y if isinstance(y, Mapping) else {'': y}
  in_frame = {
    part: [value] if isinstance(value, str) else list(value)
    for part, value in chosen.items()
    if _are_columns(value, table.names)
  }
  targets = [name for names in in_frame.values() for name in names]
  roles = tables.roles_of(
    table,
    targets=targets,
    features=features,
    ids=ids if isinstance(ids, str) else None,
  )

  def column(at):
    return table.read([], [at])[1][0]

  def labels_of(part, value):
    if part not in in_frame:
      return frames.labels_of(called, frame, value)
    found = [column(table.names.index(name)) for name in in_frame[part]]
    return found[0] if len(found) == 1 else np.column_stack(found)

  part = splits.Part(
    [column(at) for at in roles.features],
    named.mapped(labels_of, y),
    _ids(ids)
    if roles.ids is None
    else cells.as_ids(
      column(roles.ids), f'ids, the column {ids!r} of {called}'
    ),
  )
  names = tuple(table.names[at] for at in roles.features)
  return _Given(part, names, tuple(targets))


def _are_columns(value, names):
  """Returns whether y is the name of a column, or a list of such names."""
  if isinstance(value, str):
    return True
  is_list = isinstance(value, tuple | list) and len(value) > 0
  return is_list and all(
    isinstance(each, str) and each in names for each in value
  )


def _ids(ids):
  """Reads ids given as an array or a list."""
  if ids is None:
    return None
  array = sources.on_host('ids', ids)
  # NumPy turns None and NaN in a list with text into text.
  if isinstance(ids, list | tuple) and array.dtype.kind == 'U':
    array = np.array(ids, object)
  return cells.as_ids(array)


def _refuse_shared_ids(name, parts):
  """Raises ValueError if an id given by the user is in two splits."""
  named_in = {}
  for split, part in parts.items():
    ids = [] if part.ids is None else part.ids.tolist()
    for at in ids:
      if named_in.setdefault(str(at), split) != split:
        raise ValueError(
          f'{name}: the id {at!r} is in the {named_in[str(at)]} split and in '
          f'the {split} split; an example belongs to one of them.'
        )


def _numbers(name, given, declared):
  """Returns the parts with inputs as numbers; and their Table, or None."""
  train = given['train']
  for split, each in given.items():
    if _form(each) != _form(train):
      raise ValueError(
        f'{split} has {_form(each)}, x has {_form(train)}; they must be alike.'
      )
  parts = {split: each.part for split, each in given.items()}
  inputs = [part.inputs for part in parts.values()]
  if isinstance(train.part.inputs, dict):
    declared.refuse(name)
    return _with_presence(parts), None
  if any(isinstance(each, list) or _is_text(each, 'OUST') for each in inputs):
    is_text = all(_is_text(each, 'UST') for each in inputs)
    table = columns.prepare(
      name,
      parts,
      train.names,
      declared,
      targets=train.targets,
      is_text=is_text,
    )
    return table.parts, table
  parts = {
    split: part._replace(inputs=arrays.as_inputs(_called(split), part.inputs))
    for split, part in parts.items()
  }
  table = columns.of_arrays(name, parts, declared)
  return parts if table is None else table.parts, table


def _with_presence(parts):
  """Reads modalities; adds companion arrays if some examples lack one."""
  inputs = {split: {} for split in parts}
  for name in parts['train'].inputs:
    given = {split: part.inputs[name] for split, part in parts.items()}
    if named.says_who_has(str(name)):
      for split, says in given.items():
        says = says.reshape(len(says), -1)
        is_mask = np.isin(says, (0, 1)).all()
        inputs[split][name] = says.astype(np.uint8) if is_mask else says
      continue
    found = {
      split: arrays.as_modality(f'{_called(split)}[{name!r}]', array)
      for split, array in given.items()
    }
    says_who = f'{name}{named.PRESENT}'
    is_said = says_who in parts['train'].inputs
    all_have = all(present.all() for _, present in found.values())
    for split, (array, present) in found.items():
      inputs[split][name] = array
      if not is_said and not all_have:
        inputs[split][says_who] = present[:, np.newaxis].astype(np.uint8)
  return {
    split: part._replace(inputs=inputs[split]) for split, part in parts.items()
  }


def _called(split):
  return 'x' if split == 'train' else split


def _is_text(inputs, kinds):
  """Returns whether inputs are an array [N, D] of one of NumPy's kinds."""
  is_table = isinstance(inputs, np.ndarray) and inputs.ndim == 2
  return is_table and inputs.dtype.kind in kinds


def _form(given):
  """Describes the form of an example, for messages."""
  inputs = given.part.inputs
  if given.names is not None:
    return f'{len(given.names)} columns'
  if isinstance(inputs, dict):
    return f'the modalities {", ".join(sorted(map(str, inputs)))}'
  return f'arrays of shape {list(inputs.shape[1:])}'
