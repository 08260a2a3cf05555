"""Queries the examples that a critic judges most likely to be unlabelled.

Sinha et al. 2019, "Variational Adversarial Active Learning", labels labelled
examples 1 and queries the smallest outputs. Zhang et al. 2020,
"State-Relabeling Adversarial Active Learning", labels them 0 and queries the
largest.
"""

from al_jax.interfaces import Strategy
from al_jax.strategies.scored import of_output


def adversarial() -> Strategy:
  """Queries the examples for which a critic's logit of "no label" is largest.

  Returns:
    A Strategy that measures logits [N].
  """
  return of_output(
    'unlabelled',
    reason='a learner with a critic adds it, as in the systems vaal and sraal',
    score="critic's logit of no label",
  )
