"""Points in tiles: the picks of the kernels in memory, bit for bit."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels
from experiments.benchmarks.tiled import Counted

D, C = 24, 5
# Of a row of D float32: some parts, of 2 tiles of 1,024 rows.
PART = 2_100 * 4 * D


def rows_of(num_points, dtype=np.float32, seed=0):
  """Clusters, some rows twice, and one that cannot be picked."""
  rng = np.random.default_rng(seed)
  centers = 3 * rng.normal(size=(40, D))
  rows = centers[rng.integers(0, 40, num_points)]
  rows = (rows + rng.normal(size=rows.shape)).astype(dtype)
  rows[num_points // 2 :: 7] = rows[0]
  rows[-1, 0] = np.nan
  return rows


def assert_same_picks(key, tiled, points, k, **options):
  found = kernels.kmeans_plus_plus(key, tiled, k, **options)
  expected = kernels.kmeans_plus_plus(key, points, k, **options)
  chex.assert_trees_all_equal(found, expected)


def mask_of(num_points):
  return jnp.asarray(np.random.default_rng(1).random(num_points) < 0.7)


def test_seeding_picks_what_it_picks_in_memory():
  rows = rows_of(5_123)
  weights = np.random.default_rng(1).random(len(rows)).astype(np.float32)
  weights[::5] = 0
  assert_same_picks(
    jax.random.key(3),
    kernels.Tiled(rows, bytes_at_once=PART),
    rows,
    200,
    eligible=mask_of(len(rows)),
    weights=jnp.asarray(weights),
    patience=0.0,
  )


def test_seeding_of_half_the_bytes_and_of_a_tile_and_a_row():
  rows = rows_of(2_049, np.float16)
  tiled = kernels.Tiled(rows, bytes_at_once=PART // 2)
  options = {'eligible': mask_of(len(rows)), 'first': 'max_norm'}
  assert_same_picks(jax.random.key(0), tiled, rows, 100, **options)


def test_seeding_of_more_points_than_there_are():
  rows = rows_of(50)
  assert_same_picks(jax.random.key(0), kernels.Tiled(rows), rows, 60)


def test_seeding_of_factors_from_two_files(tmp_path):
  parts = rows_of(3_001)[:, :C].copy(), rows_of(3_001, seed=1)
  mapped = []
  for number, part in enumerate(parts):
    np.save(tmp_path / f'{number}.npy', part)
    mapped.append(np.load(tmp_path / f'{number}.npy', mmap_mode='r'))
  tiled = kernels.Tiled(*mapped, bytes_at_once=PART)
  assert_same_picks(jax.random.key(1), tiled, kernels.Factors(*parts), 100)


def test_seeding_of_gradients_that_are_made_as_they_are_read():
  embedding = rows_of(3_001)
  logits = 3 * np.random.default_rng(2).normal(size=(3_001, C))
  logits = logits.astype(np.float32)
  tiled = kernels.Tiled(
    logits, embedding, points=kernels.gradient_factors, bytes_at_once=PART
  )
  factors = kernels.gradient_factors(logits, embedding)
  for seed in range(3):
    key = jax.random.key(seed)
    found = kernels.kmeans_plus_plus(key, tiled, 200)
    expected = kernels.kmeans_plus_plus(key, factors, 200)
    np.testing.assert_array_equal(found.indices, expected.indices)
    # A softmax is rounded as the program around it has it.
    np.testing.assert_allclose(found.values, expected.values, rtol=3e-6)


def test_seeding_reads_in_full_for_the_first_pick_and_for_visits():
  rows = Counted(rows_of(5_000)[:-1])
  passes = []
  for patience in (0.0, 1.0):
    rows.rows_read = 0
    tiled = kernels.Tiled(rows, bytes_at_once=PART)
    kernels.kmeans_plus_plus(jax.random.key(0), tiled, 200, patience=patience)
    passes.append(rows.rows_read / 4_999)
  visiting, lazy = passes
  # And the part of the first pick, for its norm.
  assert 1 < lazy < 2 < visiting < 9, passes


@pytest.mark.parametrize(
  ('dtype', 'some_are_labeled'), [(np.float32, False), (np.float16, True)]
)
def test_centers_are_those_of_the_kernel_in_memory(dtype, some_are_labeled):
  rows = rows_of(5_123, dtype)
  options = {'eligible': mask_of(len(rows))}
  if some_are_labeled:
    options['centers'] = jnp.arange(len(rows)) % 17 == 1
  tiled = kernels.Tiled(rows, bytes_at_once=PART)
  chex.assert_trees_all_equal(
    kernels.k_center(tiled, 300, **options),
    kernels.k_center(rows, 300, **options),
  )


def test_centers_of_factors_and_of_more_points_than_there_are():
  left, right = rows_of(60)[:, :C].copy(), rows_of(60, seed=1)
  chex.assert_trees_all_equal(
    kernels.k_center(kernels.Tiled(left, right), 70),
    kernels.k_center(kernels.Factors(left, right), 70),
  )


def test_centers_are_found_in_few_passes():
  rows = Counted(rows_of(5_000))
  tiled = kernels.Tiled(rows, bytes_at_once=PART)
  kernels.k_center(tiled, 300)
  assert rows.rows_read / 5_000 <= 12


def test_what_is_no_point_is_told():
  with pytest.raises(ValueError, match=r'arrays have \[2, 3\] rows'):
    kernels.Tiled(np.ones((2, 2)), np.ones((3, 2)))
  with pytest.raises(ValueError, match='points must be float'):
    kernels.Tiled(np.ones((2, 2), np.int32))
