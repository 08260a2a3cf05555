"""VAAL: trains a network, then a VAE and a critic of labelled images."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from al_jax import errors
from al_jax.learners import one_network
from al_jax.learners.adversarial import TwoPhases
from al_jax.models import generative
from al_jax.training import adversarial, networks
from al_jax.training.adversarial import Players

_ADAM = {'name': 'adam', 'learning_rate': 5e-4}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Vaal(TwoPhases):
  """Trains a network as `supervised` does, then a VAE and a critic.

  A variational autoencoder (VAE) learns to reconstruct labelled and unlabelled
  examples, and a critic learns to tell them apart by the means of their
  latents. With R the squared error of a reconstruction, and D(x) the critic's
  probability that x has no label, steps minimise in turn

    VAE:     w_r (R + beta KL) + w_a (BCE(D(x_L), s) + BCE(D(x_U), s)),
    critic:  BCE(D(x_L), 0) + BCE(D(x_U), 1).

  Each term is a mean over labelled examples x_L or over unlabelled ones x_U.
  With s = 0 the VAE makes both look labelled to the critic. Examples that still
  look unlabelled are queried.

  Sinha et al. 2019, "Variational Adversarial Active Learning". The paper and
  its code train all networks side by side. The task shares no weights with the
  VAE, so training one after the other is equivalent, and the task's network is
  bit-identical to that of `supervised`.

  Outputs have `extras['unlabelled']`, the logit of D. `Progress.metrics` adds
  to those of `supervised`, over the last whole pass over the unlabelled
  examples: `reconstruction`, the squared error per value; `kl` in nats;
  `active_latents`, the number of latents that vary between examples;
  `adversarial_loss`, `critic_loss`, and `critic_accuracy`.

  The published lengths and networks, for a GPU, are in `configs/vaal.py`.

  Attributes:
    iterations: number of critic steps in a round.
    vae_steps: number of VAE steps before each critic step. Each has its own
      batch, and the critic takes the last one.
    pair_size: number of labelled examples per batch; the batch has the same
      number of unlabelled ones.
    vae: keyword arguments of `models.generative.autoencoder`.
    critic: keyword arguments of `models.generative.critic`.
    vae_optimizer: keyword arguments of `training.optimizers.build`, for the
      VAE.
    critic_optimizer: keyword arguments of `training.optimizers.build`, for the
      critic.
    beta: weight of the KL divergence, at least 0.
    kl_scale: scaling of R and KL. `'elbo'`: both are sums over an example,
      divided by the number of its values. The others follow published code: R
      is a mean over values, and KL is the sum over an example (`'example'`,
      SRAAL's code) or over the whole batch (`'batch'`, VAAL's code).
    reconstruction_weight: w_r, at least 0.
    adversarial_weight: w_a, at least 0.
    adversarial_state: s, from 0 (labelled) to 1 (unlabelled).
  """

  vae: Mapping[str, Any] | None = None
  critic: Mapping[str, Any] | None = None
  vae_optimizer: Mapping[str, Any] | None = None
  critic_optimizer: Mapping[str, Any] | None = None
  beta: float = 1.0
  kl_scale: str = 'elbo'
  reconstruction_weight: float = 1.0
  adversarial_weight: float = 1.0
  adversarial_state: float = 0.0

  name: ClassVar[str] = "learner 'vaal'"
  predicts_targets: ClassVar[bool] = False
  vae_defaults: ClassVar[Mapping[str, Any]] = {}
  critic_defaults: ClassVar[Mapping[str, Any]] = {}

  def check(self):
    """See `OneNetwork`."""
    generative.check(self.name, self.facts)
    for name in ('vae_optimizer', 'critic_optimizer'):
      if getattr(self, name) is not None:
        errors.check_mapping(name, getattr(self, name))
    errors.check_name('kl_scale', self.kl_scale, adversarial.KL_SCALES)
    for name in ('beta', 'reconstruction_weight', 'adversarial_weight'):
      errors.check_number(name, getattr(self, name), least=0)
    errors.check_number(
      'adversarial_state', self.adversarial_state, least=0, most=1
    )
    target_size = self.players.target_latent
    if target_size and not self.predicts_targets:
      raise ValueError(
        f'vae.target_latent is {target_size}, but {self.name} predicts no '
        "targets from a latent: leave it out, or use learner 'sraal'."
      )
    super().check()

  @functools.cached_property
  def players(self) -> Players:
    """The VAE and the critic, with their optimizers."""
    autoencoder = errors.made_of(
      'vae',
      self.vae,
      functools.partial(
        generative.autoencoder, self.facts, **self.vae_defaults
      ),
    )
    latents = self._latents
    critic = errors.made_of(
      'critic',
      self.critic,
      functools.partial(
        generative.critic, sum(latents), **self.critic_defaults
      ),
    )
    moves = tuple(
      networks.trainer(
        net.init,
        optimizer={**_ADAM, **(given or {})},
        weights=self.weights,
      )
      for net, given in (
        (autoencoder, self.vae_optimizer),
        (critic, self.critic_optimizer),
      )
    )
    weights = adversarial.Weights(
      reconstruction=self.reconstruction_weight,
      beta=self.beta,
      kl_scale=self.kl_scale,
      adversarial=self.adversarial_weight,
      state=self.adversarial_state,
    )
    return Players(self.facts, autoencoder, critic, moves, weights, *latents)

  @property
  def _latents(self):
    """Sizes of the latent for images and of that for targets."""
    given = inspect.signature(generative.autoencoder).parameters
    options = {**self.vae_defaults, **(self.vae or {})}
    return tuple(
      options.get(name, given[name].default)
      for name in ('latent', 'target_latent')
    )


vaal = one_network.factory(Vaal)
