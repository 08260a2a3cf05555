"""Asks about the examples whose loss is predicted to be the largest.

Yoo and Kweon 2019, "Learning Loss for Active Learning", section 3.1. The paper
draws a random part of the pool first, which is `subset_size` of a system.
"""

from al_jax.interfaces import Strategy
from al_jax.strategies.scored import of_output


def learning_loss() -> Strategy:
  """The loss that a module beside the network predicts.

  Returns:
    A Strategy that measures predicted losses [N], of no known unit.
  """
  return of_output(
    'predicted_loss',
    reason='a learner that predicts losses adds it, as in the system '
    'learning_loss',
    score='predicted loss',
  )
