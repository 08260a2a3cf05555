import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.strategies import core_set, covering
from tests.strategies.linear_network import (
  KEY,
  D,
  K,
  N,
  choose,
  measure_pool,
  pool_with,
  select,
)

ASKED = [3, 17, 5]


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def distances(points):
  points = np.asarray(points, np.float64)
  return np.linalg.norm(points[:, None] - points[None], axis=-1)


def greedy(points, asked, k):
  to_all, picks = distances(points), []
  if not asked:
    picks = [int(np.argmax(np.linalg.norm(points, axis=1)))]
  while len(picks) < k:
    nearest = to_all[:, asked + picks].min(axis=1)
    nearest[asked + picks] = -np.inf
    picks.append(int(np.argmax(nearest)))
  return picks


def radius(points, centers, num_outliers=0):
  """How far the points are that the centers serve worst, but for a few."""
  nearest = np.sort(distances(points)[:, list(centers)].min(axis=1))
  return nearest[len(nearest) - 1 - num_outliers]


@pytest.mark.parametrize('asked', [[], ASKED])
def test_picks_are_the_farthest_from_what_was_asked_about(inputs, asked):
  picks = choose(core_set(), inputs, pool_with(asked))
  np.testing.assert_array_equal(picks, greedy(inputs, asked, K))


def test_what_was_not_measured_is_no_center(inputs):
  where = np.arange(N) % 2 == 0
  measured = measure_pool(core_set(), inputs, where=where)
  asked = [4, 7]  # nobody looked at 7
  _, selection = select(core_set(), measured, pool_with(asked), seen=where)
  wanted = 2 * np.array(greedy(inputs[::2], [2], K))
  np.testing.assert_array_equal(selection.indices, wanted)


def test_normalised_embeddings_are_compared_by_direction(inputs):
  strategy = core_set(normalise=True)
  inputs[8] = 0
  measured = measure_pool(strategy, inputs)
  lengths = np.linalg.norm(inputs, axis=1, keepdims=True)
  wanted = inputs / np.where(lengths > 0, lengths, 1)
  np.testing.assert_allclose(measured, wanted, rtol=1e-5)
  picks = choose(strategy, inputs, pool_with(ASKED))
  np.testing.assert_array_equal(picks, greedy(wanted, ASKED, K))


@pytest.mark.parametrize('num_outliers', [0, 2])
def test_robust_covers_all_but_the_outliers_no_worse_than_greedy(
  inputs, num_outliers
):
  strategy = core_set(robust=True, outliers=num_outliers / N)
  picks = choose(strategy, inputs, pool_with(ASKED))
  assert len(set(picks)) == K and not set(picks) & set(ASKED)
  found = radius(inputs, [*ASKED, *picks], num_outliers)
  start = radius(inputs, ASKED + greedy(inputs, ASKED, K), num_outliers)
  assert found < start


@pytest.mark.parametrize('num_outliers', [0, 1, 3])
@pytest.mark.parametrize('asked', [[], [2]])
def test_robust_is_the_best_of_all_choices(rng, num_outliers, asked):
  points = rng.normal(size=(12, 2)).astype(np.float32)
  strategy = core_set(robust=True, outliers=(num_outliers + 0.5) / 12)
  pool = pool_with(asked, num_examples=12)
  _, selection = select(strategy, jnp.asarray(points), pool, k=3)
  left = [i for i in range(12) if i not in asked]
  best = min(
    radius(points, [*asked, *batch], num_outliers)
    for batch in itertools.combinations(left, 3)
  )
  found = radius(points, [*asked, *selection.indices], num_outliers)
  assert found == pytest.approx(best)


def test_an_outlier_may_hide_a_radius_far_below_half_of_the_greedy_one():
  """Greedy takes the outlier, and leaves the group around 10 without center."""
  points = np.array([0, 9.9, 10, 10.1, 100])[:, None]
  given = np.array([True, False, False, False, False])
  found = covering.smallest_cover(
    points, given, np.array([4]), num_outliers=1, max_seconds=10
  )
  assert found.tolist() == [2]


def test_robust_without_any_time_makes_the_greedy_choice(inputs):
  hurried = core_set(robust=True, max_seconds=1e-9)
  picks = choose(hurried, inputs, pool_with(ASKED))
  assert radius(inputs, [*ASKED, *picks]) <= radius(
    inputs, ASKED + greedy(inputs, ASKED, K)
  )


def test_robust_refuses_more_points_than_a_programme_can_hold():
  most = covering.MOST_POINTS
  pool = pool_with([], num_examples=most + 1)
  points = jnp.zeros((most + 1, 2))
  with pytest.raises(ValueError, match=f'up to {most} .* {most + 1}: set sub'):
    select(core_set(robust=True), points, pool, k=2)
  # What was not measured does not count.
  seen = np.arange(most + 1) > 0
  _, selection = select(core_set(robust=True), points, pool, seen=seen, k=2)
  assert 0 not in selection.indices and -1 not in selection.indices


def test_options_that_make_no_sense_are_refused():
  with pytest.raises(ValueError, match='outliers is 1; it must be a number'):
    core_set(outliers=1)
  with pytest.raises(ValueError, match='max_seconds is 0; it must be a number'):
    core_set(max_seconds=0)
  for name in ('robust', 'normalise'):
    with pytest.raises(ValueError, match=f"{name} is 'no'; it must be True"):
      core_set(**{name: 'no'})


def test_the_key_changes_nothing(inputs):
  keys = jax.random.split(KEY, 2)
  a, b = (choose(core_set(), inputs, pool_with([1]), key=key) for key in keys)
  np.testing.assert_array_equal(a, b)
