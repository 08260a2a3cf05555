"""Checks of a model's task, inputs and options."""

from collections.abc import Callable, Sequence

import jax

from al_jax import errors, tasks, xla
from al_jax.interfaces import Facts, PyTree

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


def check_predictions(
  model: str, facts: Facts, apply: Callable, variables: PyTree, rows: PyTree
) -> None:
  """Raises ValueError for predictions that the task cannot use.

  A softmax is found where it is the last operation; it trains, but badly.

  Args:
    model: its name.
    facts: of the task.
    apply: `ModelFns.apply`.
    variables: shapes of its variables.
    rows: shapes of some inputs.
  """

  def predict(variables, rows):
    return apply(variables, rows).predictions

  jaxpr, found = jax.make_jaxpr(predict, return_shape=True)(variables, rows)
  found = jax.tree.map(lambda leaf: leaf.shape[1:], found)
  wanted = jax.tree.map(lambda size: (size,), facts.task.outputs)
  if found != wanted:
    raise ValueError(
      f'model {model!r} returns predictions of shape {found} for an example; '
      f'for {facts.task.describe()} it must be {wanted}.'
    )
  stages = _stages_of_softmax(jaxpr.jaxpr, [None] * len(jaxpr.jaxpr.invars))
  are_classes = jax.tree.leaves(tasks.are_classes(facts.task))
  if any(
    is_classes and stage is not None and stage[0] == 'shares'
    for is_classes, stage in zip(are_classes, stages, strict=True)
  ):
    raise ValueError(
      f'model {model!r} ends in a softmax: it returns probabilities, and '
      'losses take logits; leave the softmax out.'
    )


# The values stay what they are.
_ONLY_MOVED = (
  *('broadcast_in_dim', 'reshape', 'squeeze', 'convert_element_type', 'copy'),
  *('reduce_precision', 'stop_gradient', 'optimization_barrier'),
)


def _stages_of_softmax(jaxpr, known):
  """What each result is of a softmax, and of which; None if it is nothing."""
  stages = dict(zip(jaxpr.invars, known, strict=True))

  def of(variable):
    # Numbers that are written into a program have a value, and no hash.
    return None if hasattr(variable, 'val') else stages.get(variable)

  for equation in jaxpr.eqns:
    name, result = equation.primitive.name, equation.outvars[0]
    before = [of(variable) for variable in equation.invars]
    inner = xla.jaxprs_in(equation)
    if name == 'exp':
      stages[result] = ('exp', result)
    elif name == 'reduce_sum' and before[0] and before[0][0] == 'exp':
      stages[result] = ('sum', before[0][1])
    elif name == 'div' and all(before) and before[0][1] is before[1][1]:
      is_share = (before[0][0], before[1][0]) == ('exp', 'sum')
      stages[result] = ('shares', result) if is_share else None
    elif name in _ONLY_MOVED:
      stages[result] = before[0]
    elif len(inner) == 1 and len(inner[0].invars) == len(before):
      found = _stages_of_softmax(inner[0], before)
      if len(found) == len(equation.outvars):
        stages.update(zip(equation.outvars, found, strict=True))
  return [of(variable) for variable in jaxpr.outvars]
