"""Uncertain, typical, and not yet covered."""

import functools

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels
from al_jax.kernels import distances

N = 24
hybrid = jax.jit(
  kernels.hybrid_informativeness,
  static_argnames=('k', 'num_references', 'block'),
)


def reference(
  scores, points, k, eligible, labeled, alpha=1.0, beta=1.0, gamma=0.5
):
  """Plain greedy, from the formula; every eligible point is a reference."""
  scores, points = np.float64(scores), np.float64(points)
  lengths = np.linalg.norm(points, axis=1, keepdims=True)
  points = points / np.where(lengths > 0, lengths, 1)
  similarities = np.maximum(points @ points.T, 0)
  similarities[similarities > 1 - 1e-6] = 1
  others = similarities * eligible * (1 - np.eye(len(points)))
  density = others.sum(axis=1) / np.maximum(eligible.sum() - eligible, 1)
  redundancy = np.max(similarities * labeled, axis=1)
  left, picks, values = eligible & ~labeled, [], []
  for _ in range(min(k, left.sum())):
    value = scores**alpha * density**beta * (1 - redundancy) ** gamma
    pick = int(np.argmax(np.where(left, value, -np.inf)))
    picks.append(pick)
    values.append(value[pick])
    left[pick] = False
    redundancy = np.maximum(redundancy, similarities[pick])
  return picks, values


def problem(seed=0, num_points=N, dim=4):
  rng = np.random.default_rng(seed)
  scores = rng.uniform(0, 1, num_points).astype(np.float32)
  points = rng.normal(0.4, 1, (num_points, dim)).astype(np.float32)
  eligible = rng.random(num_points) < 0.8
  labeled = ~eligible & (rng.random(num_points) < 0.7)
  return scores, points, eligible, labeled


@hypothesis.given(
  st.integers(0, 2**32 - 1),
  st.sampled_from([1, 5, N + 3]),
  st.sampled_from([(1.0, 1.0, 0.5), (0.5, 0.0, 1.0), (2.0, 0.5, 0.0)]),
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_picks_equal_plain_greedy(seed, k, powers):
  scores, points, eligible, labeled = problem(seed)
  alpha, beta, gamma = (jnp.float32(power) for power in powers)
  picks = hybrid(
    scores,
    points,
    k,
    eligible=eligible,
    labeled=labeled,
    alpha=alpha,
    beta=beta,
    gamma=gamma,
    block=4,
  )
  indices, values = reference(scores, points, k, eligible, labeled, *powers)
  np.testing.assert_array_equal(picks.indices[: len(indices)], indices)
  np.testing.assert_allclose(picks.values[: len(values)], values, rtol=2e-4)
  np.testing.assert_array_equal(picks.indices[len(indices) :], -1)
  np.testing.assert_array_equal(picks.values[len(indices) :], -np.inf)


@hypothesis.given(
  hnp.arrays(
    np.float32,
    N,
    elements=st.sampled_from([0.0, 0.5, 1.0, -1.0, np.nan, np.inf]),
  ),
  hnp.arrays(
    np.float32, (N, 2), elements=st.sampled_from([0.0, 1.0, -1.0, np.nan])
  ),
  hnp.arrays(np.bool_, N),
  hnp.arrays(np.bool_, N),
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_picks_are_distinct_and_may_be_picked(
  scores, points, eligible, labeled
):
  picks = hybrid(scores, points, N, eligible=eligible, labeled=labeled, block=4)
  with np.errstate(invalid='ignore'):
    pickable = eligible & ~labeled & np.isfinite(scores) & (scores >= 0)
  pickable &= np.isfinite(points).all(axis=1)
  num_taken = pickable.sum()
  taken = np.asarray(picks.indices)[:num_taken]
  assert sorted(taken.tolist()) == np.flatnonzero(pickable).tolist()
  values = np.asarray(picks.values)[:num_taken]
  assert np.isfinite(values).all() and (values >= 0).all()
  assert (np.diff(values) <= 1e-6).all()
  np.testing.assert_array_equal(picks.indices[num_taken:], -1)


@pytest.mark.parametrize('block', [1, 7, 200])
def test_the_block_changes_no_pick(block):
  scores, points, eligible, labeled = problem(num_points=3000, dim=8)
  options = {'eligible': eligible, 'labeled': labeled}
  picks = hybrid(scores, points, 60, block=block, **options)
  indices, values = reference(scores, points, 60, **options)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_allclose(picks.values, values, rtol=1e-4)


def test_jit_changes_nothing():
  scores, points, eligible, labeled = problem()
  options = {'eligible': eligible, 'labeled': labeled}
  alone = kernels.hybrid_informativeness(scores, points, 6, **options)
  together = hybrid(scores, points, 6, **options)
  np.testing.assert_array_equal(alone.indices, together.indices)
  np.testing.assert_allclose(alone.values, together.values, rtol=1e-5)


def test_without_density_and_novelty_it_is_the_top_k_of_the_scores():
  scores, points, eligible, _ = problem()
  picks = hybrid(scores, points, 8, eligible=eligible, beta=0.0, gamma=0.0)
  best = kernels.top_k(scores, 8, eligible=eligible)
  np.testing.assert_array_equal(picks.indices, best.indices)
  np.testing.assert_allclose(picks.values, best.values, rtol=1e-6)


def test_factors_are_picked_as_the_points_they_stand_for():
  rng = np.random.default_rng(0)
  left = rng.normal(0.3, 1, (N, 3)).astype(np.float32)
  right = rng.normal(0.3, 1, (N, 5)).astype(np.float32)
  scores, _, eligible, labeled = problem()
  options = {'eligible': eligible, 'labeled': labeled}
  factored = hybrid(scores, distances.Factors(left, right), 9, **options)
  whole = np.einsum('nc,nd->ncd', left, right).reshape(N, 15)
  multiplied_out = hybrid(scores, whole, 9, **options)
  np.testing.assert_array_equal(factored.indices, multiplied_out.indices)
  np.testing.assert_allclose(factored.values, multiplied_out.values, rtol=1e-4)


def test_the_length_of_the_points_does_not_matter():
  scores, points, eligible, labeled = problem()
  lengths = np.logspace(-30, 30, N).astype(np.float32)[:, None]
  options = {'eligible': eligible, 'labeled': labeled}
  np.testing.assert_array_equal(
    hybrid(scores, lengths * points, 9, **options).indices,
    hybrid(scores, points, 9, **options).indices,
  )


def test_an_outlier_and_a_copy_of_what_is_known_come_last():
  points = jnp.array(
    [[1.0, 0.0], [1.0, 0.1], [1.0, 0.3], [-1.0, 0.0], [2.0, 0]]
  )
  labeled = jnp.array([True, False, False, False, False])
  picks = hybrid(jnp.ones(5), points, 4, eligible=~labeled, labeled=labeled)
  assert picks.indices.tolist()[:2] == [2, 1]
  np.testing.assert_array_equal(picks.values[2:], 0)


def test_copies_of_a_point_are_worth_nothing_after_it():
  points = np.repeat(np.random.default_rng(0).normal(size=(3, 40)), 8, axis=0)
  points = points.astype(np.float32)
  picks = hybrid(np.ones(N, np.float32), points, 6, beta=0.0)
  np.testing.assert_array_equal(picks.indices[:3] % 8, 0)
  np.testing.assert_array_equal(picks.values[3:], 0)
  np.testing.assert_array_equal(picks.indices[3:], [1, 2, 3])


def test_a_point_of_length_zero_is_similar_to_nothing():
  points = jnp.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
  picks = hybrid(jnp.array([0.5, 1.0, 0.9]), points, 3, beta=0.0)
  np.testing.assert_array_equal(picks.indices, [1, 0, 2])
  np.testing.assert_allclose(picks.values, [1.0, 0.5, 0.0])
  assert hybrid(jnp.ones(3), points, 1).indices[0] != 0


def test_a_point_that_is_not_finite_counts_for_no_other():
  scores, points, eligible, labeled = problem()
  spoilt = points.copy()
  bad = np.flatnonzero(eligible)[3], np.flatnonzero(labeled)[0]
  spoilt[bad, 1] = np.nan, np.inf
  options = {'eligible': eligible, 'labeled': labeled}
  picks = hybrid(scores, spoilt, 9, **options)
  kept = np.setdiff1d(np.arange(N), bad)
  without = hybrid(
    scores[kept],
    points[kept],
    9,
    eligible=eligible[kept],
    labeled=labeled[kept],
  )
  np.testing.assert_array_equal(picks.indices, kept[without.indices])
  np.testing.assert_allclose(picks.values, without.values, rtol=1e-4)


def test_ineligible_rows_at_the_end_change_nothing():
  scores, points, eligible, labeled = problem()
  more = problem(seed=1)
  picks = hybrid(scores, points, 9, eligible=eligible, labeled=labeled)
  padded = hybrid(
    np.append(scores, more[0]),
    np.concatenate([points, more[1]]),
    9,
    eligible=np.append(eligible, np.zeros(N, bool)),
    labeled=np.append(labeled, np.zeros(N, bool)),
  )
  np.testing.assert_array_equal(padded.indices, picks.indices)
  np.testing.assert_allclose(padded.values, picks.values, rtol=1e-5)


def test_picks_follow_a_permutation_of_the_pool():
  scores, points, eligible, labeled = problem()
  order = np.random.default_rng(0).permutation(N)
  picks = hybrid(scores, points, 9, eligible=eligible, labeled=labeled)
  permuted = hybrid(
    scores[order],
    points[order],
    9,
    eligible=eligible[order],
    labeled=labeled[order],
  )
  np.testing.assert_array_equal(order[permuted.indices], picks.indices)


def test_as_many_references_as_points_are_all_of_them():
  scores, points, eligible, labeled = problem()
  options = {'eligible': eligible, 'labeled': labeled}
  drawn = hybrid(
    scores, points, 9, key=jax.random.key(0), num_references=N, **options
  )
  chex.assert_trees_all_close(
    drawn, hybrid(scores, points, 9, **options), rtol=1e-6
  )


def test_few_references_estimate_the_density():
  scores, points, eligible, _ = problem(num_points=400)

  def densest(key):
    return kernels.hybrid_informativeness(
      scores,
      points,
      1,
      eligible=eligible,
      key=key,
      num_references=40,
      alpha=0.0,
    ).values[0]

  keys = jax.random.split(jax.random.key(0), 50)
  values = jax.jit(jax.vmap(densest))(keys)
  exact = hybrid(scores, points, 1, eligible=eligible, alpha=0.0).values[0]
  assert len(np.unique(values)) > 25
  # The largest of noisy densities is somewhat above the largest.
  np.testing.assert_allclose(values.mean(), exact, rtol=0.15)


def test_nothing_eligible_gives_padding_only():
  for num_points in (0, 3):
    picks = kernels.hybrid_informativeness(
      jnp.ones(num_points),
      jnp.ones((num_points, 2)),
      2,
      eligible=jnp.zeros(num_points, jnp.bool_),
    )
    np.testing.assert_array_equal(picks.indices, [-1, -1])
    np.testing.assert_array_equal(picks.values, [-np.inf, -np.inf])


def test_float64_agrees_with_float32():
  scores, points, eligible, labeled = problem()
  options = {'eligible': eligible, 'labeled': labeled}
  single = hybrid(scores, points, 9, **options)
  with jax.enable_x64(True):
    double = hybrid(np.float64(scores), np.float64(points), 9, **options)
    chex.assert_type([*double], [jnp.int32, jnp.float64])
  np.testing.assert_array_equal(single.indices, double.indices)
  np.testing.assert_allclose(single.values, double.values, rtol=1e-5)


def test_no_array_of_all_pairs_is_made():
  num_points = 20_000
  pick = functools.partial(kernels.hybrid_informativeness, k=20, block=8)
  compiled = (
    jax.jit(pick)
    .lower(
      jax.ShapeDtypeStruct((num_points,), jnp.float32),
      jax.ShapeDtypeStruct((num_points, 16), jnp.float32),
    )
    .compile()
  )
  extra = compiled.memory_analysis().temp_size_in_bytes
  assert extra < 4 * num_points * (3 * 16 + 40) + 4 * 4 * 2048 * 512


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'k': 0}, 'k is 0'),
    ({'num_references': 0}, 'num_references is 0'),
    ({'block': 0}, 'block is 0'),
    ({'alpha': -1.0}, 'alpha is -1.0'),
    ({'beta': np.nan}, 'beta is nan'),
    ({'gamma': -0.5}, 'gamma is -0.5'),
  ],
)
def test_a_number_out_of_range_is_an_error_that_names_it(options, message):
  with pytest.raises(ValueError, match=message):
    kernels.hybrid_informativeness(
      jnp.ones(3), jnp.ones((3, 2)), **{'k': 1, **options}
    )


@pytest.mark.parametrize('beta', [0.0, 1.0])
def test_a_power_that_overflows_leaves_nobody_out(beta):
  """Worth inf times a novelty of 0 was NaN, which ended the picking early."""
  labeled = jnp.array([False, False, True, False])
  points = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  scores = jnp.array([1e20, 1e20, 1.0, 1e30])
  picks = hybrid(
    scores, points, 4, labeled=labeled, alpha=2.0, beta=beta, block=2
  )
  assert sorted(picks.indices.tolist()) == [-1, 0, 1, 3]
  assert jnp.isfinite(picks.values[:3]).all()


def test_arguments_of_other_shapes_are_refused():
  for scores, masks in (
    (jnp.ones(4), {}),
    (jnp.ones(3, jnp.int32), {}),
    (jnp.ones(3), {'eligible': jnp.ones(4, jnp.bool_)}),
    (jnp.ones(3), {'labeled': jnp.ones(3)}),
  ):
    with pytest.raises(ValueError, match=r'(scores|eligible|labeled) must be'):
      kernels.hybrid_informativeness(scores, jnp.ones((3, 2)), 1, **masks)


@pytest.mark.parametrize('keyed', [False, True])
def test_the_kernel_lowers_for_cpu_cuda_and_tpu(keyed):
  platforms = ('cpu', 'cuda', 'tpu')

  @jax.jit
  def kernel(key, scores, points):
    return kernels.hybrid_informativeness(
      scores, points, 3, key=key if keyed else None
    )

  exported = jax.export.export(kernel, platforms=platforms)(
    jax.random.key(0), jnp.zeros(N), jnp.zeros((N, 4))
  )
  assert exported.platforms == platforms
