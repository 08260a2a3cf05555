"""From a Flax module to the seam: normalised inputs, dropout, statistics.

A module here is called as `module(inputs, how)` with normalised float32 inputs,
one array or a dict of modalities, and a `Pass`; it returns a `ModelOutput`, and
its last dense layer is named `head`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors
from al_jax.data import named
from al_jax.interfaces import Facts, ModelFns, ModelOutput, PyTree

NORMS = ('none', 'batch', 'group')
# Channels that share a mean and a variance; widths must be multiples of it.
GROUP_SIZE = 8
# As PyTorch's default of 0.1 for the weight of the new value.
_STATISTICS_MOMENTUM = 0.9
# Squared lengths below it count as this: no division by 0, and no gradient that
# grows without bound.
_LEAST_SQ_LENGTH = 1e-12


class Pass(NamedTuple):
  """What kind of pass through the network it is.

  Attributes:
    training: BatchNorm normalises by the batch and updates its statistics, and
      dropout draws a mask per example instead of one for the batch.
    dropout: dropout is active.
    real: bool[B], False in padding rows; None: every row is real.
  """

  training: bool
  dropout: bool
  real: jax.Array | None = None


EVALUATION = Pass(training=False, dropout=False)


def dropout(inputs: jax.Array, rate: float, how: Pass) -> jax.Array:
  """Dropout; call it inside a compact module."""
  layer = nn.Dropout(rate, broadcast_dims=() if how.training else (0,))
  return layer(inputs, deterministic=not how.dropout)


def normalise(inputs: jax.Array, norm: str, how: Pass) -> jax.Array:
  """The normalisation layer of that name; call it inside a compact module."""
  if norm == 'batch':
    mask = None
    if how.training and how.real is not None:
      mask = how.real.reshape((-1,) + (1,) * (inputs.ndim - 1))
    layer = nn.BatchNorm(
      use_running_average=not how.training, momentum=_STATISTICS_MOMENTUM
    )
    return layer(inputs, mask=mask)
  if norm == 'group':
    return nn.GroupNorm(num_groups=None, group_size=GROUP_SIZE)(inputs)
  return inputs


def unit(vectors: jax.Array, axes: Sequence[int]) -> jax.Array:
  """The same directions at length 1; a vector of zeros stays.

  Args:
    vectors: float32 of any shape.
    axes: those that a vector has.

  Returns:
    float32, of that shape.
  """
  sq_lengths = jnp.sum(jnp.square(vectors), axis=axes, keepdims=True)
  return vectors * jax.lax.rsqrt(jnp.maximum(sq_lengths, _LEAST_SQ_LENGTH))


def model_fns(module: nn.Module, facts: Facts) -> ModelFns:
  """Puts a module behind the seam.

  Args:
    module: called as the docstring of this file says.
    facts: of the task; its `mean` and `std` normalise the raw inputs.

  Returns:
    The ModelFns. Variables without BatchNorm have no `'statistics'`, and
    `train` then returns `{}` for them.
  """
  example = facts.example
  mean, std = moments(facts)

  def standardise(inputs: PyTree) -> PyTree:
    _check_inputs(inputs, example)
    return jax.tree.map(
      lambda array, m, s: (array.astype(jnp.float32) - m) / s, inputs, mean, std
    )

  def init(key: jax.Array) -> PyTree:
    inputs = jax.tree.map(
      lambda one: jax.ShapeDtypeStruct((1, *one.shape), jnp.float32), example
    )
    made = module.lazy_init(key, inputs, EVALUATION)
    variables = {'params': made['params']}
    if 'batch_stats' in made:
      variables['statistics'] = made['batch_stats']
    return variables

  def apply(
    variables: PyTree, inputs: PyTree, *, key: jax.Array | None = None
  ) -> ModelOutput:
    return module.apply(
      _collections(variables),
      standardise(inputs),
      Pass(training=False, dropout=key is not None),
      rngs=None if key is None else {'dropout': key},
    )

  def train(
    variables: PyTree,
    inputs: PyTree,
    key: jax.Array,
    *,
    real: jax.Array | None = None,
  ) -> tuple[ModelOutput, PyTree]:
    old = variables.get('statistics') or {}
    some_real = True if real is None else jnp.any(real)
    # Without a real row the mean would be 0 / 0: normalise by the padding, and
    # forget it.
    rows = None if real is None else real | ~some_real
    output, changed = module.apply(
      _collections(variables),
      standardise(inputs),
      Pass(training=True, dropout=True, real=rows),
      rngs={'dropout': key},
      mutable=['batch_stats'],
    )
    statistics = jax.tree.map(
      lambda new, before: jnp.where(some_real, new, before),
      changed.get('batch_stats', {}),
      old,
    )
    return output, statistics

  return ModelFns(init=init, apply=apply, train=train)


def _collections(variables: PyTree) -> PyTree:
  """Variables by the names that Flax has for them."""
  found = {'params': variables['params']}
  if variables.get('statistics'):
    found['batch_stats'] = variables['statistics']
  return found


def moments(facts: Facts) -> tuple[PyTree, PyTree]:
  """The mean and the std of the inputs, with as many axes as a batch has."""
  mean, std = (
    jax.tree.map(_broadcast, facts.example, value)
    for value in (facts.mean, facts.std)
  )
  return mean, std


def _broadcast(one: jax.ShapeDtypeStruct, value: np.ndarray) -> np.ndarray:
  """float32 of a constant, with the axes of a batch of examples."""
  missing = 1 + len(one.shape) - np.ndim(value)
  return np.reshape(value, (1,) * missing + np.shape(value)).astype(np.float32)


def _check_inputs(inputs: PyTree, example: PyTree) -> None:
  """Raises for a batch of what the model was not built for."""
  found, built_for = named.arrays(inputs), named.arrays(example)
  if set(found) != set(built_for):
    raise ValueError(
      f'inputs are {list(found)}; the model was built for {list(built_for)}.'
    )
  for name, array in found.items():
    shape = tuple(built_for[name].shape)
    if array.shape[1:] != shape:
      raise ValueError(
        f'{named.what(name)} have shape {array.shape}; the model was built for'
        f' (B, {", ".join(map(str, shape))}).'
      )


def check_task(
  model: str, facts: Facts, *, takes_modalities: bool = False
) -> None:
  """Refuses a task or a form of inputs that a model is not for.

  Args:
    model: its name.
    facts: of the task.
    takes_modalities: inputs may be a dict of arrays; else one array.

  Raises:
    ValueError: with the task, or what the inputs are.
  """
  if facts.task != 'classification' or not facts.num_classes:
    raise ValueError(
      f'model {model!r} does classification with a known number of classes;'
      f' the task is {facts.task!r} with num_classes={facts.num_classes}.'
    )
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
