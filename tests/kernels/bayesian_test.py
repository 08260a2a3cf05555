"""What several samples of a network say together."""

import re

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels


def reference_predictive_log_probs(mc_logits):
  mc_logits = np.asarray(mc_logits, np.float64)
  odds = np.exp(mc_logits - mc_logits.max(axis=-1, keepdims=True))
  probs = odds / odds.sum(axis=-1, keepdims=True)
  with np.errstate(divide='ignore'):
    return np.log(probs.mean(axis=0))


any_mc_logits = hnp.arrays(
  np.float32,
  (3, 4, 5),
  elements=st.one_of(st.floats(-50, 50, width=32), st.just(-np.inf)),
).filter(lambda logits: np.isfinite(logits.max(axis=-1)).all())


@pytest.fixture
def mc_logits():
  return np.random.default_rng(0).normal(0, 3, (5, 8, 4)).astype(np.float32)


@hypothesis.given(any_mc_logits)
@hypothesis.settings(deadline=None, max_examples=50)
def test_log_probs_equal_the_reference(mc_logits):
  np.testing.assert_allclose(
    kernels.predictive_log_probs(mc_logits),
    reference_predictive_log_probs(mc_logits),
    rtol=1e-5,
    atol=1e-5,
  )


@hypothesis.given(any_mc_logits)
@hypothesis.settings(deadline=None, max_examples=20)
def test_probabilities_sum_to_one(mc_logits):
  probs = jnp.exp(kernels.predictive_log_probs(mc_logits))
  np.testing.assert_allclose(probs.sum(axis=-1), 1, rtol=1e-5)


def test_jit_changes_nothing(mc_logits):
  chex.assert_trees_all_close(
    jax.jit(kernels.predictive_log_probs)(mc_logits),
    kernels.predictive_log_probs(mc_logits),
    rtol=1e-6,
  )


def test_one_sample_is_its_log_softmax(mc_logits):
  np.testing.assert_array_equal(
    kernels.predictive_log_probs(mc_logits[:1]),
    jax.nn.log_softmax(mc_logits[0]),
  )


def test_equal_samples_are_one_sample(mc_logits):
  repeated = jnp.broadcast_to(mc_logits[:1], mc_logits.shape)
  np.testing.assert_allclose(
    kernels.predictive_log_probs(repeated),
    jax.nn.log_softmax(mc_logits[0]),
    rtol=1e-5,
    atol=1e-6,
  )


def test_log_probs_follow_a_permutation_of_the_pool(mc_logits):
  order = np.random.default_rng(1).permutation(mc_logits.shape[1])
  np.testing.assert_array_equal(
    kernels.predictive_log_probs(mc_logits[:, order]),
    kernels.predictive_log_probs(mc_logits)[order],
  )


def test_the_order_of_the_samples_does_not_matter(mc_logits):
  np.testing.assert_allclose(
    kernels.predictive_log_probs(mc_logits[::-1]),
    kernels.predictive_log_probs(mc_logits),
    rtol=1e-5,
    atol=1e-6,
  )


def test_leading_axes_are_free(mc_logits):
  whole = kernels.predictive_log_probs(mc_logits)
  block = kernels.predictive_log_probs(mc_logits.reshape(5, 2, 4, 4))
  np.testing.assert_array_equal(block, whole.reshape(2, 4, 4))
  alone = kernels.predictive_log_probs(mc_logits[:, 3])
  np.testing.assert_allclose(alone, whole[3], rtol=1e-5, atol=1e-6)


def test_a_class_is_ruled_out_only_by_every_sample():
  mc_logits = jnp.array(
    [
      [0.0, -jnp.inf, -jnp.inf],
      [-jnp.inf, 0.0, -jnp.inf],
    ]
  )
  np.testing.assert_allclose(
    kernels.predictive_log_probs(mc_logits),
    [-np.log(2), -np.log(2), -np.inf],
    rtol=1e-6,
  )


def test_gradients_are_finite_where_a_class_is_ruled_out():
  mc_logits = jnp.array([[0.0, -jnp.inf, -jnp.inf], [1.0, 0.5, -jnp.inf]])

  def entropy_of_mean(mc_logits):
    return kernels.entropy(kernels.predictive_log_probs(mc_logits))

  gradient = jax.grad(entropy_of_mean)(mc_logits)
  assert np.isfinite(gradient).all(), gradient
  np.testing.assert_array_equal(gradient[:, 2], 0)
  assert np.any(gradient[:, 0] != 0)


def test_a_sample_that_is_no_prediction_spoils_its_own_example_only(mc_logits):
  spoilt = mc_logits.copy()
  spoilt[2, 3, 0] = np.nan
  log_probs = kernels.predictive_log_probs(spoilt)
  assert np.isnan(log_probs[3]).all()
  assert np.isfinite(np.delete(log_probs, 3, axis=0)).all()


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_short_floats_are_averaged_in_float32(dtype, mc_logits):
  short = jnp.asarray(mc_logits, dtype)
  log_probs = kernels.predictive_log_probs(short)
  chex.assert_type(log_probs, jnp.float32)
  np.testing.assert_allclose(
    log_probs,
    reference_predictive_log_probs(np.asarray(short, np.float64)),
    rtol=1e-5,
    atol=1e-5,
  )


@pytest.mark.parametrize('shape', [(4,), (0, 2, 4)])
def test_no_axis_of_samples_is_an_error_that_names_the_shape(shape):
  message = f'mc_logits have shape {re.escape(str(shape))}'
  with pytest.raises(ValueError, match=message):
    kernels.predictive_log_probs(jnp.zeros(shape))


def test_the_kernel_lowers_for_cpu_cuda_and_tpu(mc_logits):
  platforms = ('cpu', 'cuda', 'tpu')
  kernel = jax.jit(kernels.predictive_log_probs)
  exported = jax.export.export(kernel, platforms=platforms)(mc_logits)
  assert exported.platforms == platforms
