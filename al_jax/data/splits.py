"""Labels to class numbers, and a test split for sources that have none.

The split is that of the BADGE experiments (Ash et al. 2020, "Deep Batch Active
Learning by Diverse, Uncertain Gradient Lower Bounds", their OpenML sets):
shuffle, hold out a tenth, train on at most 50,000 of the others, and draw again
until every class is among them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import errors
from al_jax.data import named
from al_jax.data.dataset import RawData, Split
from al_jax.tasks import Classes

# A class with a single example lands in the test split one time in ten, so a
# thousand draws are only used up when no draw can succeed.
_MAX_DRAWS = 1_000


class SplitProtocol(NamedTuple):
  """How a source without a test split is divided.

  Attributes:
    test_fraction: the part of all examples that is held out, in (0, 1).
    split_seed: of the shuffle.
    max_train: the most examples to train on; None: all that are left.
  """

  test_fraction: float = 0.1
  split_seed: int = 0
  max_train: int | None = 50_000

  def check(self) -> None:
    """Raises a ValueError that names the field that is out of range."""
    errors.check_number('test_fraction', self.test_fraction, above=0, below=1)
    errors.check_number(
      'max_train', self.max_train, int, least=1, optional=True
    )
    errors.check_number('split_seed', self.split_seed, int, least=0)

  def refuse(self, where: str) -> None:
    """Raises if a field was set for a source that has a split of its own."""
    for field, default in self._field_defaults.items():
      value = getattr(self, field)
      if value != default:
        raise ValueError(
          f'{where} has a test split of its own: {field}={value!r} does not '
          "apply. The transform 'cap' makes a split smaller."
        )


class Part(NamedTuple):
  """One split as a source holds it.

  Attributes:
    inputs: uint8 or float32 [N, ...], or a dict of them.
    labels: [N] or [N, 1], not yet encoded.
    ids: [N]; None: row numbers.
  """

  inputs: Any
  labels: np.ndarray
  ids: np.ndarray | None = None


def assemble(
  name: str,
  parts: Mapping[str, Part],
  protocol: SplitProtocol,
  *,
  is_image: bool,
  class_names: Sequence[str] | None = None,
) -> RawData:
  """Encodes the labels of all splits at once and finds a test split.

  Args:
    name: what a log line calls the set.
    parts: `'train'` and, where the source has them, `'test'` and
      `'validation'`. Row numbers as ids run on from one to the next.
    protocol: divides `'train'` if there is no `'test'`.
    is_image: see RawData.
    class_names: see `encode_labels`.

  Returns:
    RawData.

  Raises:
    ValueError: inputs, labels and ids are not equally many, labels are not
      classes, or the protocol does not fit.
  """
  for split, part in parts.items():
    _check_lengths(name, split, part)
  labels = [np.asarray(part.labels) for part in parts.values()]
  targets, names = encode_labels(
    # One column each: some splits may come as [N] and others as [N, 1].
    np.concatenate([each.reshape(len(each), -1) for each in labels]),
    f'{name}: the target',
    class_names=class_names,
  )
  finished, start = {}, 0
  for split, part in parts.items():
    rows = np.arange(start, start + len(part.labels))
    start += len(part.labels)
    ids = rows if part.ids is None else part.ids
    finished[split] = Split(part.inputs, targets[rows], ids)
  if 'test' not in finished:
    return _hold_out_test(name, finished, names, protocol, is_image)
  protocol.refuse(name)
  return RawData(name, task=Classes(names), is_image=is_image, **finished)


def _check_lengths(name: str, split: str, part: Part) -> None:
  """Raises if inputs, labels and ids are not equally many."""
  for what, array in (('targets', part.labels), ('ids', part.ids)):
    for modality, inputs in named.arrays(part.inputs).items():
      if array is not None and np.shape(array)[:1] != inputs.shape[:1]:
        raise ValueError(
          f'{name}: the {split} split has {named.what(modality)} of shape '
          f'{list(inputs.shape)} and {what} of shape '
          f'{list(np.shape(array))}: their first axes differ.'
        )


def encode_labels(
  values: np.ndarray,
  where: str,
  *,
  class_names: Sequence[str] | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Class numbers by the sorted order of what the labels are called.

  Labels that are all whole numbers, also as text, sort as numbers: 2 before 10.

  Args:
    values: [N] or [N, 1], integers, whole floats, booleans or text.
    where: what holds them, for messages: `"column 'class' of letter.csv"`.
    class_names: names by class number, where they are known; integer `values`
      are then class numbers already and stay as they are.

  Returns:
    int32[N], class numbers from 0; and the C names.

  Raises:
    ValueError: a label is missing or a broken number, or not in `class_names`.
  """
  values = np.asarray(values)
  if values.ndim == 2 and values.shape[1] == 1:
    values = values[:, 0]
  if values.ndim != 1:
    raise ValueError(
      f'{where} must hold one label per example, shape [N] or [N, 1]; its '
      f'shape is {list(values.shape)}.'
    )
  if class_names is not None:
    return _look_up(values, where, tuple(str(name) for name in class_names))
  if values.dtype.kind not in 'biuf':
    values = _as_text(values, where)
  distinct, targets = np.unique(values, return_inverse=True)
  numbers = _as_numbers(distinct)
  if numbers is not None:
    _check_whole(numbers, values, targets, where)
    # Different texts of one number are one class: '1' and '1.0'.
    numbers, position = np.unique(numbers, return_inverse=True)
    distinct, targets = numbers.astype(np.int64), position[targets]
  return targets.astype(np.int32), tuple(str(name) for name in distinct)


def _look_up(
  values: np.ndarray, where: str, class_names: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Class numbers by given names; integers are numbers already."""
  if values.dtype.kind in 'biu':
    wrong = np.flatnonzero((values < 0) | (values >= len(class_names)))
    if wrong.size:
      raise ValueError(
        f'{where} has {values[wrong[0]]} in row {wrong[0]} (counted from 0), '
        f'but there are {len(class_names)} class names: labels run from 0 to '
        f'{len(class_names) - 1}.'
      )
    return values.astype(np.int32), class_names
  text = _as_text(values, where)
  number_of = {name: number for number, name in enumerate(class_names)}
  for row, name in enumerate(text):
    if name not in number_of:
      raise ValueError(
        f'{where} has the label {str(name)!r} in row {row} (counted from 0), '
        f'which is not among the class names: {", ".join(class_names)}.'
      )
  targets = np.fromiter((number_of[name] for name in text), np.int32)
  return targets, class_names


def _as_text(values: np.ndarray, where: str) -> np.ndarray:
  """Labels as stripped text; a missing one is an error."""
  if values.dtype.kind == 'S':
    try:
      text = np.char.decode(values, 'utf-8')
    except UnicodeDecodeError as error:
      raise ValueError(
        f'{where} is text in an encoding other than UTF-8; decode it first: '
        "np.char.decode(values, 'latin-1')."
      ) from error
  else:
    is_missing = np.equal(values, None) if values.dtype.kind == 'O' else False
    text = np.where(is_missing, '', values)
    # As NumPy's text 'c\0' would become 'c', which may be another class.
    for row in np.flatnonzero(['\0' in str(value) for value in text]):
      raise ValueError(
        f'{where} has the label {str(text[row])!r} in row {row} (counted from '
        '0); a label has no NUL character.'
      )
    text = text.astype(str)
  text = np.char.strip(text)
  missing = np.flatnonzero(text == '')
  if missing.size:
    raise ValueError(
      f'{where} has no label in row {missing[0]} (counted from 0), and in '
      f'{missing.size} of {len(text)} rows.'
    )
  return text


def _as_numbers(distinct: np.ndarray) -> np.ndarray | None:
  """float64 of labels that all are numbers; None if one is not."""
  try:
    return distinct.astype(np.float64)
  except ValueError:
    return None


def _check_whole(
  numbers: np.ndarray, values: np.ndarray, targets: np.ndarray, where: str
) -> None:
  """Raises at the first label that is a number but not a whole one."""
  broken = ~np.isfinite(numbers) | (numbers != np.round(numbers))
  if broken.any():
    row = np.flatnonzero(broken[targets])[0]
    raise ValueError(
      f'{where} has {str(values[row])!r} in row {row} (counted from 0): '
      'class labels are text or whole numbers. A column of measurements is '
      'not a class.'
    )


def _hold_out_test(
  name: str,
  parts: Mapping[str, Split],
  class_names: tuple[str, ...],
  protocol: SplitProtocol,
  is_image: bool,
) -> RawData:
  """Divides `parts['train']`; what is trained on is in shuffled order."""
  everything = parts['train']
  protocol.check()
  num_examples, num_classes = len(everything), len(class_names)
  # The tiny addition undoes rounding: (1 - 0.7) * 10 is 3.0000000000000004,
  # (1 - 0.9) * 10 is 0.9999999999999998.
  num_rest = math.floor((1 - protocol.test_fraction) * num_examples + 1e-9)
  if not 0 < num_rest < num_examples:
    raise ValueError(
      f'{name} has {num_examples} examples; test_fraction='
      f'{protocol.test_fraction} leaves {num_rest} to train on and '
      f'{num_examples - num_rest} to test on.'
    )
  num_train = min(num_rest, protocol.max_train or num_rest)
  counts = np.bincount(everything.targets, minlength=num_classes)
  possible = counts.min() > 0 and num_train >= num_classes
  generator = np.random.default_rng(protocol.split_seed)
  for _ in range(_MAX_DRAWS if possible else 0):
    order = generator.permutation(num_examples)
    train = order[:num_train]
    if np.unique(everything.targets[train]).size == num_classes:
      return RawData(
        name=name,
        train=everything.take(train),
        test=everything.take(order[num_rest:]),
        task=Classes(class_names),
        is_image=is_image,
        validation=parts.get('validation'),
      )
  rarest = int(np.argmin(counts))
  raise ValueError(
    f'{name}: no draw of {num_train} training examples has all of the '
    f'{num_classes} classes. The rarest, {class_names[rarest]!r}, has '
    f'{counts[rarest]} of {num_examples} examples. Raise max_train, lower '
    'test_fraction, or leave the class out.'
  )
