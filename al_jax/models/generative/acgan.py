"""Networks that make images of a class, and tell them from real ones.

Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs";
Larsen et al. 2016, "Autoencoding beyond Pixels using a Learned Similarity
Metric". The layers are those of Tran et al. 2019, "Bayesian Generative Active
Deep Learning", for digits. The classifier is a network of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import Facts, NetFns
from al_jax.models import checks, common, transposed
from al_jax.models.generative import layers

_INIT = nn.initializers.normal(0.02)
# Beyond these a variance is 0 or infinite in float32 before long.
_LEAST, _MOST = -10.0, 10.0


class Makers(NamedTuple):
  """The three networks as pure functions.

  Attributes:
    encoder: normalised images [B, ...] to the means and the log variances of
      their codes, float32[B, Z] each.
    generator: codes float32[B, Z] and classes int32[B] to normalised images
      [B, ...]; where raw inputs are uint8 they stay within 0 to 255.
    discriminator: normalised images [B, ...] to logits [B] that they are real.
    latent: Z, numbers of a code.
  """

  encoder: NetFns
  generator: NetFns
  discriminator: NetFns
  latent: int


class Encoder(nn.Module):
  """Halves images, and ends in a dense layer and two heads.

  Attributes:
    channels: channels of each convolution.
    widths: hidden units after the convolutions.
    latent: numbers of a code.
  """

  channels: tuple[int, ...]
  widths: tuple[int, ...]
  latent: int

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> tuple:
    """[B, ...] to two of [B, Z]."""
    hidden = layers.halved(images, self.channels, how, init=_INIT)
    hidden = _dense(hidden, self.widths, how, nn.relu)
    mean, log_variance = (
      nn.Dense(self.latent, kernel_init=_INIT, name=name)(hidden)
      for name in ('mean', 'log_variance')
    )
    return mean, jnp.clip(log_variance, _LEAST, _MOST)


class Generator(nn.Module):
  """Makes an image of a code and a class.

  Attributes:
    shape: height, width and channels of an image.
    num_classes: C.
    channels: channels of each doubling, the last first.
    widths: hidden units before the first small image, the last first.
    limits: the least and the largest value of a pixel, float32, broadcast
      against an image. If None, there are none.
  """

  shape: tuple[int, int, int]
  num_classes: int
  channels: tuple[int, ...]
  widths: tuple[int, ...]
  limits: tuple[jax.Array, jax.Array] | None

  @nn.compact
  def __call__(
    self, code: jax.Array, classes: jax.Array, how: common.Pass
  ) -> jax.Array:
    """[B, Z] and int32[B] to [B, ...]."""
    height, width, depth = self.shape
    one_hot = jax.nn.one_hot(classes, self.num_classes)
    hidden = jnp.concatenate([code, one_hot], axis=-1)
    hidden = _dense(hidden, self.widths[::-1], how, nn.relu)
    hidden = layers.doubled(
      hidden,
      self.shape,
      self.channels[::-1],
      how,
      doublings=len(self.channels),
      init=_INIT,
    )
    layer = transposed.ConvTranspose(
      depth, layers.KERNEL, (2, 2), kernel_init=_INIT, name='made'
    )
    images = layer(hidden)[:, :height, :width]
    if self.limits is None:
      return images
    low, high = self.limits
    return low + (high - low) * nn.sigmoid(images)


class Discriminator(nn.Module):
  """Halves images, and ends in a single logit.

  Attributes:
    channels: channels of each convolution.
    widths: hidden units after the convolutions.
  """

  channels: tuple[int, ...]
  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> jax.Array:
    """[B, ...] to [B]."""
    hidden = layers.halved(
      images,
      self.channels,
      how,
      activation=_leaky_relu,
      first_norm=False,
      init=_INIT,
    )
    hidden = _dense(hidden, self.widths, how, _leaky_relu)
    return nn.Dense(1, kernel_init=_INIT, name='real')(hidden)[:, 0]


def acgan(
  facts: Facts,
  *,
  channels: Sequence[int] = (32, 64),
  widths: Sequence[int] = (128,),
  latent: int = 32,
) -> Makers:
  """An encoder, a generator and a discriminator of images with classes.

  Args:
    facts: facts of the task; images whose sides the convolutions can halve.
    channels: channels of each convolution; published with (64, 128).
    widths: hidden units of each dense layer; published with (1024,).
    latent: numbers of a code; published with 100.

  Returns:
    Makers.

  Raises:
    ValueError: a value that is not allowed, or images that are too small.
  """
  checks.check_widths('channels', channels)
  if not channels:
    raise ValueError('channels is empty; it must have a convolution or more.')
  checks.check_widths('widths', widths)
  errors.check_number('latent', latent, int, least=1)
  checks.check_image('acgan', facts, smallest=2 ** len(channels))
  channels, widths = tuple(channels), tuple(widths)
  shape = tuple(facts.example.shape)
  generator = Generator(
    shape,
    len(facts.task.class_names),
    channels,
    widths,
    common.limits(facts),
  )
  images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
  codes = jax.ShapeDtypeStruct((2, latent), jnp.float32)
  classes = jax.ShapeDtypeStruct((2,), jnp.int32)
  return Makers(
    common.net_fns(Encoder(channels, widths, latent), images),
    common.net_fns(generator, codes, classes),
    common.net_fns(Discriminator(channels, widths), images),
    latent,
  )


def _dense(hidden, widths, how, activation):
  """Dense layers with batch normalisation."""
  for layer, width in enumerate(widths, start=1):
    hidden = nn.Dense(
      width, use_bias=False, kernel_init=_INIT, name=f'dense_{layer}'
    )(hidden)
    hidden = activation(common.normalise(hidden, 'batch', how))
  return hidden


def _leaky_relu(values):
  return nn.leaky_relu(values, 0.2)
