"""The uncertainty that SRAAL refreshes as it learns."""

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels


def reference(logits):
  logits = np.asarray(logits, np.float64)
  odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
  probs = odds / odds.sum(axis=-1, keepdims=True)
  num_classes, top = probs.shape[-1], probs.max(axis=-1)
  rest = (1 - top) / (num_classes - 1)
  smallest = (top - 1 / num_classes) ** 2
  smallest += (num_classes - 1) * (rest - 1 / num_classes) ** 2
  smallest /= num_classes
  return 1 - top * smallest / ((probs - 1 / num_classes) ** 2).mean(axis=-1)


any_logits = hnp.arrays(
  np.float32,
  (6, 5),
  elements=st.one_of(
    st.floats(-15, 15, width=32, allow_subnormal=False), st.just(-np.inf)
  ),
).filter(
  # Far enough from uniform for the formula as it stands, in float64.
  lambda logits: (
    np.isfinite(logits.max(axis=-1)).all()
    and (logits.max(axis=-1) - logits.min(axis=-1) > 1e-3).all()
  )
)


@pytest.fixture
def logits():
  return np.random.default_rng(0).normal(0, 3, (8, 7)).astype(np.float32)


@hypothesis.given(any_logits)
@hypothesis.settings(deadline=None, max_examples=60)
def test_scores_equal_the_reference(logits):
  scores = kernels.online_uncertainty(logits)
  np.testing.assert_allclose(scores, reference(logits), rtol=3e-5, atol=1e-9)
  assert ((scores >= 0) & (scores <= 1)).all()


@hypothesis.given(any_logits)
@hypothesis.settings(deadline=None, max_examples=30)
def test_a_score_is_never_below_that_of_an_even_spread(logits):
  even = kernels.least_confidence(logits)
  assert (kernels.online_uncertainty(logits) >= even * (1 - 1e-6)).all()


def test_jit_changes_nothing(logits):
  chex.assert_trees_all_close(
    jax.jit(kernels.online_uncertainty)(logits),
    kernels.online_uncertainty(logits),
    rtol=1e-6,
  )


def test_log_probs_score_as_their_logits_do(logits):
  np.testing.assert_allclose(
    kernels.online_uncertainty(jax.nn.log_softmax(logits)),
    kernels.online_uncertainty(logits),
    rtol=1e-5,
  )


def test_leading_axes_are_free(logits):
  whole = kernels.online_uncertainty(logits)
  block = kernels.online_uncertainty(logits.reshape(2, 4, 7))
  np.testing.assert_allclose(block, whole.reshape(2, 4), rtol=1e-6)
  alone = kernels.online_uncertainty(logits[3])
  np.testing.assert_allclose(alone, whole[3], rtol=1e-6)


def test_scores_follow_permutations_of_pool_and_classes(logits):
  scores = kernels.online_uncertainty(logits)
  order = np.random.default_rng(1).permutation(len(logits))
  np.testing.assert_array_equal(
    kernels.online_uncertainty(logits[order]), scores[order]
  )
  np.testing.assert_allclose(
    kernels.online_uncertainty(logits[:, ::-1]), scores, rtol=1e-5
  )


def test_a_single_rival_scores_above_an_even_spread():
  top = np.linspace(0.5, 0.99, 20)
  zeros = np.zeros_like(top)
  rival = np.stack([top, 1 - top, zeros, zeros], axis=-1)
  even = np.stack([top, *3 * [(1 - top) / 3]], axis=-1)
  with np.errstate(divide='ignore'):
    scores = kernels.online_uncertainty(np.log(rival).astype(np.float32))
    evenly = kernels.online_uncertainty(np.log(even).astype(np.float32))
  assert (scores > evenly).all()
  np.testing.assert_allclose(evenly, 1 - top, rtol=1e-4)


@pytest.mark.parametrize('num_classes', [2, 10])
def test_a_uniform_prediction_scores_as_an_even_spread(num_classes):
  np.testing.assert_allclose(
    kernels.online_uncertainty(jnp.full(num_classes, 3.0)),
    1 - 1 / num_classes,
    rtol=1e-6,
  )


def test_a_certain_prediction_scores_zero():
  logits = jnp.array([[0.0, -jnp.inf, -jnp.inf], [500.0, 0.0, 1.0]])
  np.testing.assert_array_equal(kernels.online_uncertainty(logits), [0, 0])


@pytest.mark.parametrize('scale', [1e-1, 1e-4, 1e-12, 1e-25])
def test_predictions_near_uniform_keep_their_digits(scale):
  # What is left of the formula as the scale goes to 0, where m is 1/3.
  shape = np.array([0.0, -1.0, -3.0])
  rest_mean, rest = -2.0, np.array([1.0, -1.0])
  uneven, even = np.sum(rest**2), rest_mean**2 * 2 / 3
  limit = 2 / 3 + uneven / (uneven + even) / 3
  scores = kernels.online_uncertainty((scale * shape).astype(np.float32))
  np.testing.assert_allclose(scores, limit, atol=max(2 * scale, 1e-6))


def test_predictions_near_certain_keep_their_digits():
  logits = np.array([[0.0, -30.0, -30.0], [0.0, -40.0, -41.0]])
  with jax.enable_x64(True):
    expected = kernels.online_uncertainty(jnp.asarray(logits))
    assert expected.dtype == jnp.float64
  scores = kernels.online_uncertainty(logits.astype(np.float32))
  np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_two_classes_score_as_least_confidence():
  logits = jnp.stack([jnp.linspace(-5, 5, 11), jnp.zeros(11)], axis=-1)
  np.testing.assert_allclose(
    kernels.online_uncertainty(logits),
    kernels.least_confidence(logits),
    rtol=1e-5,
  )


def test_one_class_is_certain():
  np.testing.assert_array_equal(
    kernels.online_uncertainty(jnp.array([[3.0], [-1.0]])), [0, 0]
  )
  assert np.isnan(kernels.online_uncertainty(jnp.array([jnp.nan])))


@pytest.mark.parametrize(
  'row',
  [[0.0, np.nan, 1.0], [np.inf, 0.0, 0.0], [-np.inf] * 3],
  ids=['nan', 'inf', 'nothing possible'],
)
def test_what_is_no_prediction_scores_nan(row):
  scores = jax.jit(kernels.online_uncertainty)(
    jnp.array([row, [0.0, 1.0, 2.0]])
  )
  np.testing.assert_array_equal(np.isnan(scores), [True, False])


@pytest.mark.parametrize(
  'row',
  [[0.0, -np.inf, 1.0], [0.0, -np.inf, -np.inf], [0.0] * 3, [0.0, -300.0, 0.0]],
)
def test_gradients_are_finite(row):
  gradient = jax.grad(kernels.online_uncertainty)(jnp.array(row))
  assert np.isfinite(gradient).all(), gradient


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_short_floats_are_scored_in_float32(dtype, logits):
  short = jnp.asarray(logits, dtype)
  scores = kernels.online_uncertainty(short)
  chex.assert_type(scores, jnp.float32)
  expected = reference(np.asarray(short, np.float64))
  np.testing.assert_allclose(scores, expected, rtol=2e-5)


def test_no_axis_of_classes_is_an_error_that_names_the_shape():
  with pytest.raises(ValueError, match=r'\[4, 0\]'):
    kernels.online_uncertainty(jnp.zeros((4, 0)))


def test_the_kernel_lowers_for_cpu_cuda_and_tpu(logits):
  platforms = ('cpu', 'cuda', 'tpu')
  kernel = jax.jit(kernels.online_uncertainty)
  exported = jax.export.export(kernel, platforms=platforms)(logits)
  assert exported.platforms == platforms
