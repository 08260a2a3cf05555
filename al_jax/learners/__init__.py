"""How to train, by name."""

from al_jax.learners.autoencoder import denoising_autoencoder
from al_jax.learners.beyond_pool import beyond_pool
from al_jax.learners.boltzmann import boltzmann_stack
from al_jax.learners.ceal import ceal, room_for_all, self_training
from al_jax.learners.deep_cluster import deep_cluster
from al_jax.learners.joint import joint
from al_jax.learners.label_propagation import label_propagation
from al_jax.learners.supervised import supervised

LEARNERS = {
  'supervised': supervised,
  'joint': joint,
  'label_propagation': label_propagation,
  'ceal': ceal,
}

# What may be trained before the first label.
PRETRAINING = {
  'deep_cluster': deep_cluster,
  'denoising_autoencoder': denoising_autoencoder,
  'boltzmann_stack': boltzmann_stack,
}

__all__ = [
  'LEARNERS',
  'PRETRAINING',
  'beyond_pool',
  'boltzmann_stack',
  'ceal',
  'deep_cluster',
  'denoising_autoencoder',
  'joint',
  'label_propagation',
  'room_for_all',
  'self_training',
  'supervised',
]
