import jax
import jax.numpy as jnp
import numpy as np

from al_jax.training import objectives


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
