"""Autoencoders, generators and critics of images."""

from al_jax.models.generative.acgan import Makers, acgan
from al_jax.models.generative.autoencoder import Coded, autoencoder, check
from al_jax.models.generative.critic import critic

__all__ = ['Coded', 'Makers', 'acgan', 'autoencoder', 'check', 'critic']
