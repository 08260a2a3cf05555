"""The 13-layer network against its formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import models
from al_jax.learners import LEARNERS
from al_jax.models import conv
from al_jax.sources import Source
from al_jax.training import fit
from tests.models.models_test import facts_of

CLASSES, WIDTH, BATCH = 5, 8, 3
KEY = jax.random.key(1)


class Network:
  """Functions compiled once, and variables as after some training."""

  def __init__(self, shape, **options):
    self.facts = facts_of(shape)
    fns = models.build('cnn13', self.facts, width=WIDTH, **options)
    self.init, self.apply, self.train = map(jax.jit, fns)
    self.variables = self.init(jax.random.key(0))
    if 'statistics' in self.variables:
      self.variables['statistics'] = jax.tree.map(
        lambda leaf: leaf + 0.25, self.variables['statistics']
      )
    rng = np.random.default_rng(0)
    self.inputs = rng.integers(0, 256, (BATCH, *shape)).astype(np.uint8)

  def with_params(self, change):
    """The variables after a change of every weight-normed layer."""
    params = {
      name: change(layer) if 'gain' in layer else layer
      for name, layer in self.variables['params'].items()
    }
    return {**self.variables, 'params': params}


@functools.cache
def a_network(shape=(32, 32, 3), **options):
  return Network(shape, **options)


def weights(layer):
  """gain * direction / |direction| for each output."""
  direction = np.float64(layer['direction'])
  axes = tuple(range(direction.ndim - 1))
  lengths = np.sqrt((direction**2).sum(axes))
  return np.float64(layer['gain']) * direction / lengths


def convolved(images, layer, padding):
  kernel = weights(layer)
  images = np.pad(images, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(
    images, kernel.shape[:2], axis=(1, 2)
  )
  return np.einsum('bxycij,ijcf->bxyf', windows, kernel) + layer['bias']


def reference(variables, inputs, *, training):
  """The network without dropout in float64, as published: map and logits."""
  variables = jax.tree.map(np.float64, variables)
  params = variables['params']
  hidden = (np.float64(inputs) - 120) / 60
  for number, padding in enumerate([1, 1, 1, 1, 1, 1, 0, 0, 0]):
    hidden = convolved(hidden, params[f'WeightNorm_{number}'], padding)
    if training:
      mean, var = hidden.mean((0, 1, 2)), hidden.var((0, 1, 2))
    else:
      statistics = variables['statistics'][f'BatchNorm_{number}']
      mean, var = statistics['mean'], statistics['var']
    norm = params[f'BatchNorm_{number}']
    hidden = (hidden - mean) / np.sqrt(var + 1e-5)
    hidden = hidden * norm['scale'] + norm['bias']
    hidden = np.maximum(hidden, 0.1 * hidden)
    if number in (2, 5):
      batch, height, width, channels = hidden.shape
      hidden = hidden.reshape(batch, height // 2, 2, width // 2, 2, channels)
      hidden = hidden.max((2, 4))
  embedding = hidden.mean((1, 2))
  embedding /= np.sqrt((embedding**2).sum(1, keepdims=True))
  logits = embedding @ weights(params['head']) + params['head']['bias']
  return hidden, logits


@pytest.mark.parametrize('training', [False, True])
def test_it_is_the_published_network(training):
  network = a_network(dropout=0.0)
  variables, inputs = network.variables, network.inputs
  if training:
    output, _ = network.train(variables, inputs, KEY)
  else:
    output = network.apply(variables, inputs)
  features, logits = reference(variables, inputs, training=training)
  assert features.shape == (BATCH, 6, 6, WIDTH)
  np.testing.assert_allclose(output.extras['features'], features, atol=1e-4)
  np.testing.assert_allclose(output.predictions, logits, atol=1e-5)


def test_only_the_direction_of_a_direction_counts():
  network = a_network()
  rng = np.random.default_rng(0)

  def stretched(layer):
    factors = rng.uniform(0.1, 10, layer['gain'].shape).astype(np.float32)
    factors = factors.reshape((1,) * (layer['direction'].ndim - 1) + (-1,))
    return {**layer, 'direction': layer['direction'] * factors}

  wanted = network.apply(network.variables, network.inputs)
  result = network.apply(network.with_params(stretched), network.inputs)
  np.testing.assert_allclose(
    result.predictions, wanted.predictions, atol=1e-5, rtol=0
  )


def test_the_gain_is_the_length_of_the_weights():
  network = a_network()
  head = network.variables['params']['head']
  louder = {**network.variables['params'], 'head': {**head}}
  louder['head']['gain'] = 3 * head['gain']
  before, after = (
    network.apply({**network.variables, 'params': params}, network.inputs)
    for params in (network.variables['params'], louder)
  )
  np.testing.assert_allclose(
    after.predictions - head['bias'][None],
    3 * (before.predictions - head['bias'][None]),
    atol=1e-5,
  )
  # The embedding has length 1: no logit is farther from its bias than that.
  far = np.abs(before.predictions - head['bias'][None]).max(0)
  assert np.all(far <= head['gain'] * (1 + 1e-5))


def test_it_starts_as_in_pytorch():
  """Uniform within 1 / sqrt(fan-in); the weights are the direction."""
  for layer in a_network().variables['params'].values():
    if 'gain' not in layer:
      continue
    np.testing.assert_allclose(weights(layer), layer['direction'], atol=1e-6)
    bound = np.prod(layer['direction'].shape[:-1]) ** -0.5
    for drawn in (layer['direction'], layer['bias']):
      assert np.abs(drawn).max() <= bound
    assert np.abs(layer['direction']).max() > 0.9 * bound
    assert abs(np.mean(layer['direction'])) < 0.3 * bound


@pytest.mark.parametrize('norm', ['batch', 'group'])
def test_the_embedding_has_length_one(norm):
  network = a_network(norm=norm)
  variables, inputs = network.variables, network.inputs
  outputs = [
    network.apply(variables, inputs),
    network.apply(variables, inputs, key=KEY),
    network.train(variables, inputs, KEY)[0],
  ]
  for output in outputs:
    lengths = np.linalg.norm(output.embedding, axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
  assert np.any(outputs[0].embedding != outputs[1].embedding)


def test_group_norm_has_no_statistics():
  network = a_network(norm='group')
  assert set(network.variables) == {'params'}
  assert network.train(network.variables, network.inputs, KEY)[1] == {}


@pytest.mark.parametrize(
  ('shape', 'rows', 'columns'),
  [
    ((28, 28, 1), (2, 2), (2, 2)),
    ((9, 31, 3), (11, 12), (0, 1)),
    ((28, 40, 1), (2, 2), (0, 0)),
  ],
)
def test_small_and_grey_images_are_padded_and_repeated(shape, rows, columns):
  small = a_network(shape)
  by_hand = np.pad(small.inputs, ((0, 0), rows, columns, (0, 0)), mode='edge')
  by_hand = np.broadcast_to(by_hand, (*by_hand.shape[:3], 3))
  whole = a_network(by_hand.shape[1:])
  np.testing.assert_allclose(
    small.apply(small.variables, small.inputs).predictions,
    whole.apply(small.variables, by_hand).predictions,
    atol=1e-5,
  )


def test_what_larger_images_leave_is_averaged():
  network = a_network((40, 48, 3))
  output = network.apply(network.variables, network.inputs)
  features = output.extras['features']
  assert features.shape == (BATCH, 8, 10, WIDTH)
  mean = np.mean(features, axis=(1, 2))
  np.testing.assert_allclose(
    output.embedding,
    mean / np.linalg.norm(mean, axis=1, keepdims=True),
    atol=1e-5,
  )


@pytest.mark.parametrize('pixel', [0, 120])
def test_images_of_one_colour_have_a_finite_gradient(pixel):
  network = a_network(dropout=0.0)
  unbiased = network.with_params(
    lambda layer: {**layer, 'bias': 0 * layer['bias']}
  )

  @jax.jit
  def with_gradient(params, inputs):
    def loss(params):
      variables = {**unbiased, 'params': params}
      output, _ = network.train(variables, inputs, KEY)
      loss = -jnp.mean(jax.nn.log_softmax(output.predictions)[:, 0])
      return loss, output.embedding

    return jax.grad(loss, has_aux=True)(params)

  gradient, embedding = with_gradient(
    unbiased['params'], np.full_like(network.inputs, pixel)
  )
  # Of the mean colour zeros are left, which have no direction.
  assert np.all(embedding == 0) == (pixel == 120)
  for leaf in jax.tree.leaves(gradient):
    assert np.all(np.isfinite(leaf))
  assert np.any(gradient['head']['bias'] != 0)


def test_seeds_may_be_a_batch_axis():
  network = a_network()
  keys = jax.random.split(KEY, 2)
  variables = jax.vmap(network.init)(keys)
  together = jax.vmap(network.apply, (0, None))(variables, network.inputs)
  for seed, key in enumerate(keys):
    alone = network.apply(network.init(key), network.inputs)
    np.testing.assert_allclose(
      together.predictions[seed], alone.predictions, atol=1e-5
    )


@pytest.mark.parametrize('is_fast', [True, False])
def test_steps_loop_on_the_device_by_the_layout_of_the_convolutions(
  is_fast, monkeypatch
):
  if not is_fast:
    native = lambda: jax.lax.conv_general_dilated  # noqa: E731
    monkeypatch.setattr(conv, 'for_backend', native)
  facts = facts_of((32, 32, 3))
  network = models.build('cnn13', facts, width=WIDTH)
  learner = LEARNERS['supervised'](network, facts)
  inputs = jnp.zeros((facts.num_examples, 32, 32, 3), jnp.uint8)
  fns = fit.compile_fit(learner, facts, {'pool': Source(inputs)})
  assert fns.steps_in_loop == is_fast
