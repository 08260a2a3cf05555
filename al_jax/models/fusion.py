"""A network for several modalities: an encoder for each, then joint layers."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.data import named
from al_jax.interfaces import Facts, ModelOutput
from al_jax.models import checks, common, conv, pooling

ENCODERS = ('dense', 'conv')
# Channels of the convolutions, with a 2x2 pool after each.
_CHANNELS = (32, 64)
# Two pools reduce this side to one pixel.
_SMALLEST = 4


class Encoder(nn.Module):
  """Optional convolutions, then dense layers with ReLU and dropout after each.

  Attributes:
    convolutions: whether 3x3 convolutions come first; inputs must be pictures.
    widths: units of each dense layer.
    dropout: share of units that dropout drops.
  """

  convolutions: bool
  widths: tuple[int, ...]
  dropout: float

  @nn.compact
  def __call__(self, inputs: jax.Array, how: common.Pass) -> jax.Array:
    """Maps normalised float32 [B, ...] to [B, the last width]."""
    hidden = inputs
    if self.convolutions:
      for layer, channels in enumerate(_CHANNELS, start=1):
        hidden = conv.Conv(channels, (3, 3), name=f'conv_{layer}')(hidden)
        # Pooling first gives the same result with fewer activations.
        hidden = nn.relu(pooling.max_pool_2x2(hidden))
    hidden = hidden.reshape(hidden.shape[0], -1)
    for layer, width in enumerate(self.widths, start=1):
      hidden = nn.relu(nn.Dense(width, name=f'hidden_{layer}')(hidden))
      hidden = common.dropout(hidden, self.dropout, how)
    return hidden


class Fusion(nn.Module):
  """Encoders side by side, dense layers over all of them, a dense head.

  Attributes:
    outputs: number of outputs per example, see `Task.outputs`.
    encoder: `'dense'`; or `'conv'`, which encodes pictures with convolutions.
    widths: units of each dense layer of an encoder.
    joint_widths: units of each joint layer.
    dropout: share of hidden units that dropout drops.
  """

  outputs: common.Outputs
  encoder: str
  widths: tuple[int, ...]
  joint_widths: tuple[int, ...]
  dropout: float

  @nn.compact
  def __call__(
    self, inputs: jax.Array | Mapping[str, jax.Array], how: common.Pass
  ) -> ModelOutput:
    """Maps normalised float32 [B, ...] of each modality to predictions."""
    if not isinstance(inputs, Mapping):
      inputs = {'inputs': inputs}
    encoded, extras = [], {}
    for name in named.modalities(inputs):
      modality = inputs[name]
      encode = Encoder(
        self.encoder == 'conv' and modality.ndim == 4,
        self.widths,
        self.dropout,
        name=f'encoder_{name}',
      )
      embedding = encode(modality, how)
      extras[f'encoded_{name}'] = embedding
      says = inputs.get(name + named.PRESENT)
      if says is not None:
        is_there = says > 0
        embedding = jnp.where(is_there, embedding, 0)
        encoded.append(is_there.astype(embedding.dtype))
      encoded.append(embedding)
    hidden = jnp.concatenate(encoded, axis=1)
    for layer, width in enumerate(self.joint_widths, start=1):
      hidden = nn.relu(nn.Dense(width, name=f'joint_{layer}')(hidden))
      extras[f'joint_{layer}'] = hidden
      hidden = common.dropout(hidden, self.dropout, how)
    predictions = common.heads(self.outputs, hidden)
    return ModelOutput(predictions, hidden, extras)


def fusion(
  facts: Facts,
  *,
  encoder: str = 'dense',
  widths: Sequence[int] = (128, 128),
  joint_widths: Sequence[int] = (256,),
  dropout: float = 0.0,
) -> nn.Module:
  """Builds a network that joins modalities after an encoder for each.

  If an example lacks a modality, the embedding of that modality is zero, and an
  extra input bit says so. Modalities that all examples have get no bit. The
  network has encoders only for the modalities in the data set.

  Args:
    facts: facts of the task; inputs are a dict of modalities of any shape, with
      `face_present` beside a `face` that some examples lack (see
      `al_jax.data.named`); or one array, as the only modality.
    encoder: `'dense'` for flattened inputs; or `'conv'`, which passes pictures
      through two 3x3 convolutions first (32 and 64 channels, a 2x2 pool after
      each).
    widths: units of each dense layer of an encoder; may be `()`.
    joint_widths: units of each layer over all embeddings; may be `()`.
    dropout: share of units dropped after each encoder or joint layer.

  Returns:
    The module. Extras: `encoded_NAME` [B, width] for every modality, whether or
    not an example has it; and `joint_1`, ... [B, width], before dropout.
  """
  errors.check_name('encoder', encoder, ENCODERS)
  checks.check_widths('widths', widths)
  checks.check_widths('joint_widths', joint_widths)
  checks.check_rate('dropout', dropout)
  if encoder == 'conv':
    _check_pictures(facts)
  return Fusion(
    facts.task.outputs, encoder, tuple(widths), tuple(joint_widths), dropout
  )


def _check_pictures(facts: Facts) -> None:
  """Raises if there is no picture, or one is too small for two pools."""
  shapes = {
    name: tuple(part.shape)
    for name, part in named.arrays(facts.example).items()
  }
  pictures = [shape for shape in shapes.values() if len(shape) == 3]
  if not pictures or any(min(shape[:2]) < _SMALLEST for shape in pictures):
    raise ValueError(
      "encoder='conv' needs pictures (height, width, channels), none smaller "
      f'than {_SMALLEST} x {_SMALLEST} pixels; the inputs have shapes '
      f"{shapes}. encoder='dense' takes any shape."
    )
