"""A multi-layer perceptron on flattened inputs of any shape."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from al_jax import errors
from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common

ACTIVATIONS = {'relu': nn.relu, 'sigmoid': nn.sigmoid}
INITS = ('lecun_normal', 'torch')


class Mlp(nn.Module):
  """Dense layers, dropout after each, and a dense head.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    widths: units of each hidden layer.
    dropout: share of hidden units that dropout drops.
    activation: activation of the hidden units, one of ACTIVATIONS.
    norm: normalisation before the activation, `'none'` or `'batch'`.
    unit_embedding: whether the input of the head is scaled to length 1.
    initializer: initializer of the weights, one of INITS.
    head_bias: whether the head has a bias.
  """

  outputs: common.Outputs
  widths: tuple[int, ...]
  dropout: float
  activation: str
  norm: str
  unit_embedding: bool
  initializer: str
  head_bias: bool

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Maps normalised float32 [B, ...] to predictions."""
    hidden = inputs.reshape(inputs.shape[0], -1)
    extras, activate = {}, ACTIVATIONS[self.activation]
    for layer, width in enumerate(self.widths, start=1):
      begun = self._begun(hidden)
      hidden = nn.Dense(width, name=f'hidden_{layer}', **begun)(hidden)
      hidden = activate(common.normalise(hidden, self.norm, how))
      extras[f'hidden_{layer}'] = hidden
      hidden = common.dropout(hidden, self.dropout, how)
    if self.unit_embedding:
      hidden = common.unit(hidden, axes=(1,))
    predictions = common.heads(
      self.outputs,
      hidden,
      use_bias=self.head_bias,
      **self._begun(hidden),
    )
    return ModelOutput(predictions, hidden, extras)

  def _begun(self, inputs):
    """Returns the initializers of a layer as options of nn.Dense."""
    if self.initializer == 'lecun_normal':
      return {}  # the defaults of nn.Dense
    bound = inputs.shape[-1] ** -0.5

    def uniform(key, shape, dtype):
      return jax.random.uniform(key, shape, dtype, -bound, bound)

    return {'kernel_init': uniform, 'bias_init': uniform}


def mlp(
  facts: Facts,
  *,
  widths: Sequence[int] = (256, 256),
  dropout: float = 0.0,
  activation: str = 'relu',
  norm: str = 'none',
  unit_embedding: bool = False,
  init: str = 'lecun_normal',
  head_bias: bool = True,
) -> nn.Module:
  """Builds an MLP.

  Args:
    facts: facts of the task; inputs of any shape.
    widths: units of each hidden layer; `()` is a linear model.
    dropout: share of units dropped after each hidden layer.
    activation: activation of the hidden units: `'relu'`, or `'sigmoid'` as in
      networks made of Boltzmann machines.
    norm: normalisation before the activation: `'none'` or `'batch'`.
    unit_embedding: whether to scale the input of the head to length 1, so that
      the head's weights alone bound the logits; for label propagation and
      DeepCluster, which compare directions.
    init: initialisation: `'lecun_normal'`, with biases of 0; or `'torch'`,
      where weights and biases of a layer with D inputs are uniform within
      +-1 / sqrt(D), as in `torch.nn.Linear`.
    head_bias: whether the head has a bias.

  Returns:
    The module. Extras: `hidden_1`, `hidden_2`, ... [B, width], before dropout.
  """
  checks.check_widths('widths', widths)
  checks.check_rate('dropout', dropout)
  errors.check_name('activation', activation, ACTIVATIONS)
  checks.check_norm(norm, ('none', 'batch'))
  errors.check_flag('unit_embedding', unit_embedding)
  errors.check_name('init', init, INITS)
  errors.check_flag('head_bias', head_bias)
  return Mlp(
    facts.task.outputs,
    tuple(widths),
    dropout,
    activation,
    norm,
    unit_embedding,
    init,
    head_bias,
  )
