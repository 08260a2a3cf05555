"""Flax modules as strangers write them, behind the seam of the library."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from al_jax import models, tasks
from al_jax.interfaces import Facts, ModelFns, ModelOutput
from al_jax.models import common

FACTS = Facts(
  num_examples=100,
  task=tasks.numbered(5),
  label_budget=10,
  example=jax.ShapeDtypeStruct((4, 3), jnp.uint8),
  mean=np.float32(120),
  std=np.float32(60),
)
INPUTS = np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8)
KEY = jax.random.key(1)


def flat(inputs):
  return inputs.reshape(len(inputs), -1)


class Plain(nn.Module):
  @nn.compact
  def __call__(self, inputs):
    return nn.Dense(5)(flat(inputs))


class Embedding(nn.Module):
  """With dropout, by a flag of either name."""

  rate: float = 0.5

  def hidden(self, inputs, deterministic):
    hidden = nn.relu(nn.Dense(16)(flat(inputs)))
    return nn.Dropout(self.rate)(hidden, deterministic=deterministic)


class Train(Embedding):
  @nn.compact
  def __call__(self, x, train: bool = False):
    hidden = self.hidden(x, not train)
    return nn.Dense(5, name='head')(hidden), hidden


class Training(Embedding):
  @nn.compact
  def __call__(self, x, training):
    hidden = self.hidden(x, not training)
    return nn.Dense(5, name='head')(hidden), hidden


class Deterministic(Embedding):
  @nn.compact
  def __call__(self, x, *, deterministic):
    hidden = self.hidden(x, deterministic)
    return nn.Dense(5, name='head')(hidden), hidden


class How(Embedding):
  @nn.compact
  def __call__(self, inputs, how):
    hidden = nn.relu(nn.Dense(16)(flat(inputs)))
    hidden = common.dropout(hidden, self.rate, how)
    return ModelOutput(nn.Dense(5, name='head')(hidden), hidden, {})


class Normed(nn.Module):
  """BatchNorm and dropout, with a flag for each."""

  @nn.compact
  def __call__(self, x, train, deterministic):
    hidden = nn.Dense(16)(flat(x))
    hidden = nn.BatchNorm(use_running_average=not train)(hidden)
    hidden = nn.Dropout(0.5)(nn.relu(hidden), deterministic=deterministic)
    return nn.Dense(5)(hidden), hidden


class OneFlag(nn.Module):
  @nn.compact
  def __call__(self, x, train):
    x = nn.BatchNorm(use_running_average=not train)(flat(x))
    return nn.Dense(5)(nn.Dropout(0.5)(x, deterministic=not train))


class Nnx(nnx.Module):
  """The same as Normed; its layers are told by nnx itself."""

  def __init__(self, size, outputs, *, rngs):
    self.layers = nnx.List([nnx.Linear(size, 16, rngs=rngs)])
    self.norm = nnx.BatchNorm(16, rngs=rngs)
    self.dropout = nnx.Dropout(0.5, rngs=rngs)
    self.head = nnx.Linear(16, outputs, rngs=rngs)

  def __call__(self, x):
    hidden = nnx.relu(self.norm(self.layers[0](flat(x))))
    hidden = self.dropout(hidden)
    return self.head(hidden), hidden


BRIDGED = nnx.bridge.ToLinen(Nnx, args=(12, 5))
WITH_DROPOUT = {
  'train': Train(),
  'training': Training(),
  'deterministic': Deterministic(),
  'how': How(),
  'two flags': Normed(),
  'nnx': BRIDGED,
}


@functools.cache
def made(name):
  """A network and its variables."""
  network = models.build(WITH_DROPOUT[name], FACTS)
  return network, network.init(jax.random.key(0))


def dropped(output):
  return np.asarray(output.embedding == 0)


@pytest.mark.parametrize('name', WITH_DROPOUT)
def test_a_dropout_sample_shares_its_mask_and_training_does_not(name):
  network, variables = made(name)
  same = np.repeat(INPUTS[:1], 6, axis=0)
  plain = network.apply(variables, same)
  sample = network.apply(variables, same, key=KEY)
  other = network.apply(variables, same, key=jax.random.key(2))
  in_training, _ = network.train(variables, same, KEY)
  assert sample.predictions.shape == (6, 5)
  assert sample.embedding.shape == (6, 16)
  assert np.all(dropped(sample) == dropped(sample)[0])
  assert np.any(dropped(sample) != dropped(other))
  assert np.any(dropped(sample) & ~dropped(plain))
  assert np.any(dropped(in_training) != dropped(in_training)[0])


@pytest.mark.parametrize('name', ['train', 'nnx'])
def test_a_row_is_evaluated_alike_in_any_batch(name):
  network, variables = made(name)
  for key in (None, KEY):
    whole = network.apply(variables, INPUTS, key=key)
    part = network.apply(variables, INPUTS[2:4], key=key)
    np.testing.assert_allclose(
      part.predictions, whole.predictions[2:4], rtol=1e-5, atol=1e-6
    )


def test_a_module_that_is_told_how_is_called_as_the_librarys_own_are():
  network, variables = made('how')
  direct = common.model_fns(How(), FACTS)
  for found, expected in (
    (network.apply, direct.apply),
    (network.train, direct.train),
  ):
    texts = [
      jax.jit(lambda v, key, fn=fn: fn(v, INPUTS, key=key))
      .lower(variables, KEY)
      .as_text()
      for fn in (found, expected)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize('name', ['two flags', 'nnx'])
def test_batch_norm_leaves_padding_out_and_samples_leave_it_alone(name):
  network, variables = made(name)
  real = jnp.arange(6) < 4
  dirty = np.where(np.arange(6)[:, None, None] < 4, INPUTS, 255)
  _, expected = network.train(variables, INPUTS[:4], KEY)
  _, found = network.train(variables, dirty, KEY, real=real)
  assert jax.tree.structure(found) == jax.tree.structure(
    variables['statistics']
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    found,
    expected,
  )
  assert any(
    np.any(old != new)
    for old, new in zip(
      jax.tree.leaves(variables['statistics']),
      jax.tree.leaves(found),
      strict=True,
    )
  )
  # A sample is that of the running statistics: moved ones move it.
  moved = jax.tree.map(lambda leaf: leaf + 1, variables['statistics'])
  before, after = (
    network.apply({**variables, 'statistics': each}, INPUTS, key=KEY)
    for each in (variables['statistics'], moved)
  )
  assert np.any(before.embedding != after.embedding)


def test_two_keys_draw_two_networks():
  for name in ('train', 'nnx'):
    network, variables = made(name)
    other = network.init(jax.random.key(7))
    kernel = variables['params']['head']['kernel']
    assert np.any(kernel != other['params']['head']['kernel'])


def test_logits_alone_are_an_output_without_an_embedding():
  network = models.build(Plain(), FACTS)
  variables = network.init(KEY)
  output = network.apply(variables, INPUTS)
  kernel, bias = (
    np.asarray(variables['params']['Dense_0'][name])
    for name in ('kernel', 'bias')
  )
  inputs = (flat(INPUTS).astype(np.float32) - 120) / 60
  np.testing.assert_allclose(
    output.predictions, inputs @ kernel + bias, rtol=1e-5, atol=1e-5
  )
  assert output.embedding is None
  assert output.extras == {}


def test_a_model_that_is_pure_functions_already_is_taken_as_it_is():
  network = ModelFns(init=lambda key: (), apply=lambda: 0, train=lambda: 1)
  assert models.build(network, FACTS) is network
  assert models.build(lambda facts: network, FACTS) is network


class Needy(nn.Module):
  def __call__(self, inputs, targets):
    return inputs


class Counting(nn.Module):
  @nn.compact
  def __call__(self, inputs):
    self.variable('cache', 'count', lambda: jnp.zeros(()))
    return nn.Dense(5)(flat(inputs))


class Forward(nn.Module):
  @nn.compact
  def forward(self, inputs):
    return nn.Dense(5)(flat(inputs))


class Returning(nn.Module):
  what: object

  @nn.compact
  def __call__(self, inputs):
    return self.what(nn.Dense(5)(flat(inputs)))


def own_softmax(x):
  shares = jnp.exp(x)
  shares /= shares.sum(axis=1).reshape(-1, 1)
  return shares.astype(jnp.bfloat16).astype(jnp.float32), x


@pytest.mark.parametrize(
  'what',
  [
    nn.log_softmax,
    lambda x: x / jnp.exp(x).sum(axis=1, keepdims=True),
    lambda x: nn.softmax(x) @ x.T @ x,
    lambda x: (x, nn.softmax(x)),
  ],
)
def test_logits_are_no_softmax(what):
  models.build(Returning(what), FACTS)


@pytest.mark.parametrize(
  ('module', 'message'),
  [
    (Plain, 'is a class; pass a module, Plain'),
    (Nnx, r'ToLinen\(Nnx, args'),
    (Nnx(12, 5, rngs=nnx.Rngs(0)), r'every seed draws its own: pass .*ToLinen'),
    (Needy(), "needs the argument 'targets'; .* how, train, training, determ"),
    (Forward(), 'has no __call__: define __call__'),
    (Counting(), "has the variable collection 'cache'; a model may only"),
    (Returning(lambda x: (x, x, x)), 'a tuple of 3; it must return logits, '),
    (Returning(lambda x: x[0]), r'predictions float32\[5\] for 2 examples'),
    (Returning(lambda x: (x, x[:, None])), r'embedding float32\[2, 1, 5\]'),
    (Returning(lambda x: x.astype(jnp.bfloat16)), 'predictions bfloat16'),
    (Returning(nn.softmax), 'ends in a softmax: it returns probabilities'),
    (Returning(jax.jit(own_softmax)), 'ends in a softmax.* leave the softmax'),
    (Returning(lambda x: x[:, :3]), r'shape \(3,\) for .* must be \(5,\)'),
    (Returning(lambda x: x @ x), r'fails for inputs of shape \(2, 4, 3\) with'),
    (3, 'model 3 is not known'),
    (lambda facts: 3, 'returns int; it must return flax'),
    (lambda facts: Plain, 'is a class; pass a module'),
  ],
)
def test_what_is_no_model_is_told_in_a_sentence(module, message):
  with pytest.raises(ValueError, match=message) as caught:
    models.build(module, FACTS)
  assert '\n' not in str(caught.value)


def test_a_module_that_is_made_takes_no_options():
  with pytest.raises(ValueError, match=r"Plain.*takes no options.*'width': 3"):
    models.build(Plain(), FACTS, width=3)


def test_samples_are_refused_where_they_would_change_batch_norm():
  network = models.build(OneFlag(), FACTS)
  variables = network.init(KEY)
  network.train(variables, INPUTS, KEY)
  with pytest.raises(ValueError, match="has 'train' for both BatchNorm and"):
    network.apply(variables, INPUTS, key=KEY)
