"""Norms and squared distances of points, plain or factored."""

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels

properties = hypothesis.settings(deadline=None, max_examples=60)
numbers = st.floats(-8, 8, width=32, allow_subnormal=False)


def multiplied_out(points):
  if not isinstance(points, kernels.Factors):
    return np.asarray(points, np.float64)
  left, right = (np.asarray(part, np.float64) for part in points)
  return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def reference_squared_distances(a, b):
  a, b = multiplied_out(a), multiplied_out(b)
  return np.stack([np.square(row - b).sum(axis=1) for row in a])


def random_points(rng, kind, num_points, *, scale=1.0):
  right = np.float32(scale * np.abs(rng.normal(size=(num_points, 24))))
  if kind == 'dense':
    return right
  return kernels.Factors(np.float32(rng.normal(size=(num_points, 5))), right)


every_kind = pytest.mark.parametrize('kind', ['dense', 'factors'])
distances_of = jax.jit(kernels.squared_distances)


@every_kind
def test_distances_and_norms_equal_the_multiplied_out_ones(rng, kind):
  a, b = random_points(rng, kind, 40), random_points(rng, kind, 30)
  expected = reference_squared_distances(a, b)
  np.testing.assert_allclose(distances_of(a, b), expected, rtol=1e-5)
  np.testing.assert_allclose(kernels.squared_distances(a, b), expected, 1e-5)
  norms = np.square(multiplied_out(a)).sum(axis=1)
  np.testing.assert_allclose(kernels.squared_norms(a), norms, rtol=1e-5)


@every_kind
@pytest.mark.parametrize('share', [1e-1, 1e-2, 1e-4, 1e-6])
def test_nearly_identical_points_keep_their_digits(rng, kind, share):
  # More pairs than are recomputed at a time.
  a = random_points(rng, kind, 40)
  b = jax.tree.map(
    lambda part: np.float32(
      np.tile(part, (30, 1)) * (1 + share * rng.normal(size=part.shape[1]))
    ),
    a,
  )
  np.testing.assert_allclose(
    distances_of(a, b), reference_squared_distances(a, b), rtol=1e-5
  )


@every_kind
def test_a_common_offset_costs_no_digits(rng, kind):
  a = jax.tree.map(lambda part: part + 1000, random_points(rng, kind, 30))
  expected = reference_squared_distances(a, a)
  np.testing.assert_allclose(distances_of(a, a), expected, rtol=1e-5)


def test_factors_that_share_one_row_keep_their_digits(rng):
  a = random_points(rng, 'factors', 20)
  b = a._replace(right=np.float32(a.right * (1 + 1e-5)))
  np.testing.assert_allclose(
    distances_of(a, b), reference_squared_distances(a, b), rtol=1e-5
  )


def test_a_sign_that_moves_from_one_row_to_the_other_changes_nothing(rng):
  a = random_points(rng, 'factors', 20)
  b = kernels.Factors(-a.left, -a.right)
  np.testing.assert_array_equal(np.diagonal(distances_of(a, b)), 0)


@hypothesis.given(
  hnp.arrays(np.float32, (6, 3), elements=numbers),
  hnp.arrays(np.float32, (6, 2), elements=numbers),
)
@properties
def test_distances_are_symmetric_zero_to_themselves_and_never_negative(
  right, left
):
  points = kernels.Factors(left, right)
  sq_dists = np.asarray(distances_of(points, points))
  np.testing.assert_array_equal(np.diagonal(sq_dists), 0)
  assert (sq_dists >= 0).all()
  scale = np.square(multiplied_out(points)).sum(axis=1).max()
  np.testing.assert_allclose(sq_dists, sq_dists.T, rtol=1e-5, atol=1e-6 * scale)
  # Squares below the smallest normal float are 0, times what they are added to.
  lost = 1e3 * np.finfo(np.float32).tiny
  np.testing.assert_allclose(
    sq_dists,
    reference_squared_distances(points, points),
    rtol=1e-5,
    atol=1e-12 * scale + lost,
  )


@every_kind
def test_distances_follow_permutations_and_subsets(rng, kind):
  a, b = random_points(rng, kind, 9), random_points(rng, kind, 7)
  order, some = rng.permutation(9), np.array([5, 0])
  parts = jax.tree.map(lambda part: part[order], a)
  np.testing.assert_allclose(
    kernels.squared_distances(parts, jax.tree.map(lambda part: part[some], b)),
    kernels.squared_distances(a, b)[order][:, some],
    rtol=1e-6,
  )


def test_zero_vectors_and_single_columns_are_points():
  zero = kernels.Factors(jnp.zeros((2, 1)), jnp.ones((2, 3)))
  one = kernels.Factors(jnp.ones((1, 1)), jnp.ones((1, 3)))
  np.testing.assert_array_equal(kernels.squared_distances(zero, one), [[3]] * 2)
  np.testing.assert_array_equal(kernels.squared_norms(zero), [0, 0])
  chex.assert_shape(
    kernels.squared_distances(jnp.zeros((0, 3)), jnp.zeros((2, 3))), (0, 2)
  )


def test_what_is_not_finite_stays_in_its_row():
  points = jnp.array([[0.0], [jnp.nan], [jnp.inf], [2.0]])
  sq_dists = kernels.squared_distances(points, jnp.zeros((1, 1)))[:, 0]
  assert not np.isfinite(sq_dists[1:3]).any()
  np.testing.assert_array_equal(sq_dists[np.array([0, 3])], [0, 4])


@every_kind
def test_half_precision_is_raised_and_double_is_kept(rng, kind):
  a = random_points(rng, kind, 5)
  half = jax.tree.map(lambda part: jnp.asarray(part, jnp.bfloat16), a)
  assert kernels.squared_distances(half, half).dtype == jnp.float32
  with jax.enable_x64(True):
    double = jax.tree.map(lambda part: jnp.asarray(part, jnp.float64), a)
    sq_dists = kernels.squared_distances(double, double)
    assert sq_dists.dtype == jnp.float64
  expected = reference_squared_distances(a, a)
  np.testing.assert_allclose(sq_dists, expected, rtol=1e-12)


def test_points_of_other_kinds_or_widths_are_refused():
  dense, factors = jnp.zeros((2, 3)), kernels.Factors(*[jnp.zeros((2, 3))] * 2)
  with pytest.raises(ValueError, match='of one kind'):
    kernels.squared_distances(dense, factors)
  with pytest.raises(ValueError, match=r'\(2, 4\)'):
    kernels.squared_distances(dense, jnp.zeros((2, 4)))
  for wrong in (jnp.zeros(3), jnp.zeros((2, 3), jnp.int32)):
    with pytest.raises(ValueError, match='points'):
      kernels.squared_norms(wrong)
  with pytest.raises(ValueError, match='points'):
    kernels.squared_norms(kernels.Factors(jnp.zeros((2, 3)), jnp.zeros((3, 3))))


def test_more_pairs_than_int32_can_count_are_refused():
  rows = jax.ShapeDtypeStruct((2**16, 1), jnp.float32)
  with pytest.raises(ValueError, match='4294967296 pairs'):
    jax.eval_shape(kernels.squared_distances, rows, rows)


def test_factors_are_never_multiplied_out():
  shapes = [
    kernels.Factors(
      jax.ShapeDtypeStruct((num, 100), jnp.float32),
      jax.ShapeDtypeStruct((num, 200), jnp.float32),
    )
    for num in (4000, 20)
  ]
  compiled = distances_of.lower(*shapes).compile()
  extra = compiled.memory_analysis().temp_size_in_bytes
  assert extra < 4 * 4000 * 100 * 200 / 50


@every_kind
def test_the_kernel_lowers_for_cpu_cuda_and_tpu(rng, kind):
  platforms = ('cpu', 'cuda', 'tpu')
  a = jax.tree.map(jnp.asarray, random_points(rng, kind, 5))
  exported = jax.export.export(
    jax.jit(
      lambda *leaves: kernels.squared_distances(
        *[jax.tree.unflatten(jax.tree.structure(a), leaves)] * 2
      )
    ),
    platforms=platforms,
  )(*jax.tree.leaves(a))
  assert exported.platforms == platforms
