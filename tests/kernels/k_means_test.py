"""Lloyd's algorithm on k-means++ seeds."""

import functools
import importlib

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.cluster

from al_jax import kernels

N = 12
jitted = jax.jit(kernels.k_means, static_argnames=('k', 'num_iters'))


def multiplied_out(points):
  if not isinstance(points, kernels.Factors):
    return np.asarray(points, np.float64)
  left, right = (np.asarray(part, np.float64) for part in points)
  return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def reference_k_means(rows, weights, centroids):
  """From given seeds, none of whose clusters may become empty."""
  previous = None
  while True:
    gaps = np.square(rows[:, None] - centroids[None]).sum(axis=2)
    nearest = gaps.argmin(axis=1)
    if np.array_equal(nearest, previous):
      return centroids, nearest, weights @ gaps.min(axis=1)
    previous = nearest
    centroids = np.stack(
      [
        np.average(rows[nearest == j], axis=0, weights=weights[nearest == j])
        for j in range(len(centroids))
      ]
    )


@pytest.mark.parametrize('kind', ['dense', 'factors', 'weighted'])
def test_clusters_equal_the_reference_from_the_same_seeds(rng, kind):
  points = np.float32(rng.normal(size=(2_100, 6)))
  if kind == 'factors':
    left = np.float32(rng.normal(size=(2_100, 3)))
    points = kernels.Factors(left, points)
  weights = np.float32(rng.random(2_100)) if kind == 'weighted' else None
  key = jax.random.key(0)
  seeds = kernels.kmeans_plus_plus(key, points, 5, weights=weights).indices
  ours = jitted(key, points, 5, weights=weights, num_iters=1_000)
  rows = multiplied_out(points)
  weights = np.ones(2_100) if weights is None else np.float64(weights)
  centroids, nearest, inertia = reference_k_means(
    rows, weights, rows[np.asarray(seeds)]
  )
  np.testing.assert_allclose(ours.centroids, centroids, atol=1e-4)
  np.testing.assert_array_equal(ours.assignments, nearest)
  np.testing.assert_allclose(ours.inertia, inertia, rtol=1e-5)


def test_clusters_are_as_good_as_those_of_scikit_learn(rng):
  points = np.float32(rng.normal(size=(600, 4)))
  ours = min(
    float(jitted(jax.random.key(seed), points, 8).inertia) for seed in range(5)
  )
  theirs = sklearn.cluster.KMeans(8, n_init=5, random_state=0).fit(points)
  np.testing.assert_allclose(ours, theirs.inertia_, rtol=0.03)


@hypothesis.given(
  hnp.arrays(
    np.float32,
    (N, 2),
    elements=st.sampled_from([0.0, 1.0, 1.5, -30.0, np.nan, np.inf]),
  ),
  hnp.arrays(np.bool_, N),
  st.sampled_from([1, 4, N + 3]),
  st.integers(0, 2**32 - 1),
)
@hypothesis.settings(deadline=None, max_examples=60)
def test_results_agree_with_each_other_on_any_points(rows, eligible, k, seed):
  clusters = jitted(jax.random.key(seed), rows, k, eligible=eligible)
  members = eligible & np.isfinite(rows).all(axis=1)
  centroids = np.float64(clusters.centroids)
  nearest = np.asarray(clusters.assignments)
  np.testing.assert_array_equal(nearest >= 0, members)
  np.testing.assert_array_equal(nearest[~members], -1)
  num_seeded = min(k, members.sum())
  assert np.isfinite(centroids).all(axis=1).sum() == num_seeded
  if not num_seeded:
    assert clusters.inertia == 0
    return
  gaps = np.square(rows[members][:, None] - centroids[None]).sum(axis=2)
  chosen = gaps[np.arange(len(gaps)), nearest[members]]
  np.testing.assert_allclose(chosen, np.nanmin(gaps, axis=1), atol=1e-4)
  np.testing.assert_allclose(clusters.inertia, chosen.sum(), atol=1e-3)
  # With enough clusters every distinct point is a centroid.
  if k >= len(np.unique(rows[members], axis=0)):
    np.testing.assert_allclose(clusters.inertia, 0, atol=1e-6)


def test_a_cluster_without_points_restarts_at_the_worst_served(monkeypatch):
  # Real seeds are distinct points while there are any, and lose their clusters
  # too seldom to wait for: none of 20,000 small problems did.
  seeds = kernels.Selection(jnp.array([0, 1, 2]), jnp.zeros(3))
  monkeypatch.setattr(
    importlib.import_module('al_jax.kernels.k_means'),
    'kmeans_plus_plus',
    lambda *args, **options: seeds,
  )
  points = jnp.array([[0.0], [0.0], [0.1], [50.0], [90.0]])
  clusters = kernels.k_means(jax.random.key(0), points, 3)
  assert sorted(np.bincount(clusters.assignments).tolist()) == [1, 1, 3]
  np.testing.assert_allclose(clusters.inertia, 0.02 / 3, rtol=1e-4)


def test_more_iterations_never_raise_the_inertia(rng):
  points = np.float32(rng.normal(size=(500, 3)))
  inertia = [
    float(jitted(jax.random.key(0), points, 9, num_iters=num).inertia)
    for num in (0, 1, 3, 100)
  ]
  assert inertia == sorted(inertia, reverse=True)
  assert inertia[0] > inertia[-1]


def test_no_iteration_leaves_the_seeds(rng):
  points = np.float32(rng.normal(size=(20, 3)))
  key = jax.random.key(0)
  seeds = kernels.kmeans_plus_plus(key, points, 4).indices
  clusters = jitted(key, points, 4, num_iters=0)
  np.testing.assert_array_equal(clusters.centroids, points[seeds])


def test_jit_and_padding_change_nothing(rng):
  points = np.float32(rng.normal(size=(30, 3)))
  clusters = kernels.k_means(jax.random.key(0), points, 1)
  chex.assert_trees_all_close(
    jitted(jax.random.key(0), points, 1), clusters, rtol=1e-6
  )
  padded = np.concatenate([points, np.full((7, 3), np.nan, np.float32)])
  again = jitted(jax.random.key(0), padded, 1, eligible=np.arange(37) < 30)
  np.testing.assert_allclose(again.centroids, clusters.centroids, rtol=1e-5)
  np.testing.assert_array_equal(again.assignments[:30], clusters.assignments)
  np.testing.assert_array_equal(again.assignments[30:], -1)


def test_points_are_never_compared_all_with_all():
  points = jax.ShapeDtypeStruct((20_000, 16), jnp.float32)
  kernel = jax.jit(functools.partial(kernels.k_means, k=200))
  compiled = kernel.lower(jax.random.key(0), points).compile()
  extra = compiled.memory_analysis().temp_size_in_bytes
  assert extra < 4 * 20_000 * 200 / 2


@pytest.mark.parametrize(
  ('num_points', 'options', 'message'),
  [
    (3, {'k': 0}, 'k is 0'),
    (3, {'k': 1, 'num_iters': -1}, 'num_iters is -1'),
    (0, {'k': 1}, 'points has no rows'),
  ],
)
def test_numbers_that_are_not_allowed_are_named(num_points, options, message):
  with pytest.raises(ValueError, match=message):
    kernels.k_means(jax.random.key(0), jnp.ones((num_points, 2)), **options)


def test_the_kernel_lowers_for_cpu_cuda_and_tpu():
  platforms = ('cpu', 'cuda', 'tpu')
  kernel = jax.jit(functools.partial(kernels.k_means, k=3))
  exported = jax.export.export(kernel, platforms=platforms)
  assert exported(jax.random.key(0), jnp.ones((5, 2))).platforms == platforms
