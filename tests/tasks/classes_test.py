import jax.numpy as jnp
import numpy as np

from al_jax import tasks


def test_losses_are_minus_the_log_of_the_targets_probability(rng):
  logits = rng.normal(scale=4, size=(6, 5)).astype(np.float32)
  targets = np.array([0, 4, 2, 2, 1, 3])
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  losses = tasks.numbered(5).losses(jnp.asarray(logits), jnp.asarray(targets))
  wanted = -np.log(probs[np.arange(6), targets])
  np.testing.assert_allclose(losses, wanted, rtol=1e-4, atol=1e-6)


def test_losses_of_huge_logits_are_finite():
  logits = jnp.array([[1e4, 0.0], [-1e4, 1e4]])
  losses = tasks.numbered(2).losses(logits, jnp.array([1, 1]))
  np.testing.assert_allclose(losses, [1e4, 0])
