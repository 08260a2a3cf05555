"""Asks about the examples whose loss is predicted to be the largest.

Yoo and Kweon 2019, "Learning Loss for Active Learning", section 3.1. The paper
draws a random part of the pool first, which is `subset_size` of a system.
"""

from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.scored import scored

_OUTPUT = 'predicted_loss'
_NEEDS = {
  needs.EXTRAS + _OUTPUT: (
    'a learner that predicts losses adds it, as in the system learning_loss'
  )
}


def learning_loss() -> Strategy:
  """The loss that a module beside the network predicts.

  Returns:
    A Strategy that measures predicted losses [N], of no known unit.
  """
  return scored(_measure, needs=_NEEDS, score='predicted loss')


def _measure(key, apply, batch):
  del key
  return apply(batch.inputs).extras[_OUTPUT]
