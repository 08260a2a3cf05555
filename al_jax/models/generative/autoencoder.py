"""A convolutional variational autoencoder, with or without a head for targets.

Kingma and Welling 2014, "Auto-Encoding Variational Bayes". The layers are those
of Sinha et al. 2019 (VAAL); the second part of the latent and its head are
those of Zhang et al. 2020 (SRAAL).
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import Facts, NetFns, PyTree
from al_jax.models import checks, common, conv
from al_jax.models.generative import layers


class Coded(NamedTuple):
  """Output of an autoencoder for a batch.

  Attributes:
    mean: float32[B, Z], mean of the latent, where Z = `latent + target_latent`.
    log_variance: float32[B, Z], log variance of the latent.
    reconstruction: float32 [B, height, width, channels], normalised.
    predictions: predictions from the second part of the latent, with the
      structure of the task; None without a second part.
  """

  mean: jax.Array
  log_variance: jax.Array
  reconstruction: jax.Array
  predictions: PyTree


class Autoencoder(nn.Module):
  """Strided convolutions to a latent, and transposed ones back.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    shape: height, width and channels of an image.
    channels: channels of each convolution; each halves the image.
    latent: size of the latent that images are decoded from.
    target_latent: size of a second latent that predicts targets; may be 0.
    target_widths: hidden units between the second latent and the predictions.
  """

  outputs: common.Outputs
  shape: tuple[int, int, int]
  channels: tuple[int, ...]
  latent: int
  target_latent: int
  target_widths: tuple[int, ...]

  @nn.compact
  def __call__(
    self, inputs: jax.Array, noise: jax.Array, how: common.Pass
  ) -> Coded:
    """Maps normalised [B, ...] and normal noise [B, Z] to a `Coded`."""
    size = self.latent + self.target_latent
    hidden = layers.halved(inputs, self.channels, how)
    mean = nn.Dense(size, name='mean')(hidden)
    log_variance = nn.Dense(size, name='log_variance')(hidden)
    code = mean + jnp.exp(log_variance / 2) * noise
    predictions = None
    if self.target_latent:
      predictions = self._predicted(code[:, self.latent :])
    made = self._decoded(code[:, : self.latent], how)
    return Coded(mean, log_variance, made, predictions)

  def _predicted(self, code):
    hidden = code
    for layer, width in enumerate(self.target_widths, start=1):
      hidden = nn.relu(nn.Dense(width, name=f'target_{layer}')(hidden))
    return common.heads(self.outputs, hidden)

  def _decoded(self, code, how):
    """Decodes an image, cropped to its shape."""
    height, width, depth = self.shape
    hidden = layers.doubled(
      code,
      self.shape,
      self.channels[::-1],
      how,
      doublings=len(self.channels) - 1,
    )
    hidden = hidden[:, :height, :width]
    return conv.Conv(depth, (1, 1), name='made')(hidden)


def check(learner: str, facts: Facts) -> None:
  """Raises ValueError unless examples are images in one array.

  Args:
    learner: name of the learner, for the message.
    facts: facts of the task.
  """
  shape = getattr(facts.example, 'shape', None)
  if shape is None or len(shape) != 3:
    found = sorted(facts.example) if shape is None else f'of shape {shape}'
    raise ValueError(
      f'{learner} makes images, (height, width, channels); the inputs are '
      f'{found}.'
    )


def autoencoder(
  facts: Facts,
  *,
  channels: Sequence[int] = (32, 64, 128),
  latent: int = 32,
  target_latent: int = 0,
  target_widths: Sequence[int] = (256,),
) -> NetFns:
  """Builds a variational autoencoder of images.

  Args:
    facts: facts of the task; images whose sides the convolutions can halve.
    channels: channels of each convolution; (128, 256, 512, 1024) in the paper.
    latent: size of the latent that images are decoded from.
    target_latent: size of a second latent that predicts targets; may be 0.
    target_widths: hidden units between the second latent and the predictions.

  Returns:
    NetFns from normalised images [B, height, width, channels] and normal noise
    [B, latent + target_latent] to a `Coded`. If the noise is 0, the latent is
    its mean.

  Raises:
    ValueError: If a value is not allowed, or images are too small.
  """
  checks.check_widths('channels', channels)
  if not channels:
    raise ValueError('channels is empty; it must have at least one entry.')
  errors.check_number('latent', latent, int, least=1)
  errors.check_number('target_latent', target_latent, int, least=0)
  checks.check_widths('target_widths', target_widths)
  checks.check_image('autoencoder', facts, smallest=2 ** len(channels))
  module = Autoencoder(
    facts.task.outputs,
    tuple(facts.example.shape),
    tuple(channels),
    latent,
    target_latent,
    tuple(target_widths),
  )
  images = jax.ShapeDtypeStruct((2, *facts.example.shape), jnp.float32)
  noise = jax.ShapeDtypeStruct((2, latent + target_latent), jnp.float32)
  return common.net_fns(module, images, noise)
