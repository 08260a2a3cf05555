"""A multi-layer perceptron on flattened inputs of any shape."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import common


class Mlp(nn.Module):
  """Dense layers with ReLU, dropout after each, and a dense head.

  Attributes:
    num_classes: C.
    widths: units of each hidden layer.
    dropout: the share of hidden units that dropout drops.
  """

  num_classes: int
  widths: tuple[int, ...]
  dropout: float

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> ModelOutput:
    """Normalised float32 [B, ...] to logits [B, C]."""
    hidden = inputs.reshape(inputs.shape[0], -1)
    extras = {}
    for layer, width in enumerate(self.widths, start=1):
      hidden = nn.relu(nn.Dense(width, name=f'hidden_{layer}')(hidden))
      extras[f'hidden_{layer}'] = hidden
      hidden = common.dropout(hidden, self.dropout, how)
    logits = nn.Dense(self.num_classes, name='head')(hidden)
    return ModelOutput(logits, hidden, extras)


def mlp(
  facts: Facts, *, widths: Sequence[int] = (256, 256), dropout: float = 0.0
) -> nn.Module:
  """An MLP.

  Args:
    facts: of the task; inputs of any shape.
    widths: units of each hidden layer; `()` is a linear model.
    dropout: the share of units dropped after each hidden layer.

  Returns:
    The module. Extras: `hidden_1`, `hidden_2`, ... [B, width], before dropout.
  """
  common.check_widths('widths', widths)
  common.check_rate('dropout', dropout)
  return Mlp(facts.num_classes, tuple(widths), dropout)
