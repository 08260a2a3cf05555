"""The best k, and any k."""

import functools
import itertools

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

N = 12  # one pool size, so that a property compiles once for each k


def reference_top_k(scores, k, eligible):
  pickable = np.flatnonzero(np.isfinite(scores) & eligible)
  best = sorted(pickable, key=lambda i: -scores[i])[:k]  # stable: lowest index
  missing = k - len(best)
  indices = np.array([*best, *[-1] * missing], np.int32)
  return indices, np.array([*scores[best], *[-np.inf] * missing])


any_scores = hnp.arrays(
  np.float32,
  N,
  elements=st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf]),
    st.floats(-10, 10, width=32, allow_subnormal=False),
  ),
)
any_mask = hnp.arrays(np.bool_, N)
any_k = st.sampled_from([1, 4, N, N + 3])
any_seed = st.integers(0, 2**32 - 1)
properties = hypothesis.settings(deadline=None, max_examples=60)
jitted_top_k = jax.jit(kernels.top_k, static_argnames='k')


def frequencies(draw, outcomes, *, num_keys=24_000):
  """How often each outcome, a tuple, is drawn; nothing else may be."""
  draws = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), num_keys))
  seen, counts = np.unique(draws, axis=0, return_counts=True)
  table = dict(zip(map(tuple, seen.tolist()), counts.tolist(), strict=True))
  assert set(table) <= set(outcomes)
  return [table.get(outcome, 0) for outcome in outcomes]


@hypothesis.given(any_scores, any_mask, any_k)
@properties
def test_without_a_key_picks_equal_the_reference(scores, eligible, k):
  picks = jitted_top_k(scores, k, eligible=eligible)
  indices, values = reference_top_k(scores, k, eligible)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_array_equal(picks.values, values.astype(np.float32))


@hypothesis.given(any_scores, any_mask, any_k, any_seed)
@properties
def test_a_key_changes_which_of_equals_is_picked_and_nothing_else(
  scores, eligible, k, seed
):
  key = jax.random.key(seed)
  picks = jitted_top_k(scores, k, eligible=eligible, key=key)
  _, values = reference_top_k(scores, k, eligible)
  np.testing.assert_array_equal(picks.values, values.astype(np.float32))
  taken = np.asarray(picks.indices)[np.isfinite(values)]
  assert len(set(taken.tolist())) == len(taken)
  assert eligible[taken].all()
  np.testing.assert_array_equal(scores[taken], values[np.isfinite(values)])
  np.testing.assert_array_equal(picks.indices[len(taken) :], -1)


@hypothesis.given(any_mask, any_k, any_seed)
@properties
def test_uniform_picks_distinct_eligible_points(eligible, k, seed):
  uniform = jax.jit(kernels.uniform, static_argnames='k')
  picks = uniform(jax.random.key(seed), eligible, k)
  num_taken = min(k, eligible.sum())
  taken = np.asarray(picks.indices)[:num_taken]
  assert len(set(taken.tolist())) == num_taken
  assert eligible[taken].all()
  np.testing.assert_array_equal(picks.values[:num_taken], 0)
  np.testing.assert_array_equal(picks.indices[num_taken:], -1)
  np.testing.assert_array_equal(picks.values[num_taken:], -np.inf)


@pytest.mark.parametrize('key', [None, jax.random.key(3)], ids=['index', 'key'])
def test_jit_changes_nothing(key):
  scores = np.random.default_rng(0).integers(0, 4, N).astype(np.float32)
  chex.assert_trees_all_equal(
    jitted_top_k(scores, 5, key=key), kernels.top_k(scores, 5, key=key)
  )


def test_picks_have_the_types_of_a_selection():
  for scores in (jnp.zeros(4, jnp.bfloat16), np.zeros(4), jnp.zeros(4)):
    picks = kernels.top_k(scores, 2)
    assert isinstance(picks, kernels.Selection)
    chex.assert_shape(picks, (2,))
    chex.assert_type([*picks], [jnp.int32, jnp.float32])


@pytest.mark.parametrize('key', [None, jax.random.key(0)], ids=['index', 'key'])
def test_float64_scores_rank_as_float64(key):
  with jax.enable_x64(True):
    scores = jnp.array([1.0, 1.0 + 1e-12, 1.0 - 1e-12, 1e300, -1e300])
    picks = kernels.top_k(scores, 5, key=key)
    chex.assert_type([*picks], [jnp.int32, jnp.float64])
    np.testing.assert_array_equal(picks.indices, [3, 1, 0, 2, 4])
    # As float32 the largest was inf and the least -inf, as if it were missing.
    np.testing.assert_array_equal(picks.values, scores[picks.indices])


def test_picks_follow_a_permutation_of_the_pool():
  rng = np.random.default_rng(0)
  scores = rng.permutation(N).astype(np.float32)
  eligible = rng.random(N) < 0.7
  order = rng.permutation(N)
  picks = kernels.top_k(scores, 4, eligible=eligible)
  permuted = kernels.top_k(scores[order], 4, eligible=eligible[order])
  np.testing.assert_array_equal(order[permuted.indices], picks.indices)


@hypothesis.given(any_scores, st.sampled_from([1, 4, N + 3]))
@properties
def test_ineligible_rows_at_the_end_change_nothing(scores, k):
  padded = np.concatenate([scores, np.full(8, 99, np.float32)])
  eligible = np.arange(len(padded)) < N
  chex.assert_trees_all_equal(
    jitted_top_k(padded, k, eligible=eligible), jitted_top_k(scores, k)
  )


@pytest.mark.parametrize('k', [3, 20])
def test_a_mask_equals_the_subset(k):
  rng = np.random.default_rng(0)
  scores = rng.integers(0, 5, N).astype(np.float32)
  eligible = rng.random(N) < 0.6
  whole = kernels.top_k(scores, k, eligible=eligible)
  subset = kernels.top_k(scores[eligible], k)
  mapped = np.append(np.flatnonzero(eligible), -1)[subset.indices]
  np.testing.assert_array_equal(whole.indices, mapped)
  np.testing.assert_array_equal(whole.values, subset.values)


@pytest.mark.parametrize('key', [None, jax.random.key(0)], ids=['index', 'key'])
def test_scores_that_are_not_finite_are_never_picked(key):
  scores = jnp.array([jnp.nan, 1.0, jnp.inf, -jnp.inf, -5.0, -jnp.nan])
  picks = kernels.top_k(scores, 4, key=key)
  np.testing.assert_array_equal(picks.indices, [1, 4, -1, -1])
  np.testing.assert_array_equal(picks.values, [1, -5, -np.inf, -np.inf])


@pytest.mark.parametrize('key', [None, jax.random.key(0)], ids=['index', 'key'])
@pytest.mark.parametrize('num_points', [0, 1, 3])
def test_nothing_eligible_gives_padding_only(num_points, key):
  nobody = jnp.zeros(num_points, jnp.bool_)
  picks = kernels.top_k(jnp.ones(num_points), 2, eligible=nobody, key=key)
  np.testing.assert_array_equal(picks.indices, [-1, -1])
  np.testing.assert_array_equal(picks.values, [-np.inf, -np.inf])


def test_as_many_as_are_eligible_are_all_of_them():
  eligible = jnp.array([True, False, True, True])
  picks = kernels.uniform(jax.random.key(0), eligible, 3)
  assert sorted(picks.indices.tolist()) == [0, 2, 3]


def test_the_largest_finite_scores_can_be_picked():
  largest = np.finfo(np.float32).max
  picks = kernels.top_k(jnp.array([-largest, largest]), 2)
  np.testing.assert_array_equal(picks.indices, [1, 0])


def test_zeros_of_both_signs_tie():
  picks = kernels.top_k(jnp.array([-0.0, 0.0, -0.0]), 3)
  np.testing.assert_array_equal(picks.indices, [0, 1, 2])


def test_ties_without_a_key_go_to_the_lowest_index():
  picks = kernels.top_k(jnp.array([1.0, 2.0, 1.0, 2.0, 1.0]), 4)
  np.testing.assert_array_equal(picks.indices, [1, 3, 0, 2])


def test_every_order_of_tied_points_is_equally_likely():
  # Two tie at the top, four at the last place, and one is below.
  scores = jnp.array([0.0, 1.0, 0.0, 1.0, -1.0, 0.0, -0.0])
  outcomes = [
    (*top, *rest)
    for top in itertools.permutations([1, 3])
    for rest in itertools.permutations([0, 2, 5, 6], 2)
  ]
  counts = frequencies(
    lambda key: kernels.top_k(scores, 4, key=key).indices, outcomes
  )
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_every_ordered_draw_of_uniform_is_equally_likely():
  eligible = jnp.array([True, False, True, True, True, False, True])
  counts = frequencies(
    lambda key: kernels.uniform(key, eligible, 2).indices,
    [*itertools.permutations([0, 2, 3, 4, 6], 2)],
  )
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_a_draw_of_all_points_is_a_uniform_permutation():
  counts = frequencies(
    lambda key: kernels.uniform(key, jnp.ones(4, jnp.bool_), 4).indices,
    [*itertools.permutations(range(4))],
  )
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_ineligible_rows_at_the_end_leave_the_distribution_of_ties():
  eligible = jnp.arange(9) < 4
  counts = frequencies(
    lambda key: (
      kernels.top_k(jnp.ones(9), 2, eligible=eligible, key=key).indices
    ),
    [*itertools.permutations(range(4), 2)],
  )
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_uniform_reaches_a_large_pool_evenly():
  eligible = jnp.arange(30_000) % 3 > 0
  picks = np.asarray(kernels.uniform(jax.random.key(0), eligible, 8_000)[0])
  assert len(set(picks.tolist())) == 8_000
  assert (picks % 3 > 0).all()
  for places in (picks, picks[:4_000]):
    counts, _ = np.histogram(places, bins=20, range=(0, 30_000))
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_vmap_over_pools_equals_a_loop():
  keys = jax.random.split(jax.random.key(0), 3)
  scores = jnp.round(jax.random.normal(jax.random.key(1), (3, N)))
  pick = functools.partial(kernels.top_k, k=5)
  together = jax.vmap(lambda row, key: pick(row, key=key))(scores, keys)
  alone = [pick(row, key=key) for row, key in zip(scores, keys, strict=True)]
  chex.assert_trees_all_equal(
    together, jax.tree.map(lambda *rows: jnp.stack(rows), *alone)
  )


@pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='reads the CPU program'
)
@pytest.mark.parametrize('keyed', [False, True], ids=['index', 'key'])
def test_the_pool_is_never_sorted_whole(keyed):
  num_points = 5_000

  def last_value(scores, key):
    return kernels.top_k(scores, 7, key=key if keyed else None).values[-1]

  scores = jax.ShapeDtypeStruct((num_points,), jnp.float32)
  compiled = jax.jit(last_value).lower(scores, jax.random.key(0)).compile()
  sorts = [line for line in compiled.as_text().split('\n') if ' sort(' in line]
  assert not [line for line in sorts if f'[{num_points}]' in line]


@pytest.mark.parametrize('k', [0, -1])
def test_k_below_one_is_an_error_that_names_it(k):
  with pytest.raises(ValueError, match=f'k is {k}'):
    kernels.top_k(jnp.zeros(3), k)
  with pytest.raises(ValueError, match=f'k is {k}'):
    kernels.uniform(jax.random.key(0), jnp.ones(3, jnp.bool_), k)


def test_k_must_be_a_whole_number():
  with pytest.raises(TypeError, match='k must be an integer'):
    kernels.top_k(jnp.zeros(3), 2.0)


@pytest.mark.parametrize(
  ('scores', 'eligible'),
  [
    (jnp.zeros((3, 2)), None),
    (jnp.zeros(3, jnp.int32), None),
    (jnp.zeros(3), jnp.ones(3, jnp.int32)),
    (jnp.zeros(3), jnp.ones(4, jnp.bool_)),
  ],
  ids=['rank', 'integer scores', 'integer mask', 'other shape'],
)
def test_arguments_of_the_wrong_kind_are_refused(scores, eligible):
  with pytest.raises(ValueError, match=r'(scores|eligible) must be'):
    kernels.top_k(scores, 1, eligible=eligible)


@pytest.mark.parametrize('keyed', [False, True], ids=['index', 'key'])
def test_the_kernel_lowers_for_cpu_cuda_and_tpu(keyed):
  platforms = ('cpu', 'cuda', 'tpu')

  @jax.jit
  def kernel(scores, key):
    return kernels.top_k(scores, 3, key=key if keyed else None)

  exported = jax.export.export(kernel, platforms=platforms)(
    jnp.zeros(N), jax.random.key(0)
  )
  assert exported.platforms == platforms
