"""Scores of one predictive distribution."""

import re

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels, testing
from al_jax.kernels import uncertainty


def reference_probs(logits):
  logits = np.asarray(logits, np.float64)
  odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
  return odds / odds.sum(axis=-1, keepdims=True)


def reference_entropy(logits):
  probs = reference_probs(logits)
  return -np.sum(probs * np.log(np.where(probs > 0, probs, 1)), axis=-1)


def reference_least_confidence(logits):
  return 1 - reference_probs(logits).max(axis=-1)


def reference_margin(logits):
  ascending = np.sort(reference_probs(logits), axis=-1)
  return -(ascending[..., -1] - ascending[..., -2])


SCORES = {
  'entropy': (kernels.entropy, reference_entropy),
  'least_confidence': (kernels.least_confidence, reference_least_confidence),
  'margin': (kernels.margin, reference_margin),
}
every_score = pytest.mark.parametrize(
  ('score', 'reference'), SCORES.values(), ids=SCORES
)
# All examples have one shape, so that a property compiles once.
any_logits = hnp.arrays(
  np.float32,
  (6, 5),
  elements=st.one_of(
    st.floats(-100, 100, width=32), st.just(-np.inf), st.sampled_from([0, 1])
  ),
).filter(lambda logits: np.isfinite(logits.max(axis=-1)).all())


@pytest.fixture
def logits():
  return np.random.default_rng(0).normal(0, 3, (40, 7)).astype(np.float32)


@every_score
@hypothesis.given(any_logits)
@hypothesis.settings(deadline=None, max_examples=50)
def test_scores_equal_the_reference(score, reference, logits):
  np.testing.assert_allclose(
    score(logits), reference(logits), rtol=2e-5, atol=1e-6
  )


@every_score
def test_it_keeps_the_contract_of_scores(score, reference, logits):
  testing.check_kernel(
    score,
    logits,
    reference=reference,
    tolerance=1e-5,
    skip={'half': 'more exactly below'},
  )


@every_score
def test_log_probs_score_as_their_logits_do(score, reference, logits):
  del reference
  np.testing.assert_allclose(
    score(jax.nn.log_softmax(logits)), score(logits), rtol=1e-5, atol=1e-6
  )


@every_score
def test_leading_axes_are_free(score, reference, logits):
  del reference
  by_row = np.stack([score(row) for row in logits[:4]])
  block = score(logits[:4].reshape(2, 2, 7))
  chex.assert_shape(block, (2, 2))
  np.testing.assert_allclose(np.ravel(block), by_row, rtol=1e-6)


@every_score
def test_the_order_of_the_classes_does_not_matter(score, reference, logits):
  del reference
  np.testing.assert_allclose(
    score(logits[:, ::-1]), score(logits), rtol=1e-5, atol=1e-6
  )


@hypothesis.given(any_logits)
@hypothesis.settings(deadline=None, max_examples=50)
def test_scores_stay_in_their_range(logits):
  slack = 1e-6
  entropy = kernels.entropy(logits)
  assert ((entropy >= 0) & (entropy <= np.log(5) + slack)).all()
  confidence = kernels.least_confidence(logits)
  assert ((confidence >= 0) & (confidence <= 0.8 + slack)).all()
  margin = kernels.margin(logits)
  assert ((margin >= -1 - slack) & (margin <= 0)).all()


def test_with_two_classes_all_scores_rank_alike():
  logit = np.random.default_rng(0).permutation(np.linspace(-6, 6.1, 200))
  logits = np.stack([logit, np.zeros_like(logit)], axis=-1)
  by_certainty = np.argsort(-np.abs(logit))
  for score, _ in SCORES.values():
    np.testing.assert_array_equal(np.argsort(score(logits)), by_certainty)


@pytest.mark.parametrize('num_classes', [2, 3, 1000])
def test_a_uniform_prediction_scores_highest(num_classes):
  logits = jnp.full(num_classes, 4.0)
  np.testing.assert_allclose(
    kernels.entropy(logits), np.log(num_classes), rtol=1e-6
  )
  np.testing.assert_allclose(
    kernels.least_confidence(logits), 1 - 1 / num_classes, rtol=1e-5
  )
  assert kernels.margin(logits) == 0


@pytest.mark.parametrize('other', [-jnp.inf, -200.0])
def test_a_certain_prediction_scores_lowest(other):
  logits = jnp.array([other, 0.0, other])
  assert kernels.entropy(logits) == 0
  assert not np.signbit(kernels.entropy(logits))
  assert kernels.least_confidence(logits) == 0
  assert kernels.margin(logits) == -1


def test_least_confidence_tells_very_confident_points_apart():
  logits = jnp.array([[20.0, 0.0], [30.0, 0.0], [40.0, 0.0]])
  np.testing.assert_allclose(
    kernels.least_confidence(logits), np.exp([-20.0, -30.0, -40.0]), rtol=1e-5
  )


def test_a_tie_at_the_top_has_margin_zero():
  assert kernels.margin(jnp.array([2.0, -1.0, 2.0])) == 0
  assert kernels.least_confidence(jnp.array([2.0, -jnp.inf, 2.0])) == 0.5


def test_one_class_is_certain():
  logits = jnp.array([[3.0], [-1.0]])
  np.testing.assert_array_equal(kernels.entropy(logits), [0, 0])
  np.testing.assert_array_equal(kernels.least_confidence(logits), [0, 0])


def test_margin_of_one_class_is_an_error_that_names_the_shape():
  with pytest.raises(ValueError, match=r'\(4, 1\).*C >= 2'):
    kernels.margin(jnp.zeros((4, 1)))


@every_score
@pytest.mark.parametrize('shape', [(), (4, 0)])
def test_no_axis_of_classes_is_an_error_that_names_the_shape(
  score, reference, shape
):
  del reference
  with pytest.raises(ValueError, match=re.escape(str(list(shape)))):
    score(jnp.zeros(shape))


@every_score
def test_an_empty_pool_has_no_scores(score, reference):
  del reference
  chex.assert_shape(score(jnp.zeros((0, 3))), (0,))


@every_score
@pytest.mark.parametrize(
  'row',
  [[0.0, np.nan, 1.0], [np.inf, 0.0, 0.0], [-np.inf] * 3],
  ids=['nan', 'inf', 'nothing possible'],
)
def test_what_is_no_prediction_scores_nan(score, reference, row):
  del reference
  scores = jax.jit(score)(jnp.array([row, [0.0, 1.0, 2.0]]))
  np.testing.assert_array_equal(np.isnan(scores), [True, False])


def test_nan_of_a_single_class_scores_nan():
  for score in (kernels.entropy, kernels.least_confidence):
    assert np.isnan(jax.jit(score)(jnp.array([np.nan])))


@every_score
@pytest.mark.parametrize(
  'row',
  [[0.0, -np.inf, 1.0], [0.0, -np.inf, -np.inf], [0.0, -300.0, 0.0]],
  ids=['one impossible', 'certain', 'underflow and tie'],
)
def test_gradients_are_finite(score, reference, row):
  del reference
  gradient = jax.grad(score)(jnp.array(row))
  assert np.isfinite(gradient).all(), gradient


def test_the_gradient_of_entropy_is_right():
  logits = np.array([0.3, -1.2, 0.9], np.float32)
  log_probs = np.log(reference_probs(logits))
  probs = np.exp(log_probs)
  expected = -probs * (log_probs + reference_entropy(logits))
  np.testing.assert_allclose(
    jax.grad(kernels.entropy)(logits), expected, rtol=1e-5
  )


@every_score
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_short_floats_are_scored_in_float32(score, reference, dtype, logits):
  short = jnp.asarray(logits, dtype)
  scores = score(short)
  chex.assert_type(scores, jnp.float32)
  np.testing.assert_allclose(
    scores, reference(np.asarray(short, np.float64)), rtol=2e-5, atol=1e-6
  )


def test_float64_stays_float64(logits):
  with jax.enable_x64(True):
    log_probs = uncertainty.log_softmax(logits.astype(np.float64))
  assert log_probs.dtype == np.float64
  np.testing.assert_allclose(
    np.exp(log_probs), reference_probs(logits), rtol=1e-12
  )


@every_score
def test_integers_are_refused(score, reference):
  del reference
  with pytest.raises(ValueError, match='logits must be float'):
    score(jnp.zeros((2, 3), jnp.int32))


@every_score
def test_scores_lower_for_cpu_cuda_and_tpu(score, reference, logits):
  del reference
  platforms = ('cpu', 'cuda', 'tpu')
  exported = jax.export.export(jax.jit(score), platforms=platforms)(logits)
  assert exported.platforms == platforms
