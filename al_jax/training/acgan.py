"""Trains an encoder, a generator and a discriminator alongside a classifier.

Tran et al. 2019, "Bayesian Generative Active Deep Learning": a variational
autoencoder whose decoder is the generator of an ACGAN.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from al_jax.interfaces import Batch, Facts, PyTree
from al_jax.models import common
from al_jax.models.generative import Makers
from al_jax.training import course, networks, objectives
from al_jax.training.course import Mean
from al_jax.training.networks import Network

# Shapes of the quantities that a step accumulates, by name.
WATCHED = dict.fromkeys(
  (
    'reconstruction',
    'kl',
    'discriminator_loss',
    'discriminator_accuracy',
    'generator_loss',
  ),
  (),
)


@flax.struct.dataclass
class Three:
  """The three networks."""

  encoder: Network
  generator: Network
  discriminator: Network


class Fakes(NamedTuple):
  """Images that a step made for each example of a batch.

  Attributes:
    prior: [B, ...], made from a code drawn from the prior, and the class of the
      example.
    decoded: [B, ...], made from the example's own code and class.
  """

  prior: jax.Array
  decoded: jax.Array


@dataclasses.dataclass(frozen=True)
class Weights:
  """Weights of the terms of the losses.

  Attributes:
    reconstruction: weight of the squared errors, for encoder and generator.
    beta: weight of the KL divergence of codes, for the encoder.
    realism: weight of fooling the discriminator, for the generator.
    classes: weight of the classifier's loss on made images, for the generator.
    real: target of the discriminator for real images, above 0 and at most 1; a
      value below 1 keeps it from becoming certain.
  """

  reconstruction: float
  beta: float
  realism: float
  classes: float
  real: float


@dataclasses.dataclass(frozen=True, eq=False)
class Making:
  """Networks that make images, and the options that steps do not change.

  Attributes:
    facts: facts of the task.
    nets: the networks as functions.
    moves: a `networks.Trainer` for each network.
    weights: weights of the losses.
    class_losses: `(images, classes, classifier) -> float32[B]`, the losses of
      the classifier, which these steps do not change.
  """

  facts: Facts
  nets: Makers
  moves: Three
  weights: Weights
  class_losses: Callable[[jax.Array, jax.Array, PyTree], jax.Array]

  def first(self, key: jax.Array) -> Three:
    """Makes the networks before any round."""
    keys = jax.random.split(key, 3)
    return Three(
      *(
        move.first(of)
        for move, of in zip(_fields(self.moves), keys, strict=True)
      )
    )

  def begin(self, key: jax.Array, three: Three) -> Three:
    """Begins a round, see `networks.Trainer`."""
    keys = jax.random.split(key, 3)
    return Three(
      *(
        move.begin(of, net)
        for move, of, net in zip(
          _fields(self.moves), keys, _fields(three), strict=True
        )
      )
    )

  def finite(self, three: Three) -> dict[str, jax.Array]:
    """Tells whether the variables of each network are finite."""
    return {
      name: networks.is_finite(getattr(three, name).variables)
      for name in ('encoder', 'generator', 'discriminator')
    }

  def code(
    self, key: jax.Array | None, variables: PyTree, images: jax.Array
  ) -> jax.Array:
    """Draws a code of each image from a trained encoder; the mean if no key."""
    mean, log_variance = self.nets.encoder.apply(variables, images)[0]
    return mean if key is None else _drawn(key, mean, log_variance)

  def made(
    self, variables: PyTree, codes: jax.Array, classes: jax.Array
  ) -> jax.Array:
    """Makes images with a trained generator."""
    return self.nets.generator.apply(variables, codes, classes)[0]

  def prior(self, key: jax.Array, number: int) -> jax.Array:
    """Draws codes [number, Z] from the prior."""
    return jax.random.normal(key, (number, self.nets.latent))

  def step(
    self,
    key: jax.Array,
    three: Three,
    batch: Batch,
    classes: jax.Array,
    classifier: PyTree,
    share: jax.Array,
    count: jax.Array,
  ) -> tuple[Three, Fakes, dict[str, Mean]]:
    """Updates encoder, generator and discriminator, in this order.

    Args:
      key: key of the codes.
      three: the networks before the step.
      batch: labelled examples.
      classes: int32[B], their labels.
      classifier: variables of the classifier, which do not change.
      share: share of the round that is over, in [0, 1).
      count: number of examples in an epoch.

    Returns:
      The networks after the step, images of the new generator, and a Mean for
      each name in `WATCHED`.
    """
    keys = jax.random.split(key, 3)
    real = batch.index >= 0
    images = common.normalised(self.facts, batch.inputs)
    how = share, count
    given = images, classes, real
    three, of_encoder = self._step_encoder(keys[0], three, given, how)
    (mean, log_variance), _ = self.nets.encoder.apply(
      three.encoder.variables, images, training=True, real=real
    )
    codes = jnp.concatenate(
      [
        self.prior(keys[1], len(images)),
        _drawn(keys[2], mean, log_variance),
      ]
    )
    three, of_generator = self._step_generator(
      three, given, codes, classifier, how
    )
    three, fakes, of_discriminator = self._step_discriminator(
      three, given, codes, how
    )
    return three, fakes, {**of_encoder, **of_generator, **of_discriminator}

  def _step_encoder(self, key, three, given, how):
    images, classes, real = given
    variables = three.encoder.variables

    def objective(params):
      (mean, log_variance), statistics = self.nets.encoder.apply(
        {**variables, 'params': params}, images, training=True, real=real
      )
      decoded, _ = self.nets.generator.apply(
        three.generator.variables,
        _drawn(key, mean, log_variance),
        classes,
        training=True,
        real=real,
      )
      errors = _sq_errors(decoded, images)
      kl = objectives.gaussian_kl(mean, log_variance)
      # An ELBO: both terms are sums over an example, divided by its size.
      loss = self.weights.reconstruction * errors
      loss += self.weights.beta * kl / self.facts.example.size
      seen = {
        'reconstruction': course.mean_of(errors, real),
        'kl': course.mean_of(kl, real),
      }
      return objectives.masked_mean(loss, real), (statistics, seen)

    gradients, (statistics, seen) = jax.grad(objective, has_aux=True)(
      variables['params']
    )
    moved = self.moves.encoder.moved(three.encoder, gradients, statistics, *how)
    return three.replace(encoder=moved), seen

  def _step_generator(self, three, given, codes, classifier, how):
    images, classes, real = given
    variables = three.generator.variables
    twice, both = _twice(classes), _twice(real)

    def objective(params):
      made, statistics = self.nets.generator.apply(
        {**variables, 'params': params}, codes, twice, training=True, real=both
      )
      logits, _ = self.nets.discriminator.apply(
        three.discriminator.variables, made, training=True, real=both
      )
      weights = self.weights
      losses = weights.realism * objectives.binary_cross_entropy(logits, 1.0)
      losses += weights.classes * self.class_losses(made, twice, classifier)
      errors = _sq_errors(made[len(images) :], images)
      # Twice the mean over both kinds is the sum of the mean of each kind.
      loss = 2 * objectives.masked_mean(losses, both)
      loss += weights.reconstruction * objectives.masked_mean(errors, real)
      return loss, (
        statistics,
        {'generator_loss': course.mean_of(losses, both)},
      )

    gradients, (statistics, seen) = jax.grad(objective, has_aux=True)(
      variables['params']
    )
    moved = self.moves.generator.moved(
      three.generator, gradients, statistics, *how
    )
    return three.replace(generator=moved), seen

  def _step_discriminator(self, three, given, codes, how):
    images, classes, real = given
    variables = three.discriminator.variables
    both = _twice(real)
    made, _ = self.nets.generator.apply(
      three.generator.variables,
      codes,
      _twice(classes),
      training=True,
      real=both,
    )

    def objective(params):
      def criticised(statistics, images, real):
        return self.nets.discriminator.apply(
          {**variables, 'params': params, 'statistics': statistics},
          images,
          training=True,
          real=real,
        )

      statistics = variables.get('statistics') or {}
      of_real, statistics = criticised(statistics, images, real)
      of_made, statistics = criticised(statistics, made, both)
      losses = (
        objectives.binary_cross_entropy(of_real, self.weights.real),
        objectives.binary_cross_entropy(of_made, 0.0),
      )
      loss = objectives.masked_mean(losses[0], real)
      loss += 2 * objectives.masked_mean(losses[1], both)
      right = jnp.concatenate([of_real > 0, of_made <= 0])
      everything = jnp.concatenate([real, both])
      seen = {
        'discriminator_loss': course.mean_of(
          jnp.concatenate(losses), everything
        ),
        'discriminator_accuracy': course.mean_of(
          right.astype(jnp.float32), everything
        ),
      }
      return loss, (statistics, seen)

    gradients, (statistics, seen) = jax.grad(objective, has_aux=True)(
      variables['params']
    )
    moved = self.moves.discriminator.moved(
      three.discriminator, gradients, statistics, *how
    )
    three = three.replace(discriminator=moved)
    return three, Fakes(made[: len(images)], made[len(images) :]), seen


def _fields(three):
  return three.encoder, three.generator, three.discriminator


def _drawn(key, mean, log_variance):
  noise = jax.random.normal(key, mean.shape)
  return mean + jnp.exp(log_variance / 2) * noise


def _sq_errors(made, images):
  """Computes the mean squared error of each image: float32[B]."""
  return jnp.mean(jnp.square(made - images), axis=(1, 2, 3))


def _twice(rows):
  return jnp.concatenate([rows, rows])
