"""Pretrains a network to reconstruct corrupted inputs."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.data import named
from al_jax.interfaces import ModelFns
from al_jax.learners import one_network, pretraining
from al_jax.learners.pretraining import WholePool
from al_jax.models import checks, common

_DECODER = 'decoder'


class Decoder(nn.Module):
  """Dense layers from an embedding back to the inputs.

  Attributes:
    widths: number of units of each hidden layer.
    num_outputs: number of values in an example.
  """

  widths: tuple[int, ...]
  num_outputs: int

  @nn.compact
  def __call__(self, hidden: jax.Array) -> jax.Array:
    """Maps [B, D] to [B, num_outputs]."""
    for width in self.widths:
      hidden = nn.relu(nn.Dense(width)(hidden))
    return nn.Dense(self.num_outputs)(hidden)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class DenoisingAutoencoder(WholePool):
  """Trains a network to reconstruct a corrupted input from its embedding.

  A decoder of dense layers is trained with the network and then discarded. The
  loss is the mean squared error over the values of the normalised inputs. It
  leaves out modalities that an example lacks.

  Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising
  Autoencoders"; here the whole network trains at once, not layer by layer.

  Attributes:
    masked: share of the values of an input that are replaced by their mean.
    noise: standard deviation of the noise added to each value, in standard
      deviations of the data.
    widths: units of each hidden layer of the decoder; `()` for no hidden layer.
    augment: see `training.augment.build`.
  """

  masked: float = 0.3
  noise: float = 0.0
  widths: Sequence[int] = (256,)
  augment: Sequence[str | Mapping[str, Any]] = ()

  def check(self):
    """See `Trains`."""
    errors.check_number('masked', self.masked, least=0, below=1)
    errors.check_number('noise', self.noise, least=0)
    checks.check_widths('widths', self.widths)
    super().check()

  @functools.cached_property
  def model(self):
    """The network and its decoder."""
    return _with_decoder(
      self.build(self.facts),
      self.facts,
      tuple(self.widths),
      self.masked,
      self.noise,
    )

  def keep(self, state):
    """See `WholePool`."""
    variables = state.network.variables
    params = dict(variables['params'])
    del params[_DECODER]
    return pretraining.without_head({**variables, 'params': params})


denoising_autoencoder = one_network.factory(
  DenoisingAutoencoder, pretraining.bound
)


def _with_decoder(model, facts, widths, masked, noise):
  """Adds a decoder to a model; in training it predicts its squared errors."""
  mean, std = common.moments(facts)
  decoder = _decoder(model, facts, widths)

  def init(key):
    net_key, decoder_key = jax.random.split(key)
    variables = model.init(net_key)
    made = decoder.init(decoder_key)['params']
    params = {**variables['params'], _DECODER: made}
    return {**variables, 'params': params}

  def train(variables, inputs, key, *, real=None):
    spoil_key, dropout_key = jax.random.split(key)
    clean = jax.tree.map(lambda x, m, s: (x - m) / s, inputs, mean, std)
    spoilt = named.mapped(
      lambda name, x: _spoilt(spoil_key, name, x, masked, noise), clean
    )
    spoilt = jax.tree.map(lambda x, m, s: x * s + m, spoilt, mean, std)
    output, statistics = model.train(variables, spoilt, dropout_key, real=real)
    given_back, _ = decoder.apply(
      {'params': variables['params'][_DECODER]}, output.embedding
    )
    errors = _squared_errors(given_back, clean, inputs)
    return output._replace(predictions=errors), statistics

  return ModelFns(init=init, apply=model.apply, train=train)


def _decoder(model, facts, widths):
  """Makes a decoder from a model's embedding to all values of its inputs."""
  sizes = jax.tree.map(lambda one: one.size, facts.example)
  inputs = jax.tree.map(
    lambda one: jax.ShapeDtypeStruct((1, *one.shape), one.dtype), facts.example
  )
  output = jax.eval_shape(
    lambda key, inputs: model.apply(model.init(key), inputs),
    jax.random.key(0),
    inputs,
  )
  return common.net_fns(
    Decoder(widths, sum(_of_modalities(sizes))), output.embedding
  )


def _of_modalities(inputs):
  """Lists the arrays in the order of their names, without presence flags."""
  return [
    array
    for name, array in named.arrays(inputs).items()
    if not named.says_who_has(name)
  ]


def _spoilt(key, name, values, masked, noise):
  if named.says_who_has(name):
    return values
  for letter in name.encode():
    key = jax.random.fold_in(key, letter)
  mask_key, noise_key = jax.random.split(key)
  values += noise * jax.random.normal(noise_key, values.shape)
  is_masked = jax.random.bernoulli(mask_key, masked, values.shape)
  return jnp.where(is_masked, 0.0, values)


def _squared_errors(given_back, clean, inputs):
  """Computes float32[B], means over the modalities that each example has."""
  total, count, first = 0.0, 0.0, 0
  for name, values in named.arrays(clean).items():
    if named.says_who_has(name):
      continue
    flat = values.reshape(len(values), -1)
    part = given_back[:, first : first + flat.shape[1]]
    first += flat.shape[1]
    has = jnp.ones(len(flat))
    if isinstance(inputs, dict) and name + named.PRESENT in inputs:
      has = (inputs[name + named.PRESENT][:, 0] > 0).astype(jnp.float32)
    total += has * jnp.sum(jnp.square(part - flat), axis=1)
    count += has * flat.shape[1]
  return total / jnp.maximum(count, 1)
