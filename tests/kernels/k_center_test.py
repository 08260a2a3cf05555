"""Greedy k-center, whose blocks must not show."""

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
  return [*picks, *[-1] * missing], [*values, *[-np.inf] * missing]


def whole_numbers(seed, num_points=300, dim=3, largest=20):
  rng = np.random.default_rng(seed)
  points = rng.integers(0, largest, (num_points, dim)).astype(np.float32)
  return points, rng.random(num_points) < 0.9, rng.random(num_points) < 0.01


@hypothesis.given(
  any_points,
  any_mask,
  any_mask,
  st.sampled_from([(1, 128), (5, 2), (N, 3), (N + 3, 128)]),
)
@properties
def test_picks_and_ties_equal_plain_greedy(points, eligible, centers, sizes):
  k, block = sizes
  picks = jitted(points, k, eligible=eligible, centers=centers, block=block)
  indices, values = reference(points, k, eligible, centers)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_array_equal(picks.values, values)


@hypothesis.given(any_points, any_points, any_mask)
@properties
def test_factors_give_the_picks_of_the_points_multiplied_out(
  left, right, centers
):
  multiplied = np.einsum('nc,nd->ncd', left, right).reshape(N, -1)
  whole = jitted(multiplied, 5, centers=centers, block=2)
  factored = jitted(kernels.Factors(left, right), 5, centers=centers, block=2)
  chex.assert_trees_all_equal(factored, whole)


def test_picks_on_a_large_pool_equal_plain_greedy():
  points, eligible, centers = whole_numbers(0, 50_000, 8, 40)
  picks = jitted(points, 300, eligible=eligible, centers=centers)
  indices, values = reference(points, 300, eligible, centers)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_array_equal(picks.values, values)


def test_each_pick_is_as_far_as_can_be_up_to_rounding():
  points = np.random.default_rng(0).normal(size=(3_000, 20))
  nobody, everybody = np.zeros(3_000, bool), np.ones(3_000, bool)
  _, values = reference(points, 100, everybody, nobody)
  picks = jitted(points.astype(np.float32), 100)
  np.testing.assert_allclose(picks.values, values, rtol=1e-5)
  assert len(set(picks.indices.tolist())) == 100


@pytest.mark.parametrize('block', [1, 7])
def test_the_block_changes_nothing(block):
  points, eligible, centers = whole_numbers(1)
  arguments = dict(eligible=eligible, centers=centers)
  chex.assert_trees_all_equal(
    jitted(points, 20, block=block, **arguments),
    jitted(points, 20, **arguments),
  )


@pytest.mark.parametrize('tile', [1, 128])
def test_the_tile_changes_nothing(tile, monkeypatch):
  points, eligible, centers = whole_numbers(2)
  arguments = dict(eligible=eligible, centers=centers)
  whole = jitted(points, 20, **arguments)
  # The module: the package has the function by that name.
  module = sys.modules['al_jax.kernels.k_center']
  monkeypatch.setattr(module, '_TILE', tile)
  monkeypatch.setattr(module, '_CENTERS_PER_PASS', 3)
  chex.assert_trees_all_equal(
    jax.jit(functools.partial(kernels.k_center, k=20))(points, **arguments),
    whole,
  )


def test_jit_changes_nothing():
  points, eligible, centers = whole_numbers(3)
  arguments = dict(eligible=eligible, centers=centers)
  chex.assert_trees_all_equal(
    kernels.k_center(points, 20, **arguments), jitted(points, 20, **arguments)
  )


def test_float64_gives_the_same_picks():
  points, _, centers = whole_numbers(4)
  short = jitted(points, 20, centers=centers)
  with jax.enable_x64(True):
    long = kernels.k_center(points.astype(np.float64), 20, centers=centers)
  chex.assert_type([long.indices, long.values], [jnp.int32, jnp.float32])
  chex.assert_trees_all_equal(long, short)


def test_short_floats_are_compared_in_float32():
  points, _, centers = whole_numbers(5)
  chex.assert_trees_all_equal(
    jitted(jnp.asarray(points, jnp.bfloat16), 20, centers=centers),
    jitted(points, 20, centers=centers),
  )


def test_picks_follow_a_permutation_of_the_pool():
  rng = np.random.default_rng(6)
  points = rng.normal(size=(300, 4)).astype(np.float32)
  order = rng.permutation(300)
  picks, moved = jitted(points, 20), jitted(points[order], 20)
  np.testing.assert_array_equal(order[moved.indices], picks.indices)
  np.testing.assert_allclose(moved.values, picks.values, rtol=1e-5)


def test_ineligible_rows_at_the_end_change_nothing():
  points, _, centers = whole_numbers(7)
  padded = np.concatenate([points, np.full((50, 3), 99, np.float32)])
  eligible = np.arange(350) < 300
  chex.assert_trees_all_equal(
    jitted(padded, 20, eligible=eligible, centers=np.pad(centers, (0, 50))),
    jitted(points, 20, centers=centers),
  )


def test_a_mask_equals_the_subset():
  points, eligible, _ = whole_numbers(8)
  whole = jitted(points, 20, eligible=eligible)
  subset = jitted(points[eligible], 20)
  np.testing.assert_array_equal(
    whole.indices, np.flatnonzero(eligible)[subset.indices]
  )
  np.testing.assert_array_equal(whole.values, subset.values)


def test_no_centers_is_a_mask_of_none():
  points, eligible, _ = whole_numbers(9)
  chex.assert_trees_all_equal(
    jitted(points, 20, eligible=eligible),
    jitted(points, 20, eligible=eligible, centers=np.zeros(300, bool)),
  )


def test_without_centers_the_first_pick_is_the_longest_that_is_eligible():
  points = jnp.array([[1.0, 0.0], [0.0, 3.0], [5.0, 0.0], [0.0, -3.0]])
  eligible = jnp.array([True, True, False, True])
  picks = kernels.k_center(points, 2, eligible=eligible)
  np.testing.assert_array_equal(picks.indices, [1, 3])
  np.testing.assert_array_equal(picks.values, [9, 36])


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 1e30])
def test_points_that_are_not_finite_are_no_picks_and_no_centers(bad):
  points, _, centers = whole_numbers(10, 100, 3, 20)
  centers[:2] = True
  clean = jitted(
    np.delete(points, [0, 50], axis=0), 98, centers=np.delete(centers, [0, 50])
  )
  points[0, 1] = points[50, 2] = bad
  picks = jitted(points, 98, centers=centers)
  mapped = np.append(np.delete(np.arange(100), [0, 50]), -1)[clean.indices]
  np.testing.assert_array_equal(picks.indices, mapped)
  np.testing.assert_array_equal(picks.values, clean.values)


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
  picks = jitted(np.full((20, 3), value, np.float32), 10)
  np.testing.assert_array_equal(picks.indices, np.arange(10))
  np.testing.assert_array_equal(picks.values[1:], 0)


def test_nothing_to_pick_gives_padding_only():
  points = np.ones((5, 2), np.float32)
  everybody = np.ones(5, bool)
  for picks in (
    kernels.k_center(points, 3, eligible=~everybody),
    kernels.k_center(points, 3, centers=everybody),
    kernels.k_center(points[:0], 3),
  ):
    np.testing.assert_array_equal(picks.indices, -1)
    np.testing.assert_array_equal(picks.values, -np.inf)


def test_one_point_is_picked():
  picks = kernels.k_center(jnp.array([[3.0, 4.0]]), 2)
  np.testing.assert_array_equal(picks.indices, [0, -1])
  np.testing.assert_array_equal(picks.values, [25, -np.inf])


def test_vmap_over_pools_equals_a_loop():
  points = np.random.default_rng(12).integers(0, 9, (3, 40, 2))
  pick = functools.partial(kernels.k_center, k=6, block=2)
  together = jax.vmap(pick)(points.astype(np.float32))
  alone = [pick(pool) for pool in points.astype(np.float32)]
  chex.assert_trees_all_equal(
    together, jax.tree.map(lambda *rows: jnp.stack(rows), *alone)
  )


def test_memory_is_a_tile_and_not_all_distances():
  num_points, k = 40_000, 500
  points = jax.ShapeDtypeStruct((num_points, 8), jnp.float32)
  centers = jax.ShapeDtypeStruct((num_points,), jnp.bool_)
  compiled = jitted.lower(points, k, centers=centers).compile()
  extra = compiled.memory_analysis().temp_size_in_bytes
  # A tile is 4 MB; the distances to all picks would be 80 MB.
  assert extra < 12e6


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
  with pytest.raises(AssertionError):
    kernels.k_center(**{'points': jnp.zeros((3, 2)), 'k': 1} | wrong)


def test_the_kernel_lowers_for_cpu_cuda_and_tpu():
  platforms = ('cpu', 'cuda', 'tpu')
  kernel = jax.jit(functools.partial(kernels.k_center, k=3))
  exported = jax.export.export(kernel, platforms=platforms)(
    jnp.zeros((N, 2)), centers=jnp.zeros(N, jnp.bool_)
  )
  assert exported.platforms == platforms
