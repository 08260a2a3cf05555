"""BADGE: queries a batch with large and diverse gradients.

Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain Gradient
Lower Bounds". The gradient of the last layer, as if the predicted label were
true, is long where the network is unsure. k-means++ seeding draws long
gradients that are far from each other.
"""

import functools

from al_jax import errors, kernels
from al_jax.interfaces import Strategy
from al_jax.strategies import diverse, needs
from al_jax.strategies.scored import stateless

_CLASSES = {
  needs.CLASSES: (
    'it compares gradients of the loss as if the likeliest class were true'
  )
}


def badge(*, embedding: str = 'head', first: str = 'uniform') -> Strategy:
  """Draws a batch by k-means++ seeding over factored gradient embeddings.

  Args:
    embedding: `'head'`, gradients of the last layer, as in the paper; or
      `'gradient'`, the model's output of that name, which sketches the
      gradients of all weights.
    first: choice of the first query: `'uniform'` as in the paper (algorithm 2),
      or `'max_norm'`, the longest gradient, as in the authors' code.

  Returns:
    A Strategy that measures Factors, residuals [N, C] and embeddings [N, D]; or
    sketches [N, m].
  """
  choices = {
    'head': (_of_head, {needs.EMBEDDING: ''}),
    diverse.GRADIENT: (diverse.gradient, diverse.NEEDS_GRADIENT),
  }
  errors.check_name('embedding', embedding, choices)
  diverse.check_first(first)
  measure, needed = choices[embedding]
  return Strategy(
    stateless,
    measure,
    functools.partial(diverse.seed, first=first),
    needs={**_CLASSES, **needed},
    score='squared distance of gradients to the nearest earlier pick',
    takes_tiles=True,
    takes_sharded=True,
  )


def _of_head(key, apply, batch):
  del key
  output = apply(batch.inputs)
  return kernels.gradient_factors(output.predictions, output.embedding)
