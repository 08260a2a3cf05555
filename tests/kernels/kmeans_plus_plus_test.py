"""k-means++ seeding: exact draws, whatever the blocks and the visits."""

import functools
import itertools
import sys

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
NUM_KEYS = 24_000
jitted = jax.jit(
  kernels.kmeans_plus_plus, static_argnames=('k', 'first', 'block', 'patience')
)


def multiplied_out(points):
  if not isinstance(points, kernels.Factors):
    return np.asarray(points, np.float64)
  left, right = (np.asarray(part, np.float64) for part in points)
  return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def reference_probability(rows, weights, picks):
  """Of an ordered choice of picks, by the plain algorithm."""
  probability = weights[picks[0]] / weights.sum()
  nearest = np.square(rows - rows[picks[0]]).sum(axis=1)
  for pick in picks[1:]:
    probability *= weights[pick] * nearest[pick] / (weights @ nearest)
    nearest = np.minimum(nearest, np.square(rows - rows[pick]).sum(axis=1))
  return probability


def reference_values(rows, picks):
  values = [np.inf]
  for place in range(1, len(picks)):
    gaps = rows[picks[:place]] - rows[picks[place]]
    values.append(np.square(gaps).sum(axis=1).min())
  return np.array(values)


def small_pool(kind):
  rng = np.random.default_rng(1)
  right = np.float32(rng.normal(size=(6, 2)))
  if kind != 'factors':
    return right
  return kernels.Factors(np.float32(rng.normal(size=(6, 3))), right)


def clustered_pool(rng, num_points, *, num_clusters=5):
  centers = rng.normal(size=(num_clusters, 8))
  rows = centers[rng.integers(0, num_clusters, num_points)]
  rows = rows + 0.01 * rng.normal(size=rows.shape)
  return kernels.Factors(np.float32(rows[:, :3]), np.float32(rows[:, 3:] + 1))


def chi_square(counts, probabilities):
  """p-value of counts, outcomes that are rare taken together."""
  expected = np.asarray(probabilities) * np.sum(counts)
  rare = expected < 10
  counts = np.append(np.asarray(counts)[~rare], np.sum(counts, where=rare))
  expected = np.append(expected[~rare], np.sum(expected, where=rare))
  some = expected > 0
  assert counts[~some].sum() == 0
  return scipy.stats.chisquare(counts[some], expected[some]).pvalue


def counts_of(draw, outcomes):
  draws = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(5), NUM_KEYS))
  seen, counts = np.unique(draws, axis=0, return_counts=True)
  table = dict(zip(map(tuple, seen.tolist()), counts.tolist(), strict=True))
  assert set(table) <= set(outcomes)
  return [table.get(outcome, 0) for outcome in outcomes]


@pytest.mark.parametrize(
  ('kind', 'block', 'patience'),
  [
    ('factors', 3, 1.0),
    ('factors', 2, 0.0),
    ('dense', 8, 1.0),
    ('weighted', 3, 1.0),
  ],
)
def test_ordered_picks_are_as_likely_as_under_the_plain_algorithm(
  kind, block, patience
):
  points = small_pool(kind)
  weights = np.float32([1, 3, 0.5, 2, 1, 0.1]) if kind == 'weighted' else None
  outcomes = [*itertools.permutations(range(6), 3)]
  counts = counts_of(
    lambda key: (
      kernels.kmeans_plus_plus(
        key, points, 3, weights=weights, block=block, patience=patience
      ).indices
    ),
    outcomes,
  )
  rows = multiplied_out(points)
  weights = np.ones(6) if weights is None else np.float64(weights)
  probabilities = [
    reference_probability(rows, weights, [*picks]) for picks in outcomes
  ]
  np.testing.assert_allclose(np.sum(probabilities), 1)
  assert chi_square(counts, probabilities) > 1e-3


def test_ineligible_points_leave_the_distribution_of_the_others():
  points = small_pool('factors')
  padded = jax.tree.map(lambda part: np.concatenate([part, 9 + part]), points)
  outcomes = [*itertools.permutations(range(6), 2)]
  counts = counts_of(
    lambda key: (
      kernels.kmeans_plus_plus(
        key, padded, 2, eligible=jnp.arange(12) < 6, block=4
      ).indices
    ),
    outcomes,
  )
  rows = multiplied_out(points)
  probabilities = [
    reference_probability(rows, np.ones(6), [*picks]) for picks in outcomes
  ]
  assert chi_square(counts, probabilities) > 1e-3


def test_where_all_distances_are_zero_the_rest_is_uniform():
  points = jnp.ones((5, 2)).at[0].set(7.0)
  counts = counts_of(
    lambda key: kernels.kmeans_plus_plus(key, points, 3, block=2).indices,
    outcomes := [
      picks
      for picks in itertools.permutations(range(5), 3)
      # The point apart is drawn first or second, never last.
      if 0 in picks[:2]
    ],
  )
  probabilities = [
    1 / 5 / (4 * 3) if picks[0] == 0 else 1 / 5 / 3 for picks in outcomes
  ]
  assert chi_square(counts, probabilities) > 1e-3


@pytest.mark.parametrize('patience', [0.0, 1.0])
def test_clusters_are_found_and_their_potential_is_that_of_plain_draws(
  rng, patience
):
  # All mass goes with the first picks: bounds are bad and visits are made.
  points = clustered_pool(rng, 3_000)
  pick = functools.partial(jitted, k=40, block=16, patience=patience)
  rows = multiplied_out(points)

  def potential(picks):
    return np.sum(
      np.min([np.square(rows - rows[i]).sum(axis=1) for i in picks], axis=0)
    )

  ours, plain = [], []
  for seed in range(12):
    indices = np.asarray(pick(jax.random.key(seed), points).indices)
    assert len(set(indices.tolist())) == 40
    ours.append(potential(indices))
    picks = [rng.integers(len(rows))]
    nearest = np.square(rows - rows[picks[0]]).sum(axis=1)
    while len(picks) < 40:
      picks.append(rng.choice(len(rows), p=nearest / nearest.sum()))
      gaps = np.square(rows - rows[picks[-1]]).sum(axis=1)
      nearest = np.minimum(nearest, gaps)
    plain.append(potential(picks))
  assert scipy.stats.ttest_ind(np.log(ours), np.log(plain)).pvalue > 1e-3


@hypothesis.given(
  hnp.arrays(
    np.float32,
    (N, 2),
    elements=st.sampled_from([0.0, 1.0, 1e-6, -30.0, np.nan, np.inf, 1e30]),
  ),
  hnp.arrays(np.bool_, N),
  st.sampled_from([1, 4, N + 3]),
  st.sampled_from(['uniform', 'max_norm']),
  st.integers(0, 2**32 - 1),
)
@hypothesis.settings(deadline=None, max_examples=60)
def test_picks_are_distinct_eligible_and_as_far_as_their_values_say(
  rows, eligible, k, first, seed
):
  picks = jitted(
    jax.random.key(seed), rows, k, eligible=eligible, first=first, block=8
  )
  with np.errstate(over='ignore'):
    norms = np.square(rows).sum(axis=1)
    pickable = eligible & (norms < np.finfo(np.float32).max / 8)
  num_taken = min(k, pickable.sum())
  taken = np.asarray(picks.indices)[:num_taken]
  assert len(set(taken.tolist())) == num_taken
  assert pickable[taken].all()
  np.testing.assert_array_equal(picks.indices[num_taken:], -1)
  np.testing.assert_array_equal(picks.values[num_taken:], -np.inf)
  if num_taken:
    np.testing.assert_allclose(
      picks.values[:num_taken],
      reference_values(rows.astype(np.float64), taken),
      rtol=1e-5,
    )


@pytest.mark.parametrize('kind', ['factors', 'dense'])
def test_duplicates_come_after_every_distinct_point(rng, kind):
  # Long vectors: products alone would leave copies at 1e-7 of their norms.
  rows = np.float32(100 + rng.normal(size=(7, 30)))
  points = np.tile(rows, (40, 1))
  if kind == 'factors':
    points = kernels.Factors(np.tile(rows[:, :3], (40, 1)), points)
  for seed in range(3):
    picks = jitted(jax.random.key(seed), points, 20)
    assert set((np.asarray(picks.indices[:7]) % 7).tolist()) == set(range(7))
    assert len(set(picks.indices.tolist())) == 20
    np.testing.assert_array_equal(picks.values[7:], 0)


def test_jit_and_the_size_of_tiles_change_nothing(rng, monkeypatch):
  points = clustered_pool(rng, 2_500)
  pick = functools.partial(kernels.kmeans_plus_plus, k=30, patience=0.0)
  key = jax.random.key(0)
  expected = pick(key, points)
  chex.assert_trees_all_equal(jax.jit(pick)(key, points), expected)

  from al_jax.kernels import _blocks

  # The name of the module is that of the function, which hides it.
  module = sys.modules['al_jax.kernels.kmeans_plus_plus']
  for rows, picks in ((300, 64), (4096, 5)):
    monkeypatch.setattr(_blocks, 'ROWS_AT_ONCE', rows)
    monkeypatch.setattr(_blocks, 'PICKS_AT_ONCE', picks)
    # The compiled function would not look at them again.
    anew = functools.partial(
      module._kmeans_plus_plus.__wrapped__,
      k=30,
      patience=0.0,
      block=128,
      first='uniform',
      eligible=None,
      weights=None,
    )
    again = jax.jit(anew)(key=key, points=points)
    np.testing.assert_array_equal(again.indices, expected.indices)
    np.testing.assert_allclose(again.values, expected.values, rtol=1e-6)


def test_the_first_pick_is_the_longest_eligible_point_if_asked_for():
  points = jnp.array([[1.0], [-9.0], [3.0], [jnp.nan]])
  eligible = jnp.array([True, False, True, True])
  for seed in range(3):
    picks = jitted(
      jax.random.key(seed), points, 2, eligible=eligible, first='max_norm'
    )
    np.testing.assert_array_equal(picks.indices, [2, 0])
    np.testing.assert_array_equal(picks.values, [np.inf, 4])


def test_weights_below_the_normal_numbers_rule_points_out():
  weights = jnp.array([1e-44, 1e-40, 0.0, 1e-44, 1e-44])
  points = jnp.array([[0.0], [1.0], [2.0], [3.0], [jnp.inf]])
  picks = jitted(jax.random.key(0), points, 3, weights=weights)
  np.testing.assert_array_equal(picks.indices, -1)
  picks = jitted(jax.random.key(0), points, 3, weights=weights.at[1].set(1.0))
  np.testing.assert_array_equal(picks.indices, [1, -1, -1])


def test_weights_near_overflow_are_drawn_by():
  weights = jnp.array([-1e38, 3.4e38, 3e38, 2e37, -3.4e38])
  points = jnp.arange(5.0)[:, None]
  for seed in range(5):
    picks = jitted(jax.random.key(seed), points, 3, weights=weights)
    assert set(picks.indices.tolist()) == {1, 2, 3}


def test_weights_that_are_not_positive_and_finite_rule_points_out():
  weights = jnp.array([1e-30, 0.0, -1.0, jnp.nan, jnp.inf, 1e-30])
  points = jnp.arange(6.0)[:, None]
  picks = jitted(jax.random.key(0), points, 4, weights=weights)
  assert set(picks.indices[:2].tolist()) == {0, 5}
  np.testing.assert_array_equal(picks.indices[2:], -1)


@pytest.mark.parametrize('scale', [1e-15, 1e15])
def test_sums_of_huge_or_tiny_distances_stay_finite(rng, scale):
  points = np.float32(rng.normal(size=(400, 3)) * scale)
  picks = jitted(jax.random.key(0), points, 9)
  plain = jitted(jax.random.key(0), points / scale, 9)
  np.testing.assert_array_equal(picks.indices, plain.indices)


@pytest.mark.parametrize('scale', [1e3, 1e5, 1e12])
def test_rows_of_factors_may_be_unbalanced(rng, scale):
  """(s q, h / s) is the same point as (q, h)."""
  left, right = rng.normal(size=(100, 3)), rng.normal(size=(100, 4))
  scales = np.where(rng.random(100) < 0.5, scale, 1 / scale)[:, None]
  points = kernels.Factors(
    np.float32(left * scales), np.float32(right / scales)
  )
  picks = jitted(jax.random.key(0), points, 40)
  expected = reference_values(multiplied_out(points), np.array(picks.indices))
  np.testing.assert_allclose(picks.values, expected, rtol=2e-5)


@pytest.mark.parametrize('num_points', [0, 1, 3])
def test_nothing_eligible_gives_padding_only(num_points):
  picks = jitted(
    jax.random.key(0),
    jnp.ones((num_points, 2)),
    2,
    eligible=jnp.zeros(num_points, jnp.bool_),
  )
  np.testing.assert_array_equal(picks.indices, [-1, -1])
  np.testing.assert_array_equal(picks.values, [-np.inf, -np.inf])


def test_a_pool_in_double_precision_is_measured_in_double_precision():
  with jax.enable_x64(True):
    points = jnp.array([[1.0], [1.0 + 1e-12], [1.0]])
    picks = jitted(jax.random.key(0), points, 2)
    chex.assert_type([*picks], [jnp.int32, jnp.float64])
    assert picks.values[1] > 0


def test_picks_of_a_large_pool_take_little_memory_besides_it():
  shapes = kernels.Factors(
    jax.ShapeDtypeStruct((50_000, 100), jnp.float32),
    jax.ShapeDtypeStruct((50_000, 512), jnp.float32),
  )
  pick = jax.jit(functools.partial(kernels.kmeans_plus_plus, k=1_000))
  compiled = pick.lower(jax.random.key(0), shapes).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < 64e6


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({'k': 0}, 'k is 0'),
    ({'block': 0}, 'block is 0'),
    ({'patience': -1.0}, 'patience is -1.0'),
    ({'patience': float('nan')}, 'patience is nan'),
    ({'first': 'longest'}, "first is 'longest'; it must be 'uniform' or"),
  ],
)
def test_numbers_and_names_that_are_not_allowed_are_named(changed, message):
  arguments = {'k': 2, **changed}
  with pytest.raises(ValueError, match=message):
    kernels.kmeans_plus_plus(jax.random.key(0), jnp.ones((3, 2)), **arguments)


@pytest.mark.parametrize(
  'wrong',
  [
    {'eligible': jnp.ones(2, jnp.bool_)},
    {'eligible': jnp.ones(3)},
    {'weights': jnp.ones(2)},
    {'weights': jnp.ones(3, jnp.int32)},
  ],
)
def test_masks_and_weights_of_the_wrong_kind_are_refused(wrong):
  with pytest.raises(ValueError, match=r'(eligible|weights) must be'):
    kernels.kmeans_plus_plus(jax.random.key(0), jnp.ones((3, 2)), 2, **wrong)


def test_the_kernel_lowers_for_cpu_cuda_and_tpu():
  platforms = ('cpu', 'cuda', 'tpu')

  @jax.jit
  def kernel(key, left, right):
    return kernels.kmeans_plus_plus(key, kernels.Factors(left, right), 3)

  exported = jax.export.export(kernel, platforms=platforms)(
    jax.random.key(0), jnp.ones((5, 2)), jnp.ones((5, 3))
  )
  assert exported.platforms == platforms
