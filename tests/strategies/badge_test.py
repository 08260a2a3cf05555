import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.strategies import badge
from tests.strategies.linear_network import (
  KEY,
  WEIGHTS,
  D,
  K,
  N,
  choose,
  measure_pool,
  pool_with,
  select,
)

ASKED = [3, 17, 5]


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def gradients(inputs):
  """Of the cross-entropy at the predicted label, by the weights: [N, D, C]."""

  def loss(weights, row):
    predicted = jnp.argmax(row @ WEIGHTS)
    return -jax.nn.log_softmax(row @ weights)[predicted]

  return np.asarray(jax.vmap(jax.grad(loss), (None, 0))(WEIGHTS, inputs))


def test_factors_multiply_out_to_the_gradient_of_the_last_layer(inputs):
  residuals, embeddings = measure_pool(badge(), inputs)
  multiplied_out = embeddings[:, :, None] * residuals[:, None, :]
  np.testing.assert_allclose(
    multiplied_out, gradients(inputs), rtol=1e-4, atol=1e-6
  )


def test_the_first_pick_may_be_the_longest_gradient_not_asked_about(inputs):
  length = np.linalg.norm(gradients(inputs), axis=(1, 2))
  asked = np.argsort(-length)[:3]
  strategy = badge(first='max_norm')
  for seed in range(3):
    key = jax.random.key(seed)
    picks = choose(strategy, inputs, pool_with(asked), key=key)
    assert picks[0] == np.argsort(-length)[3]


def test_by_default_the_first_pick_is_any_and_the_key_decides(inputs):
  keys, pool = jax.random.split(KEY, 40), pool_with(ASKED)
  factors = measure_pool(badge(), inputs)
  first = [
    int(select(badge(), factors, pool, key=key)[1].indices[0]) for key in keys
  ]
  assert not set(first) & set(ASKED)
  # 40 draws of 37 leave a third out, give or take two.
  assert 18 <= len(set(first)) <= 32


def test_what_the_network_is_sure_of_comes_after_all_else(inputs):
  """Its gradient is 0, and so is its distance to others of the kind."""
  inputs[K - 1 :] = 1e4 * inputs[-1]
  picks = choose(badge(first='max_norm'), inputs, pool_with([]))
  assert set(range(K - 1)) < set(picks)


def test_another_beginning_is_refused():
  with pytest.raises(ValueError, match="first is 'longest'"):
    badge(first='longest')
