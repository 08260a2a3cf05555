"""How to train, by name."""

from al_jax.learners.supervised import supervised

LEARNERS = {'supervised': supervised}

__all__ = ['LEARNERS', 'supervised']
