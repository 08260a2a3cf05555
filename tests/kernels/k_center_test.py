"""Greedy k-center, whose blocks must not show."""

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
from al_jax.kernels import _greedy

N = 12
jitted = jax.jit(kernels.k_center, static_argnames=('k', 'block'))
properties = hypothesis.settings(deadline=None, max_examples=60)
# Of small whole numbers every distance is exact, and many tie.
any_points = hnp.arrays(
  np.float32, (N, 2), elements=st.integers(-3, 3).map(float)
)
any_mask = hnp.arrays(np.bool_, N)


def reference(points, k, eligible, centers):
  """Plain greedy: a pass over the pool per pick."""
  points = np.asarray(points, np.float64)
  left = eligible & ~centers
  sq_dists = np.full(len(points), np.inf)
  for center in points[centers]:
    sq_dists = np.minimum(sq_dists, np.sum((points - center) ** 2, axis=1))
  picks, values = [], []
  for _ in range(min(k, left.sum())):
    rank = sq_dists if centers.any() or picks else np.sum(points**2, axis=1)
    pick = int(np.argmax(np.where(left, rank, -np.inf)))
    picks.append(pick)
    values.append(rank[pick])
    left[pick] = False
    to_pick = np.sum((points - points[pick]) ** 2, axis=1)
    sq_dists = np.minimum(sq_dists, to_pick)
  missing = k - len(picks)
  return np.array(picks + missing * [-1]), values + missing * [-np.inf]


def assert_is_greedy(picks, points, eligible, centers):
  indices, values = reference(points, len(picks.indices), eligible, centers)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_array_equal(picks.values, values)


def whole_numbers(seed, num_points=300, dim=3, largest=20):
  """Points, who is eligible, and the few that are centers."""
  rng = np.random.default_rng(seed)
  points = rng.integers(0, largest, (num_points, dim)).astype(np.float32)
  return points, rng.random(num_points) < 0.9, rng.random(num_points) < 0.01


def pick(points, eligible, centers, k=20, block=128):
  """Most tests share one program: 300 points in 3 dimensions, 20 picks."""
  return jitted(points, k, eligible=eligible, centers=centers, block=block)


@hypothesis.given(
  any_points,
  any_mask,
  any_mask,
  st.sampled_from([(1, 128), (5, 2), (N + 3, 128)]),
)
@properties
def test_picks_and_ties_equal_plain_greedy(points, eligible, centers, sizes):
  picks = pick(points, eligible, centers, *sizes)
  assert_is_greedy(picks, points, eligible, centers)


@hypothesis.given(any_points, any_points, any_mask, any_mask)
@properties
def test_factors_give_the_picks_of_the_points_multiplied_out(
  left, right, eligible, centers
):
  picks = pick(kernels.Factors(left, right), eligible, centers, 5, 2)
  multiplied = np.einsum('nc,nd->ncd', left, right).reshape(N, -1)
  assert_is_greedy(picks, multiplied, eligible, centers)


@hypothesis.given(
  any_points,
  any_mask,
  any_mask,
  any_mask,
  st.sampled_from([np.nan, np.inf, -np.inf, 1e30]),
)
@properties
def test_points_that_are_not_finite_are_no_picks_and_no_centers(
  points, eligible, centers, is_bad, bad
):
  spoilt = points.copy()
  spoilt[is_bad, 1] = bad
  picks = pick(spoilt, eligible, centers, N + 3)
  assert_is_greedy(picks, points, eligible & ~is_bad, centers & ~is_bad)


def test_picks_on_a_large_pool_equal_plain_greedy():
  pool = whole_numbers(0, 50_000, 8, 40)
  assert_is_greedy(pick(*pool, k=300), *pool)


def test_each_pick_is_as_far_as_can_be_up_to_rounding():
  points = np.random.default_rng(0).normal(size=(3_000, 20))
  nobody, everybody = np.zeros(3_000, bool), np.ones(3_000, bool)
  indices, values = reference(points, 100, everybody, nobody)
  picks = pick(points.astype(np.float32), everybody, nobody, 100)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_allclose(picks.values, values, rtol=1e-5)


@pytest.mark.parametrize('block', [1, 7])
def test_the_block_changes_nothing(block):
  pool = whole_numbers(1)
  assert_is_greedy(pick(*pool, block=block), *pool)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('has_centers', [True, False])
def test_tiles_and_shortlists_change_nothing(monkeypatch, seed, has_centers):
  """Sizes at which points meet centers late, in parts, and some of them never.

  Few distinct points: many bounds tie with many distances.
  """
  points, eligible, centers = whole_numbers(seed, largest=12)
  centers &= has_centers
  points[::7], points[5] = points[3], np.nan
  sizes = dict(TILE=77, SHORTLIST=40, _ROWS=16, CENTERS=2, MET_BY_ALL=3)
  for name, size in sizes.items():
    monkeypatch.setattr(_greedy, name, size)
  lazily = jax.jit(functools.partial(kernels.k_center, k=120, block=4))
  picks = lazily(
    points, eligible=eligible, centers=centers if has_centers else None
  )
  finite = np.isfinite(points).all(axis=1)
  known = np.where(finite[:, None], points, 0)
  assert_is_greedy(picks, known, eligible & finite, centers & finite)


def test_jit_changes_nothing():
  points, eligible, centers = whole_numbers(3)
  plain = kernels.k_center(points, 20, eligible=eligible, centers=centers)
  chex.assert_trees_all_equal(plain, pick(points, eligible, centers))


def test_float64_gives_the_same_picks():
  points, eligible, centers = whole_numbers(4)
  short = pick(points, eligible, centers)
  with jax.enable_x64(True):
    long = pick(np.float64(points), eligible, centers)
  chex.assert_type([long.indices, long.values], [jnp.int32, jnp.float64])
  np.testing.assert_array_equal(long.indices, short.indices)
  np.testing.assert_array_equal(long.values, short.values)


def test_picks_follow_a_permutation_of_the_pool():
  rng = np.random.default_rng(6)
  points = rng.normal(size=(300, 3)).astype(np.float32)
  _, eligible, centers = whole_numbers(6)
  order = rng.permutation(300)
  picks = pick(points, eligible, centers)
  moved = pick(points[order], eligible[order], centers[order])
  np.testing.assert_array_equal(order[moved.indices], picks.indices)
  np.testing.assert_allclose(moved.values, picks.values, rtol=1e-5)


def test_ineligible_rows_at_the_end_change_nothing():
  points, eligible, centers = whole_numbers(7)
  points[250:], eligible[250:], centers[250:] = 99, False, False
  picks = pick(points, eligible, centers)
  assert_is_greedy(picks, points[:250], eligible[:250], centers[:250])


def test_a_mask_equals_the_subset():
  points, eligible, centers = whole_numbers(8)
  eligible[: len(eligible) // 2] = False
  seen = eligible | centers
  picks = pick(points, eligible, centers)
  subset, values = reference(points[seen], 20, eligible[seen], centers[seen])
  np.testing.assert_array_equal(picks.indices, np.flatnonzero(seen)[subset])
  np.testing.assert_array_equal(picks.values, values)


def test_without_centers_the_first_pick_is_the_longest_that_is_eligible():
  points, eligible, nobody = whole_numbers(9)
  nobody[:] = False
  picks = jitted(points, 20, eligible=eligible)
  lengths = np.sum(points**2, axis=1)
  assert picks.values[0] == lengths[eligible].max()
  assert_is_greedy(picks, points, eligible, nobody)
  chex.assert_trees_all_equal(pick(points, eligible, nobody), picks)


def test_points_that_coincide_with_a_center_are_picked_last_at_zero():
  rng = np.random.default_rng(11)
  distinct = rng.normal(10, 1, (30, 6)).astype(np.float32)
  points = np.concatenate([distinct, distinct, distinct])
  picks = jitted(points, 90)
  assert sorted(picks.indices.tolist()) == [*range(90)]
  assert sorted((picks.indices[:30] % 30).tolist()) == [*range(30)]
  np.testing.assert_array_equal(picks.values[30:], 0)


@pytest.mark.parametrize('value', [0.0, 7.5])
def test_equal_points_are_picked_in_the_order_of_their_indices(value):
  points = np.full((N, 2), value, np.float32)
  picks = pick(points, np.ones(N, bool), np.zeros(N, bool), N + 3)
  np.testing.assert_array_equal(picks.indices, [*range(N), -1, -1, -1])
  np.testing.assert_array_equal(picks.values[1:N], 0)


def test_nothing_to_pick_gives_padding_only():
  points = np.ones((N, 2), np.float32)
  everybody, nobody = np.ones(N, bool), np.zeros(N, bool)
  for picks in (
    pick(points, nobody, nobody, 5, 2),
    pick(points, everybody, everybody, 5, 2),
    kernels.k_center(points[:0], 5),
  ):
    np.testing.assert_array_equal(picks.indices, [-1] * 5)
    np.testing.assert_array_equal(picks.values, [-np.inf] * 5)


def test_one_point_is_picked():
  picks = jitted(jnp.array([[3.0, 4.0]]), 2)
  np.testing.assert_array_equal(picks.indices, [0, -1])
  np.testing.assert_array_equal(picks.values, [25, -np.inf])


def test_vmap_over_pools_equals_a_loop():
  points = np.random.default_rng(12).integers(0, 9, (3, 40, 2))
  select = functools.partial(kernels.k_center, k=6, block=2)
  together = jax.jit(jax.vmap(select))(points.astype(np.float32))
  for number in range(3):
    alone = jax.tree.map(lambda leaf, number=number: leaf[number], together)
    assert_is_greedy(
      alone, points[number], np.ones(40, bool), np.zeros(40, bool)
    )


def test_memory_is_a_tile_and_not_the_distances_to_all_picks():
  num_points, k = 40_000, 500
  points = jax.ShapeDtypeStruct((num_points, 8), jnp.float32)
  centers = jax.ShapeDtypeStruct((num_points,), jnp.bool_)
  compiled = jitted.lower(points, k, centers=centers).compile()
  extra = compiled.memory_analysis().temp_size_in_bytes
  # The caps of candidates are 1 MB; the distances to all picks would be 80 MB.
  assert extra < 4e6


@pytest.mark.parametrize('wrong', [dict(k=0), dict(k=-1), dict(k=2, block=0)])
def test_numbers_below_one_are_errors_that_name_them(wrong):
  name = 'block' if 'block' in wrong else 'k'
  with pytest.raises(ValueError, match=f'{name} is {wrong[name]}'):
    kernels.k_center(jnp.zeros((3, 2)), **wrong)


@pytest.mark.parametrize(
  'wrong',
  [
    dict(points=jnp.zeros(3)),
    dict(points=jnp.zeros((3, 2), jnp.int32)),
    dict(eligible=jnp.ones(3, jnp.int32)),
    dict(centers=jnp.ones(4, jnp.bool_)),
  ],
  ids=['rank', 'integer points', 'integer mask', 'other shape'],
)
def test_arguments_of_the_wrong_kind_are_refused(wrong):
  with pytest.raises(ValueError, match=r'(points|eligible|centers) must be'):
    kernels.k_center(**{'points': jnp.zeros((3, 2)), 'k': 1} | wrong)
