"""Queries the examples with the largest predicted loss.

Yoo and Kweon 2019, "Learning Loss for Active Learning", section 3.1. The paper
first draws a random part of the pool; for that set a system's `subset_size`.
"""

from al_jax.interfaces import Strategy
from al_jax.strategies.scored import of_output


def learning_loss() -> Strategy:
  """Queries the largest losses, as predicted by a module beside the network.

  Returns:
    A Strategy that measures predicted losses [N], in no known unit.
  """
  return of_output(
    'predicted_loss',
    reason='a learner that predicts losses adds it, as in the system '
    'learning_loss',
    score='predicted loss',
  )
