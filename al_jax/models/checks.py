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
  """Rejects inputs of a form that a model does not take.

  Args:
    model: name of the model.
    facts: facts of the task.
    takes_modalities: whether inputs may be a dict of arrays as well as one
      array.

  Raises:
    ValueError: If the inputs have another form, which the message describes.
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
  """Raises for inputs that are not images or too small for the network."""
  shape = tuple(facts.example.shape)
  if len(shape) != 3 or min(shape[:2]) < smallest:
    raise ValueError(
      f'model {model!r} cannot take inputs of shape {shape}: it needs images'
      f' (height, width, channels) of at least {smallest} x {smallest}'
      ' pixels.'
    )


def check_rate(option: str, rate: float) -> None:
  """Raises unless a rate is a share of units that dropout may drop."""
  errors.check_number(option, rate, least=0, below=1)


def check_widths(option: str, widths: Sequence[int]) -> None:
  """Raises unless widths are a list of whole numbers of at least 1."""
  if not isinstance(widths, Sequence) or isinstance(widths, str):
    raise ValueError(
      f'{option} is {widths!r}; it must be a list of whole numbers.'
    )
  for width in widths:
    errors.check_number(f'a width in {option}', width, int, least=1)


def check_width(width: int) -> None:
  """Raises unless a width is a positive multiple of GROUP_SIZE."""
  errors.check_number('width', width, int, least=1)
  if width % GROUP_SIZE:
    raise ValueError(
      f'width must be a positive multiple of {GROUP_SIZE}; got {width!r}.'
    )


def check_norm(norm: str, choices: Sequence[str] = NORMS) -> None:
  """Raises unless a normalisation layer is one of the choices."""
  errors.check_name('norm', norm, choices)


def check_predictions(
  model: str, facts: Facts, apply: Callable, variables: PyTree, rows: PyTree
) -> None:
  """Raises ValueError for predictions that the task cannot use.

  A final softmax is rejected too: such a network trains, but badly.

  Args:
    model: name of the model.
    facts: facts of the task.
    apply: `ModelFns.apply`.
    variables: shapes of the model's variables.
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


# Operations that do not change values.
_ONLY_MOVED = (
  *('broadcast_in_dim', 'reshape', 'squeeze', 'convert_element_type', 'copy'),
  *('reduce_precision', 'stop_gradient', 'optimization_barrier'),
)


def _stages_of_softmax(jaxpr, known):
  """Returns each result's (stage, variable) of a softmax, or None."""
  stages = dict(zip(jaxpr.invars, known, strict=True))

  def of(variable):
    # Literals have `val` and no hash.
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
