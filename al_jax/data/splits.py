"""Turns the splits of a source into RawData; draws a missing test split.

The protocol is that of the BADGE experiments (Ash et al. 2020, "Deep Batch
Active Learning by Diverse, Uncertain Gradient Lower Bounds", their OpenML
sets): shuffle, hold out a tenth, train on at most 50,000 of the others, and
draw again until every class is among them. Without classes, the first draw
counts.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import errors, tasks
from al_jax.data import encoding, named
from al_jax.data.dataset import RawData, Split
from al_jax.tasks import Classes, Task, Vector

# A class with a single example lands in the test split in one draw of ten, so a
# thousand draws run out only if no draw can succeed.
_MAX_DRAWS = 1_000


class SplitProtocol(NamedTuple):
  """Options for drawing a test split from a source without one.

  Attributes:
    test_fraction: share of all examples to hold out, in (0, 1).
    split_seed: seed of the shuffle.
    max_train: maximum number of training examples. If None, all that are left.
  """

  test_fraction: float = 0.1
  split_seed: int = 0
  max_train: int | None = 50_000

  def check(self) -> None:
    """Raises ValueError if a field is out of range; the message names it."""
    errors.check_number('test_fraction', self.test_fraction, above=0, below=1)
    errors.check_number(
      'max_train', self.max_train, int, least=1, optional=True
    )
    errors.check_number('split_seed', self.split_seed, int, least=0)

  def refuse(self, where: str) -> None:
    """Raises ValueError if a field was set; for sources with a test split."""
    for field, default in self._field_defaults.items():
      value = getattr(self, field)
      if value != default:
        raise ValueError(
          f'{where} has its own test split, so {field}={value!r} does not '
          "apply; the transform 'cap' makes a split smaller."
        )


def unlabelled_task(
  classes: Sequence[str] | None, protocol: SplitProtocol, **others: Any
) -> Task | None:
  """Returns the task of an unlabelled source.

  Args:
    classes: option of a source: names of the classes that people choose from.
      If None, the examples have labels.
    protocol: options for labelled examples, which must all have their defaults.
    **others: options about labels, which must all be None.

  Returns:
    The task, or None if the examples have labels.

  Raises:
    ValueError: If there are fewer than two classes, a name is there twice or is
      not allowed, or an option about labels is given.
  """
  if classes is None:
    return None
  for option, value in others.items():
    if value is not None:
      raise ValueError(
        f'classes={classes!r} says that the examples are unlabelled, and '
        f'{option} is about their labels; give one of the two.'
      )
  for field, default in protocol._field_defaults.items():
    value = getattr(protocol, field)
    if value != default:
      raise ValueError(
        f'{field}={value!r} is about labelled examples, and classes='
        f'{classes!r} says that there are none; give one of the two.'
      )
  names = [] if isinstance(classes, str) else list(classes)
  if len(names) < 2 or not all(isinstance(name, str) for name in names):
    raise ValueError(
      f"classes={classes!r} must be two or more names, such as ('cat', 'dog')."
    )
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f'classes={classes!r} has {name!r} twice.')
    if not name or name != name.strip() or not name.isprintable():
      raise ValueError(
        f'classes={classes!r} has {name!r}; a name must be one line, not empty '
        'and without spaces at its ends.'
      )
  return Classes(tuple(names))


class Part(NamedTuple):
  """One split as a source holds it.

  Attributes:
    inputs: uint8 or float32 [N, ...], or a dict of them.
    labels: classes not yet encoded, [N] or [N, 1]; numbers, [N] or [N, D]; or a
      dict of these by part of the task. If None, the examples are unlabelled.
    ids: ids of the examples, [N]. If None, row numbers.
  """

  inputs: Any
  labels: Any
  ids: np.ndarray | None = None


def assemble(
  name: str,
  parts: Mapping[str, Part],
  protocol: SplitProtocol | None,
  *,
  is_image: bool,
  class_names: Sequence[str] | None = None,
  scale: float | None = None,
  task: Task | None = None,
) -> RawData:
  """Encodes labels as targets and draws a test split if there is none.

  Args:
    name: name of the data set in log lines.
    parts: `'train'` and, if the source has them, `'test'` and `'validation'`.
      Row numbers as ids continue from one part to the next.
    protocol: options for drawing a test split if there is no `'test'`. If
      None, none is drawn.
    is_image: see RawData.
    class_names: see `encoding.encode_labels`.
    scale: unit of labels that are numbers, see `Vector`. If None, labels are
      classes.
    task: task of the labels, if known; it replaces class_names and scale.

  Returns:
    RawData.

  Raises:
    ValueError: If inputs, labels and ids differ in number, labels are not
      classes or not numbers, or the protocol does not fit.
  """
  for split, part in parts.items():
    check_lengths(name, split, part)
  if task is not None:
    targets = _targets_of(task, name, parts)
  elif scale is None:
    targets, task = _classes(name, parts, class_names)
  elif class_names is not None:
    raise ValueError(
      f'{name}: scale={scale!r} is for numbers to predict; the targets are '
      'classes, as there are class_names.'
    )
  else:
    targets = {
      split: encoding.encode_numbers(
        part.labels, f'{name}, {split} split: the array of targets'
      )
      for split, part in parts.items()
    }
    task = Vector(targets['train'].shape[1], scale)
  finished, start = {}, 0
  for split, part in parts.items():
    size = _length(part)
    rows = np.arange(start, start + size)
    start += size
    ids = rows if part.ids is None else part.ids
    finished[split] = Split(part.inputs, targets[split], ids)
  raw = RawData(name, task=task, is_image=is_image, **finished)
  if protocol is None:
    return raw
  if raw.test is None:
    return _hold_out_test(raw, protocol)
  protocol.refuse(name)
  return raw


def _length(part: Part) -> int:
  """Returns the number of examples in a part."""
  return len(next(iter(named.arrays(part.inputs).values())))


def _targets_of(
  task: Task, name: str, parts: Mapping[str, Part]
) -> dict[str, Any]:
  """Encodes the labels of all splits as targets of a task."""
  kinds = tasks.parts_of(task)
  targets = {}
  for split, part in parts.items():
    where = f'{name}, {split} split'
    labels = named.arrays(part.labels)
    if labels and set(labels) != set(kinds):
      raise ValueError(
        f'{where}: targets are {_by_name(labels)}; the task '
        f'({task.describe()}) needs {_by_name(kinds)}.'
      )
    encoded = {
      of: _encoded(kinds[of], values, f'{where}: {named.what(of, "targets")}')
      for of, values in labels.items()
    }
    targets[split] = encoded.get('', encoded or None)
  return targets


def _by_name(names) -> str:
  return 'one array' if '' in names else f'a dict of {", ".join(names)}'


def _encoded(kind: Task, values: np.ndarray, where: str) -> np.ndarray:
  if not kind.class_names:
    return encoding.encode_numbers(values, where)
  return encoding.encode_labels(values, where, class_names=kind.class_names)[0]


def _classes(
  name: str, parts: Mapping[str, Part], class_names: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], Classes]:
  """Encodes the labels of all splits together; returns targets by split."""
  labels = [np.asarray(part.labels) for part in parts.values()]
  targets, names = encoding.encode_labels(
    # Some splits may have labels [N] and others [N, 1].
    np.concatenate([each.reshape(len(each), -1) for each in labels]),
    f'{name}: the target',
    class_names=class_names,
  )
  ends = np.cumsum([len(each) for each in labels])
  by_split = np.split(targets, ends[:-1])
  return dict(zip(parts, by_split, strict=True)), Classes(names)


def check_lengths(name: str, split: str, part: Part) -> None:
  """Raises ValueError if inputs, labels and ids differ in number."""
  others = {
    named.what(of, 'targets'): labels
    for of, labels in named.arrays(part.labels).items()
  }
  others['ids'] = part.ids
  for what, array in others.items():
    for modality, inputs in named.arrays(part.inputs).items():
      if array is not None and np.shape(array)[:1] != inputs.shape[:1]:
        raise ValueError(
          f'{name}: the {split} split has {named.what(modality)} of shape '
          f'{list(inputs.shape)} and {what} of shape '
          f'{list(np.shape(array))}: their first axes differ.'
        )


def _hold_out_test(raw: RawData, protocol: SplitProtocol) -> RawData:
  """Draws a test split from the training split; shuffles both."""
  protocol.check()
  everything, num_examples = raw.train, len(raw.train)
  # 1e-9 undoes rounding: (1 - 0.9) * 10 is 0.9999999999999998.
  num_rest = math.floor((1 - protocol.test_fraction) * num_examples + 1e-9)
  if not 0 < num_rest < num_examples:
    raise ValueError(
      f'{raw.name} has {num_examples} examples; test_fraction='
      f'{protocol.test_fraction} leaves {num_rest} to train on and '
      f'{num_examples - num_rest} to test on.'
    )
  num_train = min(num_rest, protocol.max_train or num_rest)
  generator = np.random.default_rng(protocol.split_seed)
  order = _order(generator, raw, num_train)
  return raw._replace(
    train=everything.take(order[:num_train]),
    test=everything.take(order[num_rest:]),
  )


def _order(
  generator: np.random.Generator, raw: RawData, num_train: int
) -> np.ndarray:
  """Draws an order with every class among the first `num_train`."""
  num_examples, names = len(raw.train), raw.task.class_names
  classes = raw.train.classes(raw.task)
  if classes is None:
    return generator.permutation(num_examples)
  counts = np.bincount(classes, minlength=len(names))
  possible = counts.min() > 0 and num_train >= len(names)
  for _ in range(_MAX_DRAWS if possible else 0):
    order = generator.permutation(num_examples)
    if np.unique(classes[order[:num_train]]).size == len(names):
      return order
  rarest = int(np.argmin(counts))
  raise ValueError(
    f'{raw.name}: no draw of {num_train} training examples has all of the '
    f'{len(names)} classes. The rarest, {names[rarest]!r}, has '
    f'{counts[rarest]} of {num_examples} examples. Raise max_train, lower '
    'test_fraction, or leave the class out.'
  )
