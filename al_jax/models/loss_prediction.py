"""A small module beside a model that predicts the loss of each example.

Yoo and Kweon 2019, "Learning Loss for Active Learning", section 3.2. The module
reads the model's intermediate maps, which any model may put in its `extras`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import Facts, ModelFns, ModelOutput, NetFns, PyTree
from al_jax.models import common

# The output that strategies read.
PREDICTED_LOSS = 'predicted_loss'
# Name of the embedding among the maps.
_EMBEDDING = 'embedding'
# The two kinds of parameters.
_MODEL, _MODULE = 'model', 'loss_prediction'


class LossPrediction(nn.Module):
  """Dense layers with ReLU for each map, and one dense layer over all of them.

  Attributes:
    width: units of each layer.
    depth: layers for each map.
  """

  width: int
  depth: int

  @nn.compact
  def __call__(self, means: Mapping[str, jax.Array]) -> jax.Array:
    """Maps float32 [B, K] by name to a loss for each example, [B]."""
    found = []
    for name in sorted(means):
      hidden = means[name]
      for layer in range(1, self.depth + 1):
        hidden = nn.relu(nn.Dense(self.width, name=f'{name}_{layer}')(hidden))
      found.append(hidden)
    return nn.Dense(1, name='loss')(jnp.concatenate(found, axis=-1))[:, 0]


class LossPredicting(NamedTuple):
  """A model with a module that predicts its losses, see `loss_predicting`.

  Its variables are the model's, with `params` in two groups, see `divided`. It
  evaluates and trains as ModelFns do. The output has
  `extras['predicted_loss']`, float32[B], without a unit or a meaningful sign:
  it only ranks losses.

  Attributes:
    model: the model.
    net: the loss prediction module.
    maps: names of the maps that the module reads.
  """

  model: ModelFns
  net: NetFns
  maps: tuple[str, ...]

  def init(self, key: jax.Array) -> PyTree:
    """See `interfaces.ModelFns`; the model starts as it would on its own."""
    variables = self.model.init(key)
    module = self.net.init(jax.random.fold_in(key, 1))
    params = {_MODEL: variables['params'], _MODULE: module['params']}
    return {**variables, 'params': params}

  def apply(
    self, variables: PyTree, inputs: PyTree, *, key: jax.Array | None = None
  ) -> ModelOutput:
    """See `interfaces.ModelFns`."""
    of_model, of_module = divided(variables)
    output = self.model.apply(of_model, inputs, key=key)
    return self._with_loss(of_module, output, detached=False)

  def train(
    self,
    variables: PyTree,
    inputs: PyTree,
    key: jax.Array,
    *,
    real: jax.Array | None = None,
    detached: jax.Array | bool = False,
  ) -> tuple[ModelOutput, PyTree]:
    """See `interfaces.ModelFns`.

    Args:
      variables: variables of the model and the module.
      inputs: pytree of [B, ...], raw.
      key: key of dropout.
      real: bool[B], False in padding rows. If None, all rows are real.
      detached: whether the module's gradients are kept from the model.

    Returns:
      The ModelOutput and the new statistics of the model.
    """
    of_model, of_module = divided(variables)
    output, statistics = self.model.train(of_model, inputs, key, real=real)
    return self._with_loss(of_module, output, detached=detached), statistics

  def _with_loss(self, of_module, output, *, detached):
    means = _means(output, self.maps)
    if detached is not False:
      means = {
        name: jnp.where(detached, jax.lax.stop_gradient(mean), mean)
        for name, mean in means.items()
      }
    predicted, _ = self.net.apply(of_module, means)
    errors.check_free('a loss prediction', PREDICTED_LOSS, output.extras)
    extras = {**output.extras, PREDICTED_LOSS: predicted}
    return output._replace(extras=extras)


def loss_predicting(
  model: ModelFns,
  facts: Facts,
  *,
  maps: Sequence[str] | None = None,
  width: int = 128,
  depth: int = 1,
) -> LossPredicting:
  """Adds a loss prediction module to a model.

  Each map is averaged over its pixels and passed through `depth` dense layers
  with ReLU. A last dense layer over all results predicts the loss.

  Args:
    model: model with intermediate maps in its extras.
    facts: facts of the task.
    maps: names of extras; `'embedding'` may be among them. If None, all extras
      of float32[B, ..., K].
    width: units of each dense layer.
    depth: dense layers for each map, at least 1.

  Returns:
    The LossPredicting.

  Raises:
    ValueError: If the model lacks a map or has none, or a number is out of
      range.
  """
  errors.check_number('width', width, int, least=1)
  errors.check_number('depth', depth, int, least=1)
  variables = jax.eval_shape(model.init, jax.random.key(0))
  output = jax.eval_shape(model.apply, variables, common.few_rows(facts))
  maps = _chosen(output, maps)
  means = jax.eval_shape(lambda output: _means(output, maps), output)
  module = LossPrediction(width, depth)
  return LossPredicting(model, common.net_fns(module, means), maps)


def divided(variables: PyTree) -> tuple[PyTree, PyTree]:
  """Divides variables of LossPredicting into the model's and the module's."""
  params = variables['params']
  return {**variables, 'params': params[_MODEL]}, {'params': params[_MODULE]}


def _chosen(output, maps):
  """Checks and returns the names of the maps."""
  extras = output.extras
  known = sorted(name for name in extras if _is_map(extras[name]))
  if maps is None:
    if not known:
      raise ValueError(
        f'maps is None, and the model has {_described(extras)}: losses are '
        'predicted from extras of float32[B, ..., K]. Have the model return '
        'ModelOutput(predictions, embedding, extras), or set the option maps '
        "of the learner to ('embedding',)."
      )
    return tuple(known)
  if output.embedding is not None:
    known.append(_EMBEDDING)
  if isinstance(maps, str) or not isinstance(maps, Sequence) or not maps:
    raise ValueError(
      f'maps is {maps!r}; it must be a list of one or more of: '
      f'{", ".join(known)}.'
    )
  for name in maps:
    if name in extras and name not in known:
      raise ValueError(
        f'maps has {name!r}, and the model has {_described(extras)}; a map is '
        'float32[B, ..., K].'
      )
    errors.check_name('maps: the map', name, known)
  return tuple(sorted(set(maps)))


def _is_map(leaf):
  return leaf.dtype == jnp.float32 and leaf.ndim >= 2 and leaf.size > 0


def _described(extras):
  """Describes the extras of a model with dtypes and shapes, for a message."""
  found = [
    f'{name} {leaf.dtype}{list(leaf.shape)}'
    for name, leaf in sorted(extras.items())
  ]
  return f'the extras {", ".join(found)}' if found else 'no extras'


def _means(output, maps):
  """Averages each map over its pixels: float32[B, K] by name."""
  found = {}
  for name in maps:
    leaf = output.extras.get(name, output.embedding)
    found[name] = jnp.mean(leaf, axis=tuple(range(1, leaf.ndim - 1)))
  return found
