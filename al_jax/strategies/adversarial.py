"""Asks about what a critic takes for unlabelled.

Sinha et al. 2019, "Variational Adversarial Active Learning", where labelled
examples are 1 and the smallest outputs are queried; Zhang et al. 2020,
"State-Relabeling Adversarial Active Learning", where they are 0 and the largest
are.
"""

from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.scored import scored

_OUTPUT = 'unlabelled'
_NEEDS = {
  needs.EXTRAS + _OUTPUT: (
    'a learner with a critic adds it, as in the systems vaal and sraal'
  )
}


def adversarial() -> Strategy:
  """The logit of a critic that an example has no label; larger is asked first.

  Returns:
    A Strategy that measures logits [N].
  """
  return scored(_measure, needs=_NEEDS, score="critic's logit of no label")


def _measure(key, apply, batch):
  del key
  return apply(batch.inputs).extras[_OUTPUT]
