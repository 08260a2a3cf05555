"""A multi-layer perceptron on flattened inputs of any shape."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from al_jax import errors
from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import common

ACTIVATIONS = {'relu': nn.relu, 'sigmoid': nn.sigmoid}


class Mlp(nn.Module):
  """Dense layers, dropout after each, and a dense head.

  Attributes:
    num_classes: C.
    widths: units of each hidden layer.
    dropout: the share of hidden units that dropout drops.
    activation: of the hidden units, one of ACTIVATIONS.
  """

  num_classes: int
  widths: tuple[int, ...]
  dropout: float
  activation: str

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Normalised float32 [B, ...] to logits [B, C]."""
    hidden = inputs.reshape(inputs.shape[0], -1)
    extras, activate = {}, ACTIVATIONS[self.activation]
    for layer, width in enumerate(self.widths, start=1):
      hidden = activate(nn.Dense(width, name=f'hidden_{layer}')(hidden))
      extras[f'hidden_{layer}'] = hidden
      hidden = common.dropout(hidden, self.dropout, how)
    logits = nn.Dense(self.num_classes, name='head')(hidden)
    return ModelOutput(logits, hidden, extras)


def mlp(
  facts: Facts,
  *,
  widths: Sequence[int] = (256, 256),
  dropout: float = 0.0,
  activation: str = 'relu',
) -> nn.Module:
  """An MLP.

  Args:
    facts: of the task; inputs of any shape.
    widths: units of each hidden layer; `()` is a linear model.
    dropout: the share of units dropped after each hidden layer.
    activation: of the hidden units: `'relu'`, or `'sigmoid'` as in networks
      made of Boltzmann machines.

  Returns:
    The module. Extras: `hidden_1`, `hidden_2`, ... [B, width], before dropout.
  """
  common.check_widths('widths', widths)
  common.check_rate('dropout', dropout)
  errors.check_name('activation', activation, ACTIVATIONS)
  return Mlp(facts.num_classes, tuple(widths), dropout, activation)
