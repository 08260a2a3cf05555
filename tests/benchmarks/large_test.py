"""Selection at ImageNet's size, far too small to say how fast it is."""

import jax
import numpy as np
import pytest

from experiments.benchmarks import large, suites, table
from experiments.benchmarks.large import Sizes
from experiments.benchmarks.timing import Machine

MACHINE = Machine(1e11, 1e10)
SMALL = Sizes(num_points=20_000, num_features=200, num_classes=50, k=30)


@pytest.fixture(scope='module')
def rows():
  return [*large.selection(MACHINE, SMALL, repeats=1, at_most_bytes=1.0)]


def test_a_selection_is_timed_beside_two_floors(rows):
  floors = rows[:2]
  operations = 2 * 20_000 * (200 + 50) * 30
  assert floors[0].against == pytest.approx(operations / 1e11)
  assert floors[1].against > floors[0].against
  for row in floors:
    assert row.seconds > 0
    assert row.compiling > 0
    assert row.ratio == pytest.approx(row.seconds / row.against)
    assert row.bound > 0
    assert row.extra_bytes < SMALL.input_bytes


def test_memory_of_the_whole_process_is_reported_and_aimed_at(rows):
  held = rows[2]
  assert held.extra_bytes > SMALL.input_bytes
  before = float(held.note.split('points, ')[1].split()[0]) * 1e6
  assert 5e7 < before < held.extra_bytes - SMALL.input_bytes
  assert not held.is_met
  assert held._replace(bytes_at_most=1e12).is_met


def test_rows_fit_the_table(rows):
  for row in rows:
    assert row.what in table.line(row)
    assert len(row.what) <= 48
    assert len(row.which_is) <= 26


def test_picks_that_are_not_different_are_refused():
  large.check_distinct(np.arange(30), SMALL)
  with pytest.raises(RuntimeError, match='29 different points'):
    large.check_distinct(np.maximum(np.arange(30), 1), SMALL)
  with pytest.raises(RuntimeError, match='20 different points'):
    large.check_distinct(np.where(np.arange(30) < 20, np.arange(30), -1), SMALL)


def test_points_are_those_of_a_trained_network():
  left, right = large.gradients(jax.random.key(0), 2_500, 40, 1_000)
  assert (left.shape, right.shape) == ((2_500, 1_000), (2_500, 40))
  assert (right >= 0).all()
  assert 0.3 < (right == 0).mean() < 0.7
  np.testing.assert_allclose(left.sum(axis=1), 0, atol=1e-5)
  likeliest = 1 + left.min(axis=1)
  assert 0.6 < likeliest.mean() < 0.8
  assert 0.1 < (likeliest < 0.3).mean() < 0.35
  assert 0.2 < (likeliest > 0.99).mean() < 0.4
  # Every slice has its own, the last one too.
  assert len(np.unique(right, axis=0)) == 2_500


def test_points_are_made_without_holding_anything_else():
  lowered = large.gradients.lower(jax.random.key(0), *Sizes()[:3])
  found = lowered.compile().memory_analysis()
  assert found.output_size_in_bytes >= Sizes().input_bytes
  assert found.temp_size_in_bytes < 0.05 * Sizes().input_bytes


def test_what_a_process_holds_is_at_least_what_it_holds_now():
  block = np.ones(30_000_000)
  assert large.peak_bytes() > block.nbytes


def test_the_suite_is_known():
  assert suites.SUITES['imagenet'] == large.__name__
