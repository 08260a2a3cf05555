"""Checks of a model's task, inputs and options."""

from collections.abc import Sequence

import jax

from al_jax import errors
from al_jax.interfaces import Facts

NORMS = ('none', 'batch', 'group')
# Channels that share a mean and a variance; widths must be multiples of it.
GROUP_SIZE = 8


def check_inputs(
  model: str, facts: Facts, *, takes_modalities: bool = False
) -> None:
  """Refuses a form of inputs that a model is not for.

  Args:
    model: its name.
    facts: of the task.
    takes_modalities: inputs may be a dict of arrays; else one array.

  Raises:
    ValueError: with what the inputs are.
  """
  is_dict = takes_modalities and isinstance(facts.example, dict)
  parts = facts.example.values() if is_dict else [facts.example]
  if not all(hasattr(part, 'shape') for part in parts):
    allowed = 'one array or a dict of named arrays'
    found = str(jax.tree.structure(facts.example))
    if not takes_modalities:
      allowed = 'one array'
      if isinstance(facts.example, dict):
        names = ', '.join(map(repr, facts.example))
        found = f"a dict of {names}, which 'fusion' takes"
    raise ValueError(
      f'model {model!r} takes {allowed}; the inputs are {found}.'
    )


def check_image(model: str, facts: Facts, *, smallest: int) -> None:
  """Raises for inputs that are no images or too small for the network."""
  shape = tuple(facts.example.shape)
  if len(shape) != 3 or min(shape[:2]) < smallest:
    raise ValueError(
      f'model {model!r} cannot take inputs of shape {shape}: it needs images'
      f' (height, width, channels) of at least {smallest} x {smallest}'
      ' pixels.'
    )


def check_rate(option: str, rate: float) -> None:
  """Raises unless it is a share of units that dropout may drop."""
  errors.check_number(option, rate, least=0, below=1)


def check_widths(option: str, widths: Sequence[int]) -> None:
  """Raises unless it is a list of so many units per layer."""
  if not isinstance(widths, Sequence) or isinstance(widths, str):
    raise ValueError(
      f'{option} is {widths!r}; it must be a list of whole numbers.'
    )
  for width in widths:
    errors.check_number(f'a width in {option}', width, int, least=1)


def check_width(width: int) -> None:
  """Raises unless it is a number of channels that group normalisation takes."""
  errors.check_number('width', width, int, least=1)
  if width % GROUP_SIZE:
    raise ValueError(
      f'width must be a positive multiple of {GROUP_SIZE}; got {width!r}.'
    )


def check_norm(norm: str, choices: Sequence[str] = NORMS) -> None:
  """Raises unless it is one of the normalisation layers to choose from."""
  errors.check_name('norm', norm, choices)
