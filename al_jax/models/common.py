"""Makes pure functions of Flax modules: normalisation, dropout, statistics.

A model here is called as `module(inputs, how)` with normalised float32 inputs,
one array or a dict of modalities, and a `Pass`. It returns a `ModelOutput`, and
its last dense layers are `heads`. Other networks may take and return anything,
see `net_fns`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from al_jax.data import named
from al_jax.interfaces import Facts, ModelFns, ModelOutput, NetFns, PyTree
from al_jax.models import checks

# PyTorch's default: its momentum 0.1 is the weight of the new value.
_STATISTICS_MOMENTUM = 0.9
# Lower bound on squared lengths, against division by 0 and unbounded gradients.
_LEAST_SQ_LENGTH = 1e-12


class Pass(NamedTuple):
  """Kind of pass through a network.

  Attributes:
    training: whether BatchNorm normalises by the batch and updates its
      statistics, and dropout draws a mask per example instead of one for the
      batch.
    dropout: whether dropout is active.
    real: bool[B], False in padding rows. If None, every row is real.
  """

  training: bool
  dropout: bool
  real: jax.Array | None = None


EVALUATION = Pass(training=False, dropout=False)
# Number of outputs per example, by name if the task has several parts.
Outputs = int | Mapping[str, int]
_HEAD = 'head'


def heads(
  outputs: Outputs,
  embedding: jax.Array,
  layer: Callable[..., nn.Module] = nn.Dense,
  **options: Any,
) -> PyTree:
  """Makes the last layers of a model; call it inside a compact module.

  Args:
    outputs: see `Task.outputs`.
    embedding: float32[B, D].
    layer: `layer(size, name=, **options)` makes a dense layer.
    **options: options of the layer.

  Returns:
    Predictions of the layer `head`; or, by part, of the layers `head_NAME`.
  """
  if isinstance(outputs, int):
    return layer(outputs, name=_HEAD, **options)(embedding)
  return {
    part: layer(size, name=f'{_HEAD}_{part}', **options)(embedding)
    for part, size in outputs.items()
  }


def is_head(name: str) -> bool:
  """Tells whether a layer's name is that of a head."""
  return name == _HEAD or name.startswith(f'{_HEAD}_')


def dropout(inputs: jax.Array, rate: float, how: Pass) -> jax.Array:
  """Applies dropout; call it inside a compact module."""
  layer = nn.Dropout(rate, broadcast_dims=() if how.training else (0,))
  return layer(inputs, deterministic=not how.dropout)


def normalise(
  inputs: jax.Array, norm: str, how: Pass, **options: Any
) -> jax.Array:
  """Applies a normalisation layer; call it inside a compact module.

  Args:
    inputs: [B, ..., channels].
    norm: `'batch'`, `'group'`, or `'none'`.
    how: kind of pass.
    **options: options of `nn.BatchNorm`.

  Returns:
    The inputs, normalised.
  """
  if norm == 'batch':
    mask = None
    if how.training and how.real is not None:
      mask = how.real.reshape((-1,) + (1,) * (inputs.ndim - 1))
    layer = nn.BatchNorm(
      use_running_average=not how.training,
      momentum=_STATISTICS_MOMENTUM,
      **options,
    )
    return layer(inputs, mask=mask)
  if norm == 'group':
    return nn.GroupNorm(num_groups=None, group_size=checks.GROUP_SIZE)(inputs)
  return inputs


def unit(vectors: jax.Array, axes: Sequence[int]) -> jax.Array:
  """Scales vectors to length 1; zero vectors stay zero.

  Args:
    vectors: float32 of any shape.
    axes: axes of one vector.

  Returns:
    float32 of the same shape.
  """
  sq_lengths = jnp.sum(jnp.square(vectors), axis=axes, keepdims=True)
  return vectors * jax.lax.rsqrt(jnp.maximum(sq_lengths, _LEAST_SQ_LENGTH))


def model_fns(module: nn.Module, facts: Facts) -> ModelFns:
  """Makes ModelFns of a module.

  Args:
    module: model that is called as the docstring of this file describes.
    facts: facts of the task; its `mean` and `std` normalise the raw inputs.

  Returns:
    The ModelFns. Without BatchNorm the variables have no `'statistics'`, and
    `train` returns `{}` for them.
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
    return _variables(module.lazy_init(key, inputs, EVALUATION))

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
    def arguments(rows):
      how = Pass(training=True, dropout=True, real=rows)
      return (standardise(inputs), how), {}

    return _in_training(module, variables, key, real, arguments)

  return ModelFns(init=init, apply=apply, train=train)


def net_fns(module: nn.Module, *example_args: PyTree) -> NetFns:
  """Makes pure functions of an encoder, a decoder or a critic.

  Args:
    module: network called as `module(*inputs)`. If its `__call__` has an
      argument `how`, it also gets a `Pass`, which controls dropout and
      BatchNorm.
    *example_args: inputs as pytrees of `jax.ShapeDtypeStruct`, with a batch
      axis of any size.

  Returns:
    The NetFns. They pass inputs on without normalising them.
  """
  takes_how = 'how' in inspect.signature(module.__call__).parameters

  def how_of(training, key, rows=None):
    how = Pass(training=training, dropout=key is not None, real=rows)
    return {'how': how} if takes_how else {}

  def init(key: jax.Array) -> PyTree:
    made = module.lazy_init(key, *example_args, **how_of(False, None))
    return _variables(made)

  def apply(
    variables: PyTree,
    *inputs: PyTree,
    key: jax.Array | None = None,
    training: bool = False,
    real: jax.Array | None = None,
  ) -> tuple[PyTree, PyTree]:
    if training:
      return _in_training(
        module,
        variables,
        key,
        real,
        lambda rows: (inputs, how_of(True, key, rows)),
      )
    outputs = module.apply(
      _collections(variables),
      *inputs,
      **how_of(False, key),
      rngs=None if key is None else {'dropout': key},
    )
    return outputs, variables.get('statistics') or {}

  return NetFns(init=init, apply=apply)


def few_rows(facts: Facts) -> PyTree:
  """Returns the shapes of a batch of two examples, for tracing a model."""
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype),
    facts.example,
  )


def _variables(made: PyTree) -> PyTree:
  """Renames Flax's collections to the library's variables."""
  variables = {'params': made.get('params', {})}
  if 'batch_stats' in made:
    variables['statistics'] = made['batch_stats']
  return variables


def _in_training(
  module: nn.Module,
  variables: PyTree,
  key: jax.Array | None,
  real: jax.Array | None,
  arguments: Callable[[jax.Array | None], tuple[tuple, dict[str, Any]]],
) -> tuple[PyTree, PyTree]:
  """Applies a module to a batch and updates its statistics.

  Args:
    module: Flax module.
    variables: variables of the module.
    key: key of dropout. If None, there is no dropout.
    real: bool[B], False in padding rows. If None, every row is real.
    arguments: function from the mask of rows that count in statistics to the
      arguments of the module.

  Returns:
    The module's result and the new statistics, `{}` if it has none.
  """
  old = variables.get('statistics') or {}
  some_real = True if real is None else jnp.any(real)
  # Without a real row the mean would be 0 / 0: normalise by the padding and
  # discard its statistics below.
  rows = None if real is None else real | ~some_real
  positional, named_ones = arguments(rows)
  outputs, changed = module.apply(
    _collections(variables),
    *positional,
    **named_ones,
    rngs=None if key is None else {'dropout': key},
    mutable=['batch_stats'],
  )
  statistics = jax.tree.map(
    lambda new, before: jnp.where(some_real, new, before),
    changed.get('batch_stats', {}),
    old,
  )
  return outputs, statistics


def _collections(variables: PyTree) -> PyTree:
  """Renames the library's variables to Flax's collections."""
  found = {'params': variables['params']}
  if variables.get('statistics'):
    found['batch_stats'] = variables['statistics']
  return found


def moments(facts: Facts) -> tuple[PyTree, PyTree]:
  """Returns the mean and the std of the inputs, with the axes of a batch."""
  mean, std = (
    jax.tree.map(_broadcast, facts.example, value)
    for value in (facts.mean, facts.std)
  )
  return mean, std


def normalised(facts: Facts, images: jax.Array) -> jax.Array:
  """Normalises raw images [B, ...] as networks expect them."""
  mean, std = moments(facts)
  return (images.astype(jnp.float32) - mean) / std


def limits(facts: Facts) -> tuple[np.ndarray, np.ndarray] | None:
  """Returns the least and the largest value of a normalised input.

  Args:
    facts: facts of the task; examples are one array.

  Returns:
    Two float32 arrays that broadcast against a batch; None unless raw inputs
    are uint8.
  """
  if facts.example.dtype != jnp.uint8:
    return None
  mean, std = moments(facts)
  return (0 - mean) / std, (255 - mean) / std


def unnormalised(facts: Facts, images: jax.Array) -> jax.Array:
  """Returns normalised images [B, ...] in raw units."""
  mean, std = moments(facts)
  return images * std + mean


def as_raw(facts: Facts, images: jax.Array) -> jax.Array:
  """Converts images float32[B, ...] in raw units to the raw dtype."""
  if facts.example.dtype == jnp.uint8:
    images = jnp.clip(jnp.round(images), 0, 255)
  return images.astype(facts.example.dtype)


def _broadcast(one: jax.ShapeDtypeStruct, value: np.ndarray) -> np.ndarray:
  """Returns a constant as float32 with the axes of a batch."""
  missing = 1 + len(one.shape) - np.ndim(value)
  return np.reshape(value, (1,) * missing + np.shape(value)).astype(np.float32)


def _check_inputs(inputs: PyTree, example: PyTree) -> None:
  """Raises for inputs of other names or shapes than the model was built for."""
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
