"""Networks that kernels are timed on, in plain JAX.

They are a LeNet with dropout before its last two dense layers, a small CNN, and
an MLP that is trained on MNIST to provide realistic gradients.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from al_jax import data, kernels
from experiments.benchmarks.peers import NotInstalled

Params = dict[str, Any]
# Filters of the LeNet's two convolutions, and its hidden units.
_FILTERS, _UNITS = (20, 50), 128
# Features after its convolutions, for 28 x 28 pixels.
NUM_FEATURES = 800
NUM_CLASSES = 10


def lenet(key: jax.Array) -> Params:
  """Draws the parameters of the LeNet; inputs are [B, 28, 28, 1]."""
  first, second = _FILTERS
  shapes = {
    'conv_1': (5, 5, 1, first),
    'conv_2': (5, 5, first, second),
    'dense': (NUM_FEATURES, _UNITS),
    'head': (_UNITS, NUM_CLASSES),
  }
  return _drawn(key, shapes)


def lenet_trunk(params: Params, images: jax.Array) -> jax.Array:
  """Computes the features before the first dropout, [B, 800]."""
  hidden = images
  for name in ('conv_1', 'conv_2'):
    hidden = _pooled(jax.nn.relu(_convolved(hidden, params[name])))
  return hidden.reshape(len(hidden), -1)


def lenet_head(
  params: Params, features: jax.Array, key: jax.Array
) -> jax.Array:
  """Computes logits [B, C] of one sample, whose masks all inputs share."""
  key_1, key_2 = jax.random.split(key)
  hidden = features * _kept(key_1, NUM_FEATURES)
  hidden = jax.nn.relu(hidden @ params['dense'])
  return (hidden * _kept(key_2, _UNITS)) @ params['head']


def operations_of_trunk() -> float:
  """Returns the operations for one image."""
  first, second = _FILTERS
  return 2.0 * 25 * (24 * 24 * first + 8 * 8 * first * second)


def operations_of_head() -> float:
  """Returns the operations for one image and sample."""
  return 2.0 * (NUM_FEATURES * _UNITS + _UNITS * NUM_CLASSES)


def small_cnn(key: jax.Array) -> Params:
  """Draws the parameters, about 100,000, of a CNN for 28 x 28 pixels."""
  shapes = {
    'conv_1': (3, 3, 1, 16),
    'conv_2': (3, 3, 16, 32),
    'dense': (7 * 7 * 32, 60),
    'head': (60, NUM_CLASSES),
  }
  return _drawn(key, shapes)


def small_cnn_loss(params: Params, example: Any) -> jax.Array:
  """Computes the cross-entropy of one (image, label)."""
  image, label = example
  return _cross_entropy(params, image[None], label[None])


def small_cnn_mean_loss(params: Params, batch: Any) -> jax.Array:
  """Computes the mean cross-entropy of (images, labels)."""
  return _cross_entropy(params, *batch)


def operations_of_small_cnn() -> float:
  """Returns the operations for one image: forward, and twice that backward."""
  products = 28 * 28 * 9 * 16 + 14 * 14 * 9 * 16 * 32 + 7 * 7 * 32 * 60 + 600
  return 3 * 2.0 * products


def activations_of_small_cnn() -> int:
  """Counts the numbers kept from one image's forward pass, with patches."""
  return 28 * 28 * (9 + 16) + 14 * 14 * (9 * 16 + 16 + 32) + 7 * 7 * 32 + 60


def mnist_gradients(
  num_labels: int = 10_000, *, width: int = 256, epochs: int = 20
) -> kernels.Factors:
  """Computes gradients on MNIST's training set of an MLP trained on part of it.

  Args:
    num_labels: number of examples to train on, from the first.
    width: width D of both hidden layers.
    epochs: epochs of Adam.

  Returns:
    Factors of 60,000 points.

  Raises:
    NotInstalled: MNIST is missing.
  """
  try:
    split = data.load('tfds:mnist').train
  except (FileNotFoundError, ImportError) as error:
    raise NotInstalled('MNIST in TFDS_DATA_DIR') from error
  inputs = split.inputs.reshape(len(split), -1).astype(np.float32) / 255
  params = _trained_mlp(
    inputs[:num_labels], split.targets[:num_labels], width, epochs
  )
  hidden, logits = jax.jit(_mlp)(params, jnp.asarray(inputs))
  return jax.block_until_ready(kernels.gradient_factors(logits, hidden))


def _trained_mlp(inputs, targets, width, epochs, batch_size=100):
  key, init_key = jax.random.split(jax.random.key(0))
  shapes = {
    'dense_1': (inputs.shape[1], width),
    'dense_2': (width, width),
    'head': (width, NUM_CLASSES),
  }
  optimizer = optax.adam(1e-3)

  def loss_fn(params, inputs, targets):
    _, logits = _mlp(params, inputs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return jnp.mean(losses)

  def step(state, batch):
    params, moments = state
    gradient = jax.grad(loss_fn)(params, inputs[batch], targets[batch])
    update, moments = optimizer.update(gradient, moments)
    return (optax.apply_updates(params, update), moments), None

  @jax.jit
  def epoch(state, key):
    order = jax.random.permutation(key, len(inputs))
    state, _ = lax.scan(step, state, order.reshape(-1, batch_size))
    return state

  inputs, targets = jnp.asarray(inputs), jnp.asarray(targets)
  params = _drawn(init_key, shapes)
  state = (params, optimizer.init(params))
  for number in range(epochs):
    state = epoch(state, jax.random.fold_in(key, number))
  return state[0]


def _mlp(params, inputs):
  """Returns the embedding and the logits."""
  hidden = jax.nn.relu(inputs @ params['dense_1'])
  hidden = jax.nn.relu(hidden @ params['dense_2'])
  return hidden, hidden @ params['head']


def _cross_entropy(params, images, labels):
  hidden = images
  for name in ('conv_1', 'conv_2'):
    hidden = _convolved(hidden, params[name], 'SAME')
    hidden = _pooled(jax.nn.relu(hidden))
  hidden = hidden.reshape(len(hidden), -1)
  hidden = jax.nn.relu(hidden @ params['dense'])
  logits = hidden @ params['head']
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return jnp.mean(losses)


def _drawn(key, shapes):
  """Draws weights by He's initialisation, without biases."""
  keys = jax.random.split(key, len(shapes))
  initialize = jax.nn.initializers.he_normal()
  return {
    name: initialize(key, shape)
    for key, (name, shape) in zip(keys, shapes.items(), strict=True)
  }


_convolve = functools.partial(
  lax.conv_general_dilated,
  window_strides=(1, 1),
  dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
)


def _convolved(images, kernel, padding='VALID'):
  return _convolve(images, kernel, padding=padding)


def _pooled(images):
  """Takes 2 x 2 maxima."""
  batch, height, width, channels = images.shape
  tiles = images.reshape(batch, height // 2, 2, width // 2, 2, channels)
  return jnp.max(tiles, axis=(2, 4))


def _kept(key, width):
  """Draws a dropout mask at rate 0.5, [1, width]."""
  return 2.0 * jax.random.bernoulli(key, 0.5, (1, width))
