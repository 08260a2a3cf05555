"""Trains an autoencoder and a critic of its latents against each other."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from al_jax.interfaces import Batch, Facts, NetFns, PyTree
from al_jax.models import common
from al_jax.models.generative import Coded
from al_jax.training import course, networks, objectives, sheets
from al_jax.training.course import Mean
from al_jax.training.networks import Network

# Scalings of the two terms of an autoencoder's loss, see `Weights`.
KL_SCALES = ('elbo', 'example', 'batch')
# Least variance over examples of the mean of an active latent.
_ACTIVE = 0.01


@flax.struct.dataclass
class Both:
  """The two networks: an autoencoder, and a critic of its latents."""

  autoencoder: Network
  critic: Network


class Pair(NamedTuple):
  """A batch of labelled examples and a batch of unlabelled ones."""

  labelled: Batch
  others: Batch


@dataclasses.dataclass(frozen=True)
class Weights:
  """Weights of the terms of the autoencoder's loss.

  Attributes:
    reconstruction: weight of squared errors and KL divergence together.
    beta: weight of the KL divergence relative to the errors.
    kl_scale: `'elbo'`: both are sums over an example, divided by the number of
      its values. `'example'`, `'batch'`: errors are a mean over these values,
      and KL is a sum over an example, or over the whole batch.
    adversarial: weight of the cross-entropy between the critic and `state`.
    state: target for the critic's output; 0 is labelled, 1 unlabelled.
  """

  reconstruction: float
  beta: float
  kl_scale: str
  adversarial: float
  state: float


@dataclasses.dataclass(frozen=True, eq=False)
class Players:
  """The two networks, and the options that steps do not change.

  Attributes:
    facts: facts of the task.
    autoencoder: see `models.generative.autoencoder`.
    critic: see `models.generative.critic`.
    moves: trainers of the autoencoder and of the critic.
    weights: weights of the autoencoder's loss.
    latent: size of the latent that images are decoded from.
    target_latent: size of its second part, which predicts targets.
  """

  facts: Facts
  autoencoder: NetFns
  critic: NetFns
  moves: tuple[networks.Trainer, networks.Trainer]
  weights: Weights
  latent: int
  target_latent: int

  def first(self, key: jax.Array) -> Both:
    """Makes both networks before any round."""
    keys = jax.random.split(key)
    return Both(self.moves[0].first(keys[0]), self.moves[1].first(keys[1]))

  def begin(self, key: jax.Array, both: Both) -> Both:
    """Begins a round, see `networks.Trainer`."""
    keys = jax.random.split(key)
    return Both(
      self.moves[0].begin(keys[0], both.autoencoder),
      self.moves[1].begin(keys[1], both.critic),
    )

  def coded(self, variables: PyTree, inputs: jax.Array) -> Coded:
    """Encodes and decodes raw inputs in inference, by their mean latents."""
    images = common.normalised(self.facts, inputs)
    return self.autoencoder.apply(variables, images, jnp.zeros(()))[0]

  def criticised(self, variables: PyTree, latents: jax.Array) -> jax.Array:
    """Returns the critic's logits of having no label: float32[B]."""
    return self.critic.apply(variables, latents)[0]

  def finite(self, both: Both) -> dict[str, jax.Array]:
    """Tells whether the variables of each network are finite."""
    return {
      'autoencoder': networks.is_finite(both.autoencoder.variables),
      'critic': networks.is_finite(both.critic.variables),
    }

  def step_autoencoder(
    self,
    key: jax.Array,
    both: Both,
    pair: Pair,
    target_loss: Callable[[Coded], tuple[jax.Array, dict[str, Mean]]],
    share: jax.Array,
    count: jax.Array,
  ) -> tuple[Both, dict[str, Mean]]:
    """Takes a step of the autoencoder.

    Args:
      key: key of the noise of latents.
      both: the networks before the step.
      pair: the examples.
      target_loss: `(coded) -> (loss, seen)`, given the Coded of the labelled
        examples.
      share: share of the round that is over, in [0, 1).
      count: number of examples in an epoch.

    Returns:
      The networks after the step, and Means by name.
    """
    variables = both.autoencoder.variables
    keys = jax.random.split(key)

    def objective(params):
      statistics, found = variables.get('statistics') or {}, []
      # One after the other, since BatchNorm would mix them in a joint batch.
      for of, batch in zip(keys, pair, strict=True):
        images = common.normalised(self.facts, batch.inputs)
        size = self.latent + self.target_latent
        coded, statistics = self.autoencoder.apply(
          {**variables, 'params': params, 'statistics': statistics},
          images,
          jax.random.normal(of, (len(images), size)),
          training=True,
          real=batch.index >= 0,
        )
        sq_errors = jnp.square(coded.reconstruction - images)
        found.append((coded, jnp.mean(sq_errors, axis=(1, 2, 3))))
      loss, seen = target_loss(found[0][0])
      of_images, seen_of_images = self._loss(both.critic, found, pair)
      return loss + of_images, (statistics, {**seen, **seen_of_images})

    gradients, (statistics, seen) = jax.grad(objective, has_aux=True)(
      variables['params']
    )
    moved = self.moves[0].moved(
      both.autoencoder, gradients, statistics, share, count
    )
    return both.replace(autoencoder=moved), seen

  def _loss(self, critic, found, pair):
    """Computes the autoencoder's loss without targets, and Means by name.

    Args:
      critic: the critic, which does not change.
      found: `Coded` and mean squared errors [B] for each batch.
      pair: the examples.
    """
    weights, loss, seen = self.weights, jnp.zeros(()), {}
    sizes = (self.latent + self.target_latent, self.latent)
    for (coded, errors), size, batch in zip(found, sizes, pair, strict=True):
      real = batch.index >= 0
      divergence = objectives.gaussian_kl(
        coded.mean[:, :size], coded.log_variance[:, :size]
      )
      logits = self.criticised(critic.variables, coded.mean)
      fooled = objectives.binary_cross_entropy(logits, weights.state)
      scale = self._kl_scale(real)
      of_images = errors + weights.beta * scale * divergence
      loss += weights.reconstruction * objectives.masked_mean(of_images, real)
      loss += weights.adversarial * objectives.masked_mean(fooled, real)
      of_batch = {
        'reconstruction': course.mean_of(errors, real),
        'kl': course.mean_of(divergence, real),
        'adversarial_loss': course.mean_of(fooled, real),
        'latent': course.mean_of(coded.mean, real),
        'sq_latent': course.mean_of(jnp.square(coded.mean), real),
      }
      seen = jax.tree.map(jnp.add, seen, of_batch) if seen else of_batch
    return loss, seen

  def _kl_scale(self, real):
    if self.weights.kl_scale == 'elbo':
      return 1 / self.facts.example.size
    if self.weights.kl_scale == 'example':
      return 1.0
    return jnp.sum(real).astype(jnp.float32)

  def step_critic(
    self,
    both: Both,
    pair: Pair,
    uncertainty: jax.Array,
    share: jax.Array,
    count: jax.Array,
  ) -> tuple[Both, dict[str, Mean]]:
    """Takes a step of the critic, on latents encoded in inference.

    Args:
      both: the networks before the step.
      pair: the examples.
      uncertainty: float32[B], targets of the critic for the unlabelled.
      share: share of the round that is over, in [0, 1).
      count: number of examples in an epoch.

    Returns:
      The networks after the step, and Means by name.
    """
    variables = both.autoencoder.variables
    latents = [self.coded(variables, batch.inputs).mean for batch in pair]
    targets = jnp.zeros(len(pair.labelled.index)), uncertainty

    def objective(params):
      loss, seen = jnp.zeros(()), {}
      for number, (codes, wanted, batch) in enumerate(
        zip(latents, targets, pair, strict=True)
      ):
        real = batch.index >= 0
        logits = self.criticised({'params': params}, codes)
        losses = objectives.binary_cross_entropy(logits, wanted)
        right = ((logits > 0) == bool(number)).astype(jnp.float32)
        loss += objectives.masked_mean(losses, real)
        of_batch = {
          'critic_loss': course.mean_of(losses, real),
          'critic_accuracy': course.mean_of(right, real),
        }
        seen = jax.tree.map(jnp.add, seen, of_batch) if seen else of_batch
      return loss, seen

    gradients, seen = jax.grad(objective, has_aux=True)(
      both.critic.variables['params']
    )
    moved = self.moves[1].moved(both.critic, gradients, {}, share, count)
    return both.replace(critic=moved), seen

  def pictures(self, both: Both, raw: jax.Array) -> dict[str, jax.Array]:
    """Makes a sheet of examples, with their reconstructions below."""
    made = self.coded(both.autoencoder.variables, raw).reconstruction
    images = jnp.concatenate([common.normalised(self.facts, raw), made])
    return {'reconstructions': sheets.of_images(self.facts, images)}


def watched(latent_size: int) -> dict[str, tuple[int, ...]]:
  """Maps each quantity that steps accumulate to its shape."""
  scalars = (
    'reconstruction',
    'kl',
    'adversarial_loss',
    'critic_loss',
    'critic_accuracy',
  )
  of_latents = dict.fromkeys(('latent', 'sq_latent'), (latent_size,))
  return {**dict.fromkeys(scalars, ()), **of_latents}


def reported(means: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
  """Makes metrics of accumulated means, and counts the active latents.

  Args:
    means: means by the names of `watched`.

  Returns:
    Scalars by name; `active_latents` is the number of latents whose means vary
    over examples.
  """
  variance = means['sq_latent'] - jnp.square(means['latent'])
  active = jnp.sum(variance > _ACTIVE).astype(jnp.float32)
  hidden = 'latent', 'sq_latent'
  shown = {name: of for name, of in means.items() if name not in hidden}
  return {**shown, 'active_latents': active}
