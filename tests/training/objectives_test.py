import jax
import jax.numpy as jnp
import numpy as np

from al_jax.training import objectives


def test_cross_entropy_is_minus_the_log_of_the_targets_probability(rng):
  logits = rng.normal(scale=4, size=(6, 5)).astype(np.float32)
  targets = np.array([0, 4, 2, 2, 1, 3])
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  losses = objectives.cross_entropy(jnp.asarray(logits), jnp.asarray(targets))
  wanted = -np.log(probs[np.arange(6), targets])
  np.testing.assert_allclose(losses, wanted, rtol=1e-4, atol=1e-6)


def test_cross_entropy_of_huge_logits_is_finite():
  logits = jnp.array([[1e4, 0.0], [-1e4, 1e4]])
  losses = objectives.cross_entropy(logits, jnp.array([1, 1]))
  np.testing.assert_allclose(losses, [1e4, 0])


def test_a_masked_mean_equals_the_mean_of_the_subset(rng):
  values = rng.normal(size=9).astype(np.float32)
  real = np.array([1, 0, 0, 1, 1, 0, 1, 0, 1], bool)
  mean = objectives.masked_mean(jnp.asarray(values), jnp.asarray(real))
  np.testing.assert_allclose(mean, values[real].mean(), rtol=1e-6)


def test_fillers_that_are_not_finite_touch_neither_mean_nor_gradient():
  values = jnp.array([2.0, jnp.nan, 4.0, jnp.inf])
  real = jnp.array([True, False, True, False])
  mean, gradient = jax.value_and_grad(objectives.masked_mean)(values, real)
  assert float(mean) == 3
  np.testing.assert_array_equal(gradient, [0.5, 0, 0.5, 0])


def test_the_mean_of_nothing_is_zero():
  nothing = jnp.zeros(3, bool)
  assert float(objectives.masked_mean(jnp.full(3, jnp.nan), nothing)) == 0
