"""Inputs and targets in two forms: one array, or a dict of named arrays.

The names are those of modalities, or of the parts of a task.
An example may lack a modality. Its row is then zeros, and a companion array
marks it: `face_present`, uint8 [N, 1], is 1 for the examples that have `face`
and 0 for the others. Without a companion array, all examples have the modality.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from al_jax import errors

# Suffix of the companion array's name.
PRESENT = '_present'


def arrays(values: Any) -> dict[str, Any]:
  """Returns the arrays by name, sorted by name.

  Args:
    values: one array, which gets the name `''`; a dict; or None for no arrays.
  """
  if values is None:
    return {}
  if not isinstance(values, dict):
    return {'': values}
  return {name: values[name] for name in sorted(values, key=str)}


def mapped(function: Callable[[str, Any], Any], inputs: Any) -> Any:
  """Applies a function to each array and keeps the form of the inputs.

  Args:
    function: `(name, array) -> result`; the name is `''` for a single array.
    inputs: one value or a dict of values, arrays as a rule.

  Returns:
    One result, or a dict of results.
  """
  if isinstance(inputs, dict):
    return {name: function(name, part) for name, part in inputs.items()}
  return function('', inputs)


def says_who_has(name: str) -> bool:
  """Returns whether an array is the companion of a modality."""
  return name.endswith(PRESENT)


def modalities(names: Iterable[str]) -> list[str]:
  """Returns the sorted names of modalities, without companion arrays."""
  return sorted(name for name in names if not says_who_has(name))


def present(inputs: Any, name: str) -> np.ndarray | None:
  """Returns a mask of the examples that have a modality.

  Args:
    inputs: one array or a dict of them.
    name: name of the modality.

  Returns:
    bool[N], or None if all examples have it.
  """
  if not isinstance(inputs, dict) or name + PRESENT not in inputs:
    return None
  return np.asarray(inputs[name + PRESENT])[:, 0] > 0


def what(name: str, kind: str = 'inputs') -> str:
  """Returns the name that messages use for an array of the given kind."""
  return f'{kind} {name!r}' if name else kind


def check_names(
  option: str, what: str, names: Sequence[str], known: Sequence[str]
) -> None:
  """Raises ValueError unless `names` is a list of distinct known names.

  Args:
    option: name of the option, for messages.
    what: kind of name, for messages.
    names: the value to check, of any type.
    known: the allowed names.
  """
  is_list = isinstance(names, Sequence) and not isinstance(names, str)
  if not is_list or not names:
    raise ValueError(
      f'{option} is {names!r}; it must be a list of one or more of: '
      f'{", ".join(sorted(known))}.'
    )
  for name in names:
    errors.check_name(f'{option}: the {what}', name, known)
    if names.count(name) > 1:
      raise ValueError(f'{option} is {names!r}; it has {name!r} twice.')
