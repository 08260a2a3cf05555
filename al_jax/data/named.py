"""Inputs and targets of two forms: one array, or a dict of named ones.

The names are those of modalities, or of the parts of a task.
An example may lack a modality. Its row is zeros then, and an array beside the
modality says so: `face_present`, uint8 [N, 1], is 1 for the examples that have
`face` and 0 for the others. Without such an array all examples have it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from al_jax import errors

# What the name of a modality goes on with in that of the array beside it.
PRESENT = '_present'


def arrays(values: Any) -> dict[str, Any]:
  """Returns the arrays by name, in the order of the names.

  Args:
    values: one array, whose name is `''`; or a dict; or None: there are none.
  """
  if values is None:
    return {}
  if not isinstance(values, dict):
    return {'': values}
  return {name: values[name] for name in sorted(values, key=str)}


def mapped(function: Callable[[str, Any], Any], inputs: Any) -> Any:
  """`function(name, array)` of each array, in the form of the inputs.

  Args:
    function: of a name, `''` for one array, and the array.
    inputs: one array or a dict of them; or what has this form.

  Returns:
    One result, or a dict of them.
  """
  if isinstance(inputs, dict):
    return {name: function(name, part) for name, part in inputs.items()}
  return function('', inputs)


def says_who_has(name: str) -> bool:
  """Whether an array is not a modality but says who has one."""
  return name.endswith(PRESENT)


def modalities(names: Iterable[str]) -> list[str]:
  """The names of modalities among those of arrays, sorted."""
  return sorted(name for name in names if not says_who_has(name))


def present(inputs: Any, name: str) -> np.ndarray | None:
  """Which examples have a modality.

  Args:
    inputs: one array or a dict of them.
    name: of the modality.

  Returns:
    bool[N]; None: all have it.
  """
  if not isinstance(inputs, dict) or name + PRESENT not in inputs:
    return None
  return np.asarray(inputs[name + PRESENT])[:, 0] > 0


def what(name: str, kind: str = 'inputs') -> str:
  """How messages call an array of the inputs, or of another kind."""
  return f'{kind} {name!r}' if name else kind


def check_names(
  option: str, what: str, names: Sequence[str], known: Sequence[str]
) -> None:
  """Refuses what is not a list of different names that are known.

  Args:
    option: where it was given.
    what: kind of name it is.
    names: given; of any type.
    known: the names there are.
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
