"""How to train, by name."""

from al_jax.learners.ceal import ceal, room_for_all, self_training
from al_jax.learners.joint import joint
from al_jax.learners.label_propagation import label_propagation
from al_jax.learners.supervised import supervised

LEARNERS = {
  'supervised': supervised,
  'joint': joint,
  'label_propagation': label_propagation,
  'ceal': ceal,
}

__all__ = [
  'LEARNERS',
  'ceal',
  'joint',
  'label_propagation',
  'room_for_all',
  'self_training',
  'supervised',
]
