"""What to ask, by name."""

from al_jax.strategies.random import random
from al_jax.strategies.subset import subset
from al_jax.strategies.uncertainty import entropy, least_confidence, margin

# A name -> a function of keywords that returns a Strategy.
STRATEGIES = {
  'random': random,
  'least_confidence': least_confidence,
  'margin': margin,
  'entropy': entropy,
}

__all__ = [
  'STRATEGIES',
  'entropy',
  'least_confidence',
  'margin',
  'random',
  'subset',
]
