"""Networks that generate images of a class and tell them from real ones.

Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs";
Larsen et al. 2016, "Autoencoding beyond Pixels using a Learned Similarity
Metric". The layers are those of Tran et al. 2019, "Bayesian Generative Active
Deep Learning", for digits. The classifier is a separate network.
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
# Bounds on log variances; far outside, float32 variances are 0 or infinite.
_LEAST, _MOST = -10.0, 10.0


class Makers(NamedTuple):
  """The three networks as pure functions.

  Attributes:
    encoder: maps normalised images [B, ...] to the means and the log variances
      of their codes, float32[B, Z] each.
    generator: maps codes float32[B, Z] and classes int32[B] to normalised
      images [B, ...]; if raw inputs are uint8, raw values stay within 0 to 255.
    discriminator: maps normalised images [B, ...] to logits [B] that they are
      real.
    latent: size Z of a code.
  """

  encoder: NetFns
  generator: NetFns
  discriminator: NetFns
  latent: int


class Encoder(nn.Module):
  """Convolutions that halve images, dense layers and two heads.

  Attributes:
    channels: channels of each convolution.
    widths: hidden units after the convolutions.
    latent: size of a code.
  """

  channels: tuple[int, ...]
  widths: tuple[int, ...]
  latent: int

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> tuple:
    """Maps [B, ...] to two arrays [B, Z]."""
    hidden = layers.halved(images, self.channels, how, init=_INIT)
    hidden = _dense(hidden, self.widths, how, nn.relu)
    mean, log_variance = (
      nn.Dense(self.latent, kernel_init=_INIT, name=name)(hidden)
      for name in ('mean', 'log_variance')
    )
    return mean, jnp.clip(log_variance, _LEAST, _MOST)


class Generator(nn.Module):
  """Network that makes an image of a code and a class.

  Attributes:
    shape: height, width and channels of an image.
    num_classes: number C of classes.
    channels: channels of each doubling, the last first.
    widths: hidden units before the first small image, the last first.
    limits: least and largest value of a pixel, float32, broadcast against an
      image. If None, pixels are not bounded.
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
    """Maps codes [B, Z] and classes int32[B] to images [B, ...]."""
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
  """Convolutions that halve images, dense layers and a single logit.

  Attributes:
    channels: channels of each convolution.
    widths: hidden units after the convolutions.
  """

  channels: tuple[int, ...]
  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> jax.Array:
    """Maps images [B, ...] to logits [B]."""
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
  """Builds an encoder, a generator and a discriminator of images with classes.

  Args:
    facts: facts of the task; images whose sides the convolutions can halve.
    channels: channels of each convolution; published with (64, 128).
    widths: hidden units of each dense layer; published with (1024,).
    latent: size of a code; published with 100.

  Returns:
    The Makers.

  Raises:
    ValueError: If a value is not allowed, or images are too small.
  """
  checks.check_widths('channels', channels)
  if not channels:
    raise ValueError('channels is empty; it must have at least one entry.')
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
  """Applies dense layers with batch normalisation."""
  for layer, width in enumerate(widths, start=1):
    hidden = nn.Dense(
      width, use_bias=False, kernel_init=_INIT, name=f'dense_{layer}'
    )(hidden)
    hidden = activation(common.normalise(hidden, 'batch', how))
  return hidden


def _leaky_relu(values):
  return nn.leaky_relu(values, 0.2)
