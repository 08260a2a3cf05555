"""Encoders, decoders and critics as pure functions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.models import common, transposed

KEY = jax.random.key(3)


class Decoder(nn.Module):
  """From a latent and a label to an image, with everything that has a state."""

  @nn.compact
  def __call__(self, latent, label, how):
    """[B, 4] and [B, 2] to [B, 4, 4, 1]."""
    hidden = nn.Dense(8)(jnp.concatenate([latent, label], axis=1))
    hidden = nn.relu(common.normalise(hidden, 'batch', how))
    hidden = common.dropout(hidden, 0.5, how)
    hidden = hidden.reshape(-1, 2, 2, 2)
    return transposed.ConvTranspose(1, (3, 3), strides=2)(hidden)


@pytest.fixture(scope='module')
def decoder():
  fns = common.net_fns(
    Decoder(),
    jax.ShapeDtypeStruct((1, 4), jnp.float32),
    jax.ShapeDtypeStruct((1, 2), jnp.float32),
  )
  return fns, fns.init(KEY)


def inputs_of(rng, count):
  return [
    jnp.asarray(rng.normal(size=(count, size)), jnp.float32) for size in (4, 2)
  ]


def test_variables_are_named_as_those_of_a_model(decoder):
  _, variables = decoder
  assert set(variables) == {'params', 'statistics'}
  assert set(variables['params']) == {
    'Dense_0',
    'BatchNorm_0',
    'ConvTranspose_0',
  }


def test_evaluation_leaves_the_statistics_alone(rng, decoder):
  fns, variables = decoder
  inputs = inputs_of(rng, 5)
  outputs, statistics = fns.apply(variables, *inputs)
  assert outputs.shape == (5, 4, 4, 1)
  assert statistics is variables['statistics']
  one, _ = fns.apply(variables, *(array[2:3] for array in inputs))
  np.testing.assert_allclose(outputs[2:3], one, rtol=1e-5, atol=1e-6)


def test_training_normalises_by_the_real_rows(rng, decoder):
  fns, variables = decoder
  inputs = inputs_of(rng, 6)
  real = jnp.arange(6) < 4
  outputs, statistics = fns.apply(variables, *inputs, training=True, real=real)
  few = [array[:4] for array in inputs]
  wanted, same = fns.apply(variables, *few, training=True)
  np.testing.assert_allclose(outputs[:4], wanted, rtol=1e-4, atol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    statistics,
    same,
  )
  hidden = variables['params']['Dense_0']
  mean = jnp.mean(jnp.concatenate(few, axis=1) @ hidden['kernel'], axis=0)
  np.testing.assert_allclose(
    statistics['BatchNorm_0']['mean'], 0.1 * mean, rtol=1e-4, atol=1e-6
  )


def test_a_batch_of_padding_changes_no_statistics(rng, decoder):
  fns, variables = decoder
  nobody = jnp.zeros(3, bool)
  outputs, statistics = fns.apply(
    variables, *inputs_of(rng, 3), training=True, real=nobody
  )
  assert np.isfinite(outputs).all()
  jax.tree.map(
    np.testing.assert_array_equal, statistics, variables['statistics']
  )


def test_a_key_drops_units_and_in_training_others_for_each_example(
  rng, decoder
):
  fns, variables = decoder
  # Two examples, twice.
  inputs = [jnp.concatenate([array, array]) for array in inputs_of(rng, 2)]
  without, _ = fns.apply(variables, *inputs)
  shared, _ = fns.apply(variables, *inputs, key=KEY)
  assert not np.allclose(shared, without)
  np.testing.assert_allclose(shared[:2], shared[2:], rtol=1e-5, atol=1e-6)
  apart = [
    fns.apply(variables, *inputs, key=jax.random.key(seed), training=True)[0]
    for seed in range(4)
  ]
  assert any(not np.allclose(outputs[:2], outputs[2:]) for outputs in apart)


def test_a_module_of_flax_needs_to_know_of_no_pass():
  critic = nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(1)])
  fns = common.net_fns(critic, jax.ShapeDtypeStruct((1, 4), jnp.float32))
  variables = fns.init(KEY)
  assert set(variables) == {'params'}
  for training in (False, True):
    outputs, statistics = fns.apply(
      variables, jnp.ones((2, 4)), training=training
    )
    assert outputs.shape == (2, 1)
    assert statistics == {}
