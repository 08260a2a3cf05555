"""Encodes the labels of a source as targets: class numbers, or numbers."""

from collections.abc import Sequence

import numpy as np

from al_jax.data.sources import cells, tables

# End of the message for labels that are not classes.
_NUMBERS_INSTEAD = (
  "To predict numbers, give targets=('column',) for a table file, or "
  'scale=1.0, the unit of the numbers, for arrays and data frames.'
)


# End of the message for gaps.
_GAPS = (
  "Targets are never filled in: missing='drop', or a dict with 'drop' for the "
  'column of targets, leaves such rows of a table out.'
)


def encode_numbers(values: np.ndarray, where: str) -> np.ndarray:
  """Returns numbers to predict as float32[N, D].

  Args:
    values: [N] or [N, D], of any numeric type.
    where: place of the values, for messages.

  Raises:
    ValueError: If the values are not numbers, have another shape, or exceed
      float32.
  """
  values = np.asarray(values)
  if values.dtype.kind not in 'biuf':
    raise ValueError(
      f'{where} is of type {values.dtype}; with scale it must be numbers.'
    )
  if values.ndim not in (1, 2) or 0 in values.shape:
    raise ValueError(
      f'{where} has the shape {list(values.shape)}; numbers to predict are [N] '
      'or [N, D], with D at least 1.'
    )
  _refuse_gaps(values, where)
  return tables.as_float32(values, where).reshape(len(values), -1)


def encode_labels(
  values: np.ndarray,
  where: str,
  *,
  class_names: Sequence[str] | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Numbers the classes in the sorted order of their names.

  If all labels are whole numbers, also as text, they sort as numbers: 2 before
  10.

  Args:
    values: [N] or [N, 1], integers, whole floats, booleans or text.
    where: place of the values, for messages: `"column 'class' of letter.csv"`.
    class_names: names by class number, if known; integer `values` are then
      class numbers already and do not change.

  Returns:
    int32[N], class numbers from 0; and the C names.

  Raises:
    ValueError: If a label is missing, is a number but not a whole one, or is
      not in `class_names`.
  """
  values = np.asarray(values)
  if values.ndim == 2 and values.shape[1] == 1:
    values = values[:, 0]
  if values.ndim != 1:
    raise ValueError(
      f'{where} must hold one label per example, shape [N] or [N, 1]; its '
      f'shape is {list(values.shape)}. {_NUMBERS_INSTEAD}'
    )
  _refuse_gaps(values, where)
  if class_names is not None:
    return _look_up(values, where, tuple(str(name) for name in class_names))
  if values.dtype.kind not in 'biuf':
    values = _as_text(values, where)
  distinct, targets = np.unique(values, return_inverse=True)
  numbers = _as_numbers(distinct)
  if numbers is not None:
    _check_whole(numbers, values, targets, where)
    # '1' and '1.0' are one class.
    numbers, position = np.unique(numbers, return_inverse=True)
    distinct, targets = numbers.astype(np.int64), position[targets]
  return targets.astype(np.int32), tuple(str(name) for name in distinct)


def _refuse_gaps(values: np.ndarray, where: str) -> None:
  """Raises ValueError at the first NaN; `_as_text` finds gaps in text."""
  if values.dtype.kind != 'f':
    return
  missing = np.flatnonzero(cells.gaps(values))
  if missing.size:
    raise ValueError(
      f'{where} has no value in row {missing[0]} (counted from 0), and in '
      f'{missing.size} of {len(values)} rows. {_GAPS}'
    )


def _look_up(
  values: np.ndarray, where: str, class_names: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Looks up class numbers by name; integers are class numbers already."""
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
  """Returns labels as stripped text; raises ValueError if one is missing."""
  if values.dtype.kind == 'S':
    try:
      text = np.char.decode(values, 'utf-8')
    except UnicodeDecodeError as error:
      raise ValueError(
        f'{where} is text in an encoding other than UTF-8; decode it first: '
        "np.char.decode(values, 'latin-1')."
      ) from error
  else:
    is_missing = cells.gaps(values) if values.dtype.kind == 'O' else False
    text = np.where(is_missing, '', values)
    # NumPy's text type would turn 'c\0' into 'c', maybe another class.
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
      f'{missing.size} of {len(text)} rows. {_GAPS}'
    )
  return text


def _as_numbers(distinct: np.ndarray) -> np.ndarray | None:
  """Returns labels as float64, or None if one is not a number."""
  try:
    return distinct.astype(np.float64)
  except ValueError:
    return None


def _check_whole(
  numbers: np.ndarray, values: np.ndarray, targets: np.ndarray, where: str
) -> None:
  """Raises ValueError at the first number that is not a whole one."""
  broken = ~np.isfinite(numbers) | (numbers != np.round(numbers))
  if broken.any():
    row = np.flatnonzero(broken[targets])[0]
    raise ValueError(
      f'{where} has {str(values[row])!r} in row {row} (counted from 0): '
      f'class labels are text or whole numbers. {_NUMBERS_INSTEAD}'
    )
