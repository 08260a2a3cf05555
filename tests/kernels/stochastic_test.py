"""Batches drawn by score."""

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from al_jax import kernels

N = 9
KINDS = ('power', 'softmax', 'softrank')
every_kind = pytest.mark.parametrize('kind', KINDS)
any_scores = hnp.arrays(
  np.float32,
  N,
  elements=st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, np.nan, np.inf, -np.inf, -1.0]),
    st.floats(-3, 10, width=32, allow_subnormal=False),
  ),
)
any_mask = hnp.arrays(np.bool_, N)
any_seed = st.integers(0, 2**32 - 1)
properties = hypothesis.settings(deadline=None, max_examples=40)
jitted = jax.jit(kernels.stochastic_top_k, static_argnames=('k', 'kind'))


def first_draw_probs(scores, kind, coldness):
  scores = np.asarray(scores, np.float64)
  if kind == 'power':
    weights = np.maximum(scores, 0) ** coldness
  elif kind == 'softmax':
    weights = np.exp(coldness * scores)
  else:
    weights = scipy.stats.rankdata(-scores) ** -coldness
  return weights / weights.sum()


def draws(scores, k, *, num_keys=24_000, **options):
  keys = jax.random.split(jax.random.key(0), num_keys)
  pick = jax.jit(
    jax.vmap(
      lambda key: kernels.stochastic_top_k(key, scores, k, **options).indices
    )
  )
  return np.asarray(pick(keys))


@every_kind
@pytest.mark.parametrize('coldness', [0.5, 1.0, 3.0])
def test_the_first_draw_has_the_stated_distribution(kind, coldness):
  scores = jnp.array([0.2, 1.0, 0.7, 0.25, 0.5])
  first = draws(scores, 1, kind=kind, coldness=coldness)[:, 0]
  counts = np.bincount(first, minlength=5)
  probs = first_draw_probs(scores, kind, coldness)
  assert scipy.stats.chisquare(counts, probs * len(first)).pvalue > 1e-3


@every_kind
def test_the_second_draw_is_the_first_among_the_rest(kind):
  scores = jnp.array([0.2, 1.0, 0.7, 0.4])
  pairs = draws(scores, 2, kind=kind, coldness=2.0)
  probs = first_draw_probs(scores, kind, 2.0)
  outcomes = [(i, j) for i in range(4) for j in range(4) if i != j]
  counts = [(pairs == pair).all(axis=1).sum() for pair in outcomes]
  expected = [probs[i] * probs[j] / (1 - probs[i]) for i, j in outcomes]
  expected = np.array(expected) * len(pairs)
  assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_what_is_not_eligible_leaves_the_distribution():
  scores = jnp.array([0.2, 9.0, 1.0, jnp.nan, 0.7, 9.0])
  eligible = jnp.array([True, False, True, True, True, False])
  for kind in KINDS:
    first = draws(scores, 1, kind=kind, eligible=eligible)[:, 0]
    counts = np.bincount(first, minlength=6)
    assert counts[[1, 3, 5]].sum() == 0
    probs = first_draw_probs(np.array([0.2, 1.0, 0.7]), kind, 1.0)
    assert (
      scipy.stats.chisquare(counts[[0, 2, 4]], probs * len(first)).pvalue > 1e-3
    )


@every_kind
def test_equal_scores_are_equally_likely(kind):
  first = draws(jnp.full(6, 0.3), 1, kind=kind)[:, 0]
  assert scipy.stats.chisquare(np.bincount(first, minlength=6)).pvalue > 1e-3


def test_ranks_of_equal_scores_are_shared_at_random():
  # Ranks 1 for the best, 2 and 3 for the two that tie.
  first = draws(jnp.array([0.1, 0.5, 0.1]), 1, kind='softrank')[:, 0]
  probs = np.array([5 / 12, 1, 5 / 12]) / (11 / 6)
  expected = probs * len(first)
  assert scipy.stats.chisquare(np.bincount(first), expected).pvalue > 1e-3


def test_fewer_positive_scores_than_k_are_filled_up_uniformly():
  scores = jnp.array([0.0, 0.5, 0.0, -2.0, 0.1, jnp.nan, 0.0])
  picks = draws(scores, 4)
  np.testing.assert_array_equal(np.sort(picks[:, :2]), [[1, 4]] * len(picks))
  outcomes = [(i, j) for i in (0, 2, 3, 6) for j in (0, 2, 3, 6) if i != j]
  counts = [(picks[:, 2:] == pair).all(axis=1).sum() for pair in outcomes]
  assert sum(counts) == len(picks)
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_scores_too_small_to_be_normal_numbers_count_as_zero():
  """Under jit they were above 0 with a logarithm of -inf: nobody was drawn."""
  scores = jnp.array([1e-40, 2e-40, 0.5, 1e-44])
  for run in (jitted, kernels.stochastic_top_k):
    indices = run(jax.random.key(0), scores, 4).indices
    assert indices[0] == 2
    assert sorted(indices.tolist()) == [0, 1, 2, 3]


@every_kind
@pytest.mark.parametrize('coldness', [1e-38, 1e-45, 1e-300])
def test_a_tiny_coldness_leaves_nobody_out(kind, coldness):
  """The noise over it was infinite."""
  scores = jnp.array([0.1, 0.5, 0.3])
  for given in (coldness, jnp.float32(coldness)):
    indices = jitted(
      jax.random.key(0), scores, 3, kind=kind, coldness=given
    ).indices
    assert sorted(indices.tolist()) == [0, 1, 2]


def test_all_scores_zero_is_a_uniform_draw():
  first = draws(jnp.zeros(5), 2)[:, 0]
  assert scipy.stats.chisquare(np.bincount(first, minlength=5)).pvalue > 1e-3


@every_kind
@hypothesis.given(
  any_scores, any_mask, st.sampled_from([1, 4, N + 3]), any_seed
)
@properties
def test_picks_are_distinct_eligible_and_finite(
  kind, scores, eligible, k, seed
):
  picks = jitted(jax.random.key(seed), scores, k, kind=kind, eligible=eligible)
  num_taken = min(k, (eligible & np.isfinite(scores)).sum())
  taken = np.asarray(picks.indices)[:num_taken]
  assert len(set(taken.tolist())) == num_taken
  assert eligible[taken].all() and np.isfinite(scores[taken]).all()
  np.testing.assert_array_equal(picks.indices[num_taken:], -1)
  np.testing.assert_array_equal(picks.values[num_taken:], -np.inf)
  values = np.asarray(picks.values)[:num_taken]
  assert (np.sort(values)[::-1] == values).all()
  if kind == 'power':
    np.testing.assert_array_equal(np.isfinite(values), scores[taken] > 0)
  else:
    assert np.isfinite(values).all()


@every_kind
def test_cold_draws_are_the_top_k(kind):
  scores = jnp.array([0.1, 0.9, 0.5, 0.7])
  picks = kernels.stochastic_top_k(
    jax.random.key(0), scores, 3, kind=kind, coldness=1e4
  )
  np.testing.assert_array_equal(picks.indices, [1, 3, 2])
  best = {
    'power': np.log([0.9, 0.7, 0.5]),
    'softmax': [0.9, 0.7, 0.5],
    'softrank': -np.log([1, 2, 3]),
  }
  np.testing.assert_allclose(picks.values, best[kind], atol=2e-3)


def test_power_does_not_mind_the_scale():
  scores = jnp.array([0.1, 0.9, 0.0, 0.7, 0.3])
  for key in jax.random.split(jax.random.key(0), 5):
    np.testing.assert_array_equal(
      kernels.stochastic_top_k(key, scores, 4).indices,
      kernels.stochastic_top_k(key, 1e-20 * scores, 4).indices,
    )


@every_kind
def test_jit_changes_nothing(kind):
  scores = jnp.array([0.1, 0.0, 0.5, 0.7, 0.2])
  key = jax.random.key(3)
  alone = kernels.stochastic_top_k(key, scores, 5, kind=kind)
  together = jitted(key, scores, 5, kind=kind)
  np.testing.assert_array_equal(together.indices, alone.indices)
  np.testing.assert_allclose(together.values, alone.values, rtol=1e-5)


def test_coldness_may_be_traced():
  scores = jnp.array([0.1, 0.9, 0.5])
  key = jax.random.key(0)
  chex.assert_trees_all_close(
    jitted(key, scores, 2, coldness=jnp.float32(2)),
    kernels.stochastic_top_k(key, scores, 2, coldness=2.0),
    rtol=1e-5,
  )


@every_kind
def test_float64_scores_draw_as_float64(kind):
  with jax.enable_x64(True):
    scores = jnp.array([1.0, 1.0 + 1e-12, 1.0 - 1e-12])
    picks = kernels.stochastic_top_k(
      jax.random.key(0), scores, 3, kind=kind, coldness=1e15
    )
    chex.assert_type([*picks], [jnp.int32, jnp.float64])
  np.testing.assert_array_equal(picks.indices, [1, 0, 2])


@every_kind
@pytest.mark.parametrize('num_points', [0, 3])
def test_nothing_eligible_gives_padding_only(kind, num_points):
  picks = kernels.stochastic_top_k(
    jax.random.key(0),
    jnp.ones(num_points),
    2,
    kind=kind,
    eligible=jnp.zeros(num_points, jnp.bool_),
  )
  np.testing.assert_array_equal(picks.indices, [-1, -1])
  np.testing.assert_array_equal(picks.values, [-np.inf, -np.inf])


def test_an_unknown_kind_is_an_error_that_lists_the_choices():
  with pytest.raises(ValueError, match=r"'powr'.*power, softmax, softrank"):
    kernels.stochastic_top_k(jax.random.key(0), jnp.ones(3), 1, kind='powr')


@pytest.mark.parametrize('coldness', [0, -1.0, np.inf, np.nan])
def test_a_coldness_out_of_range_is_an_error_that_names_it(coldness):
  with pytest.raises(ValueError, match=f'coldness is {coldness}'):
    kernels.stochastic_top_k(
      jax.random.key(0), jnp.ones(3), 1, coldness=coldness
    )


def test_k_below_one_is_an_error_that_names_it():
  for kind in KINDS:
    with pytest.raises(ValueError, match='k is 0'):
      kernels.stochastic_top_k(jax.random.key(0), jnp.ones(3), 0, kind=kind)


@every_kind
def test_the_kernel_lowers_for_cpu_cuda_and_tpu(kind):
  platforms = ('cpu', 'cuda', 'tpu')
  kernel = jax.jit(
    lambda key, scores: kernels.stochastic_top_k(key, scores, 3, kind=kind)
  )
  exported = jax.export.export(kernel, platforms=platforms)(
    jax.random.key(0), jnp.zeros(N)
  )
  assert exported.platforms == platforms
