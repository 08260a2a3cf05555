"""Autoencoders and critics: shapes, padding, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.models import common, generative
from tests.models.models_test import facts_of

KEY = jax.random.key(0)
SMALL = {'channels': (4, 8, 8), 'latent': 3}
SMALL_MAKERS = {'channels': (4, 8), 'widths': (8,), 'latent': 3}


def images_of(side, number=5, depth=1):
  shape = (number, side, side, depth)
  return jax.random.normal(jax.random.key(1), shape)


@pytest.mark.parametrize(('side', 'depth'), [(28, 1), (32, 3), (21, 1)])
def test_what_is_made_has_the_shape_of_what_was_given(side, depth):
  facts = facts_of((side, side, depth))
  net = generative.autoencoder(
    facts, target_latent=2, target_widths=(6,), **SMALL
  )
  images = images_of(side, depth=depth)
  noise = jnp.zeros((5, 5))
  coded, statistics = jax.eval_shape(
    lambda: net.apply(net.init(KEY), images, noise, training=True)
  )
  assert coded.mean.shape == coded.log_variance.shape == (5, 5)
  assert coded.reconstruction.shape == images.shape
  assert coded.predictions.shape == (5, len(facts.task.class_names))
  assert statistics


def test_the_layers_are_those_of_vaal():
  facts = facts_of((32, 32, 3))
  channels = (128, 256, 512, 1024)
  net = generative.autoencoder(facts, channels=channels)
  params = jax.eval_shape(net.init, KEY)['params']
  widths = [params[f'encode_{i}']['kernel'].shape for i in range(1, 5)]
  assert [width[-1] for width in widths] == [128, 256, 512, 1024]
  assert {width[:2] for width in widths} == {(4, 4)}
  assert params['mean']['kernel'].shape == (2 * 2 * 1024, 32)
  assert params['decode']['kernel'].shape == (32, 4 * 4 * 1024)
  assert params['made']['kernel'].shape == (1, 1, 128, 3)
  critic = jax.eval_shape(generative.critic(32).init, KEY)['params']
  assert [of['kernel'].shape for of in critic.values()] == [
    (32, 512),
    (512, 512),
    (512, 1),
  ]


def test_the_layers_are_those_of_bgadl():
  facts = facts_of((28, 28, 1), classes=10)
  nets = generative.acgan(facts, channels=(64, 128), widths=(1024,), latent=100)
  params = [jax.eval_shape(net.init, KEY)['params'] for net in nets[:3]]
  encoder, generator, discriminator = params
  for params in (encoder, discriminator):
    assert params['encode_1']['kernel'].shape == (4, 4, 1, 64)
    assert params['encode_2']['kernel'].shape == (4, 4, 64, 128)
    assert params['dense_1']['kernel'].shape == (7 * 7 * 128, 1024)
  assert encoder['mean']['kernel'].shape == (1024, 100)
  assert discriminator['real']['kernel'].shape == (1024, 1)
  assert generator['dense_1']['kernel'].shape == (110, 1024)
  assert generator['decode']['kernel'].shape == (1024, 7 * 7 * 128)
  assert generator['decode_1']['kernel'].shape == (4, 4, 128, 64)
  assert generator['made']['kernel'].shape == (4, 4, 64, 1)


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
def test_images_are_made_of_a_code_and_a_class(dtype):
  facts = facts_of((21, 18, 3), dtype=dtype)
  nets = generative.acgan(facts, **SMALL_MAKERS)
  codes = 100 * jax.random.normal(KEY, (5, 3))
  variables = nets.generator.init(KEY)
  made = jax.jit(lambda of: nets.generator.apply(variables, codes, of)[0])
  images = made(jnp.zeros(5, jnp.int32))
  assert images.shape == (5, 21, 18, 3)
  assert np.any(images != made(jnp.ones(5, jnp.int32)))
  raw = common.as_raw(facts, common.unnormalised(facts, images))
  assert raw.dtype == facts.example.dtype
  mean, std = common.moments(facts)
  atol = 0.5001 if dtype == 'uint8' else 1e-4
  # Nothing is cut off: the generator keeps within the limits.
  np.testing.assert_allclose(raw, images * std + mean, atol=atol)


def test_padding_changes_nothing_of_real_rows():
  net = generative.autoencoder(facts_of((12, 12, 1)), channels=(4,), latent=3)
  images, noise = images_of(12), jax.random.normal(KEY, (5, 3))
  spoilt = images.at[3:].set(1e3)
  real = jnp.arange(5) < 3

  @jax.jit
  def trained(images):
    return net.apply(net.init(KEY), images, noise, training=True, real=real)

  (coded, statistics), (other, same) = trained(images), trained(spoilt)
  jax.tree.map(np.testing.assert_array_equal, statistics, same)
  np.testing.assert_allclose(
    coded.reconstruction[:3], other.reconstruction[:3], rtol=1e-6
  )


def test_a_latent_is_its_mean_and_noise_of_its_variance():
  net = generative.autoencoder(facts_of((12, 12, 1)), channels=(4,), latent=3)
  variables = net.init(KEY)
  params = dict(variables['params'])
  # Variances of exp(-200): all noise is as good as none.
  params['log_variance'] = {
    'kernel': jnp.zeros_like(params['log_variance']['kernel']),
    'bias': jnp.full(3, -200.0),
  }
  quiet = {**variables, 'params': params}
  images, noise = images_of(12), jax.random.normal(KEY, (5, 3))
  apply = jax.jit(lambda of, noise: net.apply(of, images, noise)[0])
  none = apply(quiet, jnp.zeros((5, 3))).reconstruction
  np.testing.assert_array_equal(apply(quiet, noise).reconstruction, none)
  assert np.any(apply(variables, noise).reconstruction != none)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'channels': ()}, 'channels is empty; it must have at least one entry'),
    ({'channels': (4, 0)}, 'a width in channels is 0; it must be'),
    ({'latent': 0}, 'latent is 0; it must be'),
    ({'target_latent': -1}, 'target_latent is -1; it must be'),
    ({'channels': (4,) * 4}, r'images .* of at least 16 x 16 pixels'),
  ],
)
def test_sizes_that_are_none_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    generative.autoencoder(facts_of((8, 8, 1)), **{**SMALL, **options})


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'channels': ()}, 'channels is empty; it must have at least one entry'),
    ({'widths': (0,)}, 'a width in widths is 0; it must be'),
    ({'latent': 0}, 'latent is 0; it must be'),
    ({'channels': (4,) * 4}, r'images .* of at least 16 x 16 pixels'),
  ],
)
def test_sizes_of_an_acgan_that_are_none_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    generative.acgan(facts_of((8, 8, 1)), **{**SMALL_MAKERS, **options})


def test_what_is_no_image_is_refused():
  with pytest.raises(
    ValueError, match=r'mine makes images, .* of shape \(7,\)'
  ):
    generative.check('mine', facts_of((7,)))
