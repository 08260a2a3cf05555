"""Pretrains a variational autoencoder whose latents spread the first set."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import ModelFns, ModelOutput
from al_jax.learners import one_network, pretraining
from al_jax.learners.pretraining import WholePool
from al_jax.models import common, generative
from al_jax.training import objectives


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Vae(WholePool):
  """Trains a variational autoencoder to choose the first set by its latents.

  Learners do not begin with its weights. `protocol.first_set` must be
  `'k_center'`, which spreads the first set in the means of the latents. The
  loss is that of the autoencoder in `learners.vaal`, without a critic.

  Zhang et al. 2020, "State-Relabeling Adversarial Active Learning", section 3:
  the initialisation of the labelled pool.

  Attributes:
    channels: channels of each convolution, see `models.generative.autoencoder`.
    latent: size of the latent.
    beta: weight of the KL divergence, at least 0.
  """

  channels: Sequence[int] = (32, 64, 128)
  latent: int = 32
  beta: float = 1.0

  def check(self):
    """See `Trains`."""
    generative.check("pretraining 'vae'", self.facts)
    errors.check_number('beta', self.beta, least=0)
    super().check()

  @functools.cached_property
  def net(self):
    """The autoencoder."""
    return generative.autoencoder(
      self.facts, channels=self.channels, latent=self.latent
    )

  @functools.cached_property
  def model(self):
    """The autoencoder; its predictions in training are its losses."""

    def train(variables, inputs, key, *, real=None):
      images = common.normalised(self.facts, inputs)
      noise = jax.random.normal(key, (len(images), self.latent))
      coded, statistics = self.net.apply(
        variables, images, noise, training=True, real=real
      )
      sq_errors = jnp.square(coded.reconstruction - images)
      divergence = objectives.gaussian_kl(coded.mean, coded.log_variance)
      losses = jnp.mean(sq_errors, axis=(1, 2, 3))
      losses += self.beta * divergence / self.facts.example.size
      return ModelOutput(losses, coded.mean, {}), statistics

    def apply(variables, inputs, *, key=None):
      del key
      latents = self.features(variables, inputs)
      return ModelOutput(latents, latents, {})

    return ModelFns(init=self.net.init, apply=apply, train=train)

  def keep(self, state):
    """See `WholePool`."""
    return state.network.variables

  def features(self, variables, inputs):
    """See `Pretraining`."""
    images = common.normalised(self.facts, inputs)
    coded, _ = self.net.apply(variables, images, jnp.zeros(()))
    return coded.mean


vae = one_network.factory(Vae, pretraining.bound)
