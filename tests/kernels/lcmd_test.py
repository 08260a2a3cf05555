"""The farthest point of the largest cluster, against plain NumPy."""

import functools
import sys

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels

N, K = 12, 5
properties = hypothesis.settings(deadline=None, max_examples=60)
# Of small whole numbers every distance and every sum is exact, and many tie.
any_points = hnp.arrays(
  np.float32, (N, 2), elements=st.integers(-3, 3).map(float)
)
any_mask = hnp.arrays(np.bool_, N)


def reference(points, k, eligible, centers):
  """The algorithm as it is written, all distances anew for each pick."""
  points, left = np.asarray(points, np.float64), eligible & ~centers
  order, values = list(np.flatnonzero(centers)), []
  num_centers = len(order)
  for _ in range(min(k, left.sum())):
    rank, sums = np.sum(points**2, axis=1), np.zeros(len(points))
    if order:
      sq_dists = np.sum((points[:, None] - points[order]) ** 2, axis=2)
      rank, owner = sq_dists.min(axis=1), sq_dists.argmin(axis=1)
      sums = np.bincount(owner, rank * left, len(order))[owner]
    largest = left & (sums == sums[left].max())
    order.append(int(np.argmax(np.where(largest, rank, -1))))
    values.append(rank[order[-1]])
    left[order[-1]] = False
  picks, missing = order[num_centers:], k - len(values)
  return picks + missing * [-1], values + missing * [-np.inf]


def assert_is_lcmd(picks, points, eligible, centers):
  indices, values = reference(points, len(picks.indices), eligible, centers)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_array_equal(picks.values, values)


def whole_numbers(seed, num_points=300, dim=3):
  """Points, who is eligible, and the few that are centers."""
  rng = np.random.default_rng(seed)
  points = rng.integers(0, 20, (num_points, dim)).astype(np.float32)
  return points, rng.random(num_points) < 0.9, rng.random(num_points) < 0.02


def pick(points, eligible, centers, k=20):
  """Most tests share one program: 300 points in 3 dimensions, 20 picks."""
  return kernels.lcmd(points, k, eligible=eligible, centers=centers)


@hypothesis.given(
  any_points, any_mask, any_mask, st.sampled_from([1, K, N + 3])
)
@properties
def test_picks_and_ties_equal_the_plain_algorithm(points, eligible, centers, k):
  assert_is_lcmd(pick(points, eligible, centers, k), points, eligible, centers)


@hypothesis.given(any_points, any_points, any_mask, any_mask)
@properties
def test_factors_give_the_picks_of_the_points_multiplied_out(
  left, right, eligible, centers
):
  picks = pick(kernels.Factors(left, right), eligible, centers, K)
  multiplied = np.einsum('nc,nd->ncd', left, right).reshape(N, -1)
  assert_is_lcmd(picks, multiplied, eligible, centers)


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
  assert_is_lcmd(picks, points, eligible & ~is_bad, centers & ~is_bad)


def test_many_far_points_go_before_the_farthest():
  """Where core-set takes the outlier."""
  many = np.full((8, 1), 106.0, np.float32)
  points = np.concatenate([[[0.0], [10.0], [100.0]], many]).astype(np.float32)
  centers = np.isin(np.arange(11), (0, 2))
  picks = pick(points, ~centers, centers, 1)
  assert picks.indices.tolist() == [3]
  assert kernels.k_center(points, 1, centers=centers).indices.tolist() == [1]


def test_the_tile_changes_nothing(monkeypatch):
  points, eligible, centers = whole_numbers(2)
  module = sys.modules['al_jax.kernels.lcmd']
  monkeypatch.setattr(module, '_PAIRS_AT_ONCE', 70)
  monkeypatch.setattr(module, '_CENTERS_PER_PASS', 2)
  tiled = jax.jit(functools.partial(kernels.lcmd, k=20))
  picks = tiled(points, eligible=eligible, centers=centers)
  assert_is_lcmd(picks, points, eligible, centers)


def test_ineligible_rows_change_nothing_and_order_only_ties():
  points, eligible, centers = whole_numbers(3)
  picks = pick(points, eligible, centers)
  assert_is_lcmd(picks, points, eligible, centers)
  far = np.where((eligible | centers)[:, None], points, np.float32(99))
  chex.assert_trees_all_equal(pick(far, eligible, centers), picks)
  order = np.random.default_rng(0).permutation(300)
  rough = points + np.random.default_rng(1).normal(size=(300, 3)) / 8
  rough = rough.astype(np.float32)
  moved = pick(rough[order], eligible[order], centers[order])
  there = pick(rough, eligible, centers).indices
  np.testing.assert_array_equal(order[moved.indices], there)


def test_without_centers_the_first_pick_is_the_longest():
  points, eligible, nobody = whole_numbers(4)
  nobody[:] = False
  picks = kernels.lcmd(points, 20, eligible=eligible)
  assert_is_lcmd(picks, points, eligible, nobody)
  chex.assert_trees_all_equal(pick(points, eligible, nobody), picks)


@pytest.mark.parametrize('power', [-40, 50])
def test_scales_at_the_ends_of_float32_change_no_pick(power):
  """Sums of squared distances would leave float32."""
  points, eligible, centers = whole_numbers(5)
  picks = pick(points * np.float32(2.0**power), eligible, centers)
  indices, values = reference(points, 20, eligible, centers)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_array_equal(picks.values, np.ldexp(values, 2 * power))


def test_float64_gives_the_same_picks():
  points, eligible, centers = whole_numbers(6)
  short = pick(points, eligible, centers)
  with jax.enable_x64(True):
    long = pick(np.float64(points), eligible, centers)
  chex.assert_type([long.indices, long.values], [jnp.int32, jnp.float64])
  np.testing.assert_array_equal(long.indices, short.indices)


def test_nothing_to_pick_gives_padding_only():
  points = np.ones((N, 2), np.float32)
  everybody, nobody = np.ones(N, bool), np.zeros(N, bool)
  for picks in (
    pick(points, nobody, nobody, K),
    pick(points, everybody, everybody, K),
    kernels.lcmd(points[:0], K),
  ):
    np.testing.assert_array_equal(picks.indices, [-1] * K)
    np.testing.assert_array_equal(picks.values, [-np.inf] * K)


def test_equal_points_are_picked_in_the_order_of_their_indices():
  points = np.full((N, 2), 7.5, np.float32)
  picks = pick(points, np.ones(N, bool), np.zeros(N, bool), N + 3)
  np.testing.assert_array_equal(picks.indices, [*range(N), -1, -1, -1])
  np.testing.assert_array_equal(picks.values[1:N], 0)


def test_vmap_over_pools_equals_a_loop():
  points = np.random.default_rng(12).integers(0, 9, (3, 40, 2))
  select = functools.partial(kernels.lcmd, k=6)
  together = jax.jit(jax.vmap(select))(points.astype(np.float32))
  for number in range(3):
    alone = jax.tree.map(lambda leaf, number=number: leaf[number], together)
    assert_is_lcmd(alone, points[number], np.ones(40, bool), np.zeros(40, bool))


def test_a_number_below_one_is_an_error_that_names_it():
  with pytest.raises(ValueError, match='k is 0'):
    kernels.lcmd(jnp.zeros((3, 2)), 0)
