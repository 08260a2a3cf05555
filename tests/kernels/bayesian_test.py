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

from al_jax import kernels, testing


def reference_predictive_log_probs(mc_logits):
  with np.errstate(divide='ignore'):
    return np.log(reference_probs(mc_logits).mean(axis=0))


def reference_probs(mc_logits):
  mc_logits = np.asarray(mc_logits, np.float64)
  odds = np.exp(mc_logits - mc_logits.max(axis=-1, keepdims=True))
  return odds / odds.sum(axis=-1, keepdims=True)


def reference_mean_std(mc_logits):
  return reference_probs(mc_logits).std(axis=0).mean(axis=-1)


def reference_variation_ratio(mc_logits):
  votes = np.asarray(mc_logits).argmax(axis=-1)
  num_samples, num_classes = len(votes), np.shape(mc_logits)[-1]
  counts = [(votes == c).sum(axis=0) for c in range(num_classes)]
  return 1 - np.max(counts, axis=0) / num_samples


def reference_bald(mc_logits):
  def entropy(probs):
    return -np.sum(probs * np.log(np.where(probs > 0, probs, 1)), axis=-1)

  probs = reference_probs(mc_logits)
  return entropy(probs.mean(axis=0)) - entropy(probs).mean(axis=0)


def streamed_bald(mc_logits):
  # The samples themselves take the place of keys.
  return kernels.streamed_bald(jnp.asarray(mc_logits), lambda logits: logits)


SCORES = {
  'mean_std': (kernels.mean_std, reference_mean_std),
  'variation_ratio': (kernels.variation_ratio, reference_variation_ratio),
  'bald': (kernels.bald, reference_bald),
  'streamed_bald': (streamed_bald, reference_bald),
}
every_score = pytest.mark.parametrize(
  ('score', 'reference'), SCORES.values(), ids=SCORES
)
any_mc_logits = hnp.arrays(
  np.float32,
  (3, 4, 5),
  elements=st.one_of(
    st.floats(-50, 50, width=32, allow_subnormal=False), st.just(-np.inf)
  ),
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
  message = f'mc_logits must be .*{re.escape(str(list(shape)))}'
  with pytest.raises(ValueError, match=message):
    kernels.predictive_log_probs(jnp.zeros(shape))


def test_the_kernel_lowers_for_cpu_cuda_and_tpu(mc_logits):
  platforms = ('cpu', 'cuda', 'tpu')
  kernel = jax.jit(kernels.predictive_log_probs)
  exported = jax.export.export(kernel, platforms=platforms)(mc_logits)
  assert exported.platforms == platforms


@every_score
@hypothesis.given(any_mc_logits)
@hypothesis.settings(deadline=None, max_examples=40)
def test_scores_equal_the_reference(score, reference, mc_logits):
  np.testing.assert_allclose(
    score(mc_logits), reference(mc_logits), rtol=1e-5, atol=2e-6
  )


@every_score
def test_it_keeps_the_contract_of_scores(score, reference, mc_logits):
  skip = {'half': 'more exactly below'}
  if score is streamed_bald:
    skip['compilations'] = 'whoever has the function jits it'
  testing.check_kernel(
    score, mc_logits, axis=1, reference=reference, tolerance=1e-5, skip=skip
  )


@every_score
def test_leading_axes_of_scores_are_free(score, reference, mc_logits):
  del reference
  block = score(mc_logits.reshape(5, 2, 4, 4))
  np.testing.assert_allclose(
    block, score(mc_logits).reshape(2, 4), rtol=1e-5, atol=1e-6
  )


@every_score
def test_the_order_of_samples_does_not_change_a_score(
  score, reference, mc_logits
):
  del reference
  np.testing.assert_allclose(
    score(mc_logits[::-1]), score(mc_logits), rtol=1e-5, atol=1e-6
  )


@every_score
@pytest.mark.parametrize('jit', [False, True])
def test_one_sample_scores_exactly_zero(score, reference, jit):
  del reference
  logits = np.random.default_rng(2).normal(0, 4, (1, 500, 7))
  score = jax.jit(score) if jit else score
  np.testing.assert_array_equal(score(logits.astype(np.float32)), 0)


@every_score
def test_samples_that_agree_score_zero(score, reference, mc_logits):
  del reference
  same = np.broadcast_to(mc_logits[:1], mc_logits.shape)
  scores = score(same)
  assert (scores >= 0).all()
  np.testing.assert_allclose(scores, 0, atol=1e-6)


@every_score
@hypothesis.given(any_mc_logits)
@hypothesis.settings(deadline=None, max_examples=40)
def test_scores_stay_in_their_range(score, reference, mc_logits):
  del reference
  # 3 samples of 5 classes.
  most = {'mean_std': 0.5, 'variation_ratio': 2 / 3}
  name = next(name for name, pair in SCORES.items() if pair[0] is score)
  scores = score(mc_logits)
  assert (scores >= 0).all()
  assert (scores <= most.get(name, np.log(3)) + 1e-6).all()


@every_score
def test_a_score_is_largest_where_sure_samples_disagree(score, reference):
  del reference
  sure = 60.0 * np.eye(4, dtype=np.float32)
  disagree, unsure = sure[:, None], np.zeros((4, 1, 4), np.float32)
  assert score(disagree)[0] > score(unsure)[0]
  np.testing.assert_allclose(score(unsure), 0, atol=1e-6)


def test_bald_of_sure_samples_that_disagree_is_the_log_of_their_number():
  sure = jnp.array([[90.0, 0.0, 0.0], [0.0, 90.0, 0.0]])
  np.testing.assert_allclose(kernels.bald(sure), np.log(2), rtol=1e-6)


@every_score
def test_a_class_that_cannot_be_scores_as_if_absent(
  score, reference, mc_logits
):
  del reference
  impossible = np.full((*mc_logits.shape[:-1], 1), -np.inf, np.float32)
  wider = np.concatenate([mc_logits, impossible], axis=-1)
  # mean_std averages over classes.
  scale = 4 / 5 if score is kernels.mean_std else 1
  np.testing.assert_allclose(
    score(wider), scale * score(mc_logits), rtol=1e-5, atol=1e-6
  )


@every_score
@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_sample_that_is_no_prediction_scores_nan(
  score, reference, bad, mc_logits
):
  del reference
  spoilt = mc_logits.copy()
  spoilt[2, 3, 0] = bad
  for scores in (score(spoilt), jax.jit(score)(spoilt)):
    np.testing.assert_array_equal(np.isnan(scores), np.arange(8) == 3)
    alone = score(mc_logits)
    np.testing.assert_allclose(
      np.delete(scores, 3), np.delete(alone, 3), rtol=1e-5, atol=1e-6
    )
  single = spoilt[2:3]
  assert np.isnan(score(single)[3])


@every_score
def test_one_class_has_no_score_to_speak_of(score, reference):
  del reference
  np.testing.assert_allclose(score(jnp.ones((3, 4, 1))), np.zeros(4), atol=0)


@every_score
def test_an_empty_pool_has_no_scores(score, reference):
  del reference
  chex.assert_shape(score(jnp.zeros((3, 0, 4))), (0,))


@pytest.mark.parametrize('score', [kernels.mean_std, kernels.bald])
def test_gradients_of_scores_are_finite(score):
  logits = jnp.array(
    [[[0.0, -jnp.inf], [0.3, 0.1]], [[0.0, -jnp.inf], [0.3, 0.1]]]
  )
  gradient = jax.grad(lambda logits: jnp.sum(score(logits)))(logits)
  assert np.isfinite(gradient).all(), gradient


def test_the_gradient_of_streamed_bald_is_that_of_bald(mc_logits):
  mc_logits = jnp.asarray(mc_logits).at[:, 0, 0].set(-jnp.inf)
  gradients = [
    jax.vjp(score, mc_logits)[1](jnp.ones(mc_logits.shape[1]))[0]
    for score in (kernels.bald, streamed_bald)
  ]
  assert np.isfinite(gradients[1]).all()
  np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-6)


def test_variation_ratios_of_equal_counts_tie_to_the_last_bit():
  votes = np.random.default_rng(0).integers(0, 3, (7, 400))
  ratios = kernels.variation_ratio(jax.nn.one_hot(votes, 3))
  assert len(np.unique(ratios)) <= 5  # the largest count is from 3 to 7


@every_score
def test_float64_scores_stay_float64(score, reference, mc_logits):
  with jax.enable_x64(True):
    scores = score(jnp.asarray(mc_logits, jnp.float64))
    assert scores.dtype == jnp.float64
    one = score(jnp.asarray(mc_logits[:1], jnp.float64))
    assert one.dtype == jnp.float64
  np.testing.assert_allclose(scores, reference(mc_logits), rtol=1e-9)


@every_score
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_short_floats_score_in_float32(score, reference, dtype, mc_logits):
  short = jnp.asarray(mc_logits, dtype)
  scores = score(short)
  chex.assert_type(scores, jnp.float32)
  np.testing.assert_allclose(
    scores, reference(np.asarray(short, np.float64)), rtol=1e-5, atol=2e-6
  )


@pytest.mark.parametrize('shape', [(4,), (0, 2, 4)])
@pytest.mark.parametrize(
  'score', [kernels.mean_std, kernels.variation_ratio, kernels.bald]
)
def test_scores_need_an_axis_of_samples(score, shape):
  with pytest.raises(ValueError, match=re.escape(str(list(shape)))):
    score(jnp.zeros(shape))


def test_streamed_bald_needs_a_key():
  keys = jax.random.split(jax.random.key(0), 3)[:0]
  with pytest.raises(ValueError, match='keys are empty'):
    kernels.streamed_bald(keys, lambda key: jnp.zeros((2, 3)))


def test_streamed_bald_keeps_no_samples():
  num_points, num_classes = 1000, 10
  weights = jnp.ones((8, num_classes))

  def score(keys, inputs):
    def logits_fn(key):
      return inputs @ (weights + jax.random.normal(key, weights.shape))

    return kernels.streamed_bald(keys, logits_fn)

  def extra_memory(num_samples):
    keys = jax.random.split(jax.random.key(0), num_samples)
    inputs = jax.ShapeDtypeStruct((num_points, 8), jnp.float32)
    compiled = jax.jit(score).lower(keys, inputs).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert extra_memory(100) < extra_memory(4) + 10_000
  assert extra_memory(100) < 8 * 4 * num_points * num_classes


@every_score
def test_scores_lower_for_cpu_cuda_and_tpu(score, reference, mc_logits):
  del reference
  platforms = ('cpu', 'cuda', 'tpu')
  exported = jax.export.export(jax.jit(score), platforms=platforms)(mc_logits)
  assert exported.platforms == platforms
