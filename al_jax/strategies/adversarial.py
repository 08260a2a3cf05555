"""Asks about what a critic takes for unlabelled.

Sinha et al. 2019, "Variational Adversarial Active Learning", where labelled
examples are 1 and the smallest outputs are queried; Zhang et al. 2020,
"State-Relabeling Adversarial Active Learning", where they are 0 and the largest
are.
"""

from al_jax.interfaces import Strategy
from al_jax.strategies.scored import of_output


def adversarial() -> Strategy:
  """The logit of a critic that an example has no label; larger is asked first.

  Returns:
    A Strategy that measures logits [N].
  """
  return of_output(
    'unlabelled',
    reason='a learner with a critic adds it, as in the systems vaal and sraal',
    score="critic's logit of no label",
  )
