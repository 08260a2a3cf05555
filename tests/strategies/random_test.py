import jax
import jax.numpy as jnp
import numpy as np

from al_jax import pool as pool_lib
from al_jax.strategies import STRATEGIES, random

N = 12
ASKED = jnp.array([0, 5, 11])
EVERYTHING = jnp.ones(N, bool)


def pool_with_some_asked():
  return pool_lib.reveal(
    pool_lib.create(N), ASKED, jnp.zeros(3, jnp.int32), pool_lib.ORACLE, round=0
  )


def picks(seed, k):
  strategy = random()
  state, selection = strategy.select(
    jax.random.key(seed), (), (), EVERYTHING, pool_with_some_asked(), k
  )
  assert state == ()
  return np.asarray(selection.indices)


def test_it_has_a_name_and_no_options():
  assert STRATEGIES['random'] is random


def test_it_measures_nothing():
  assert random().measure is None


def test_picks_are_distinct_and_never_one_that_was_asked_about():
  for seed in range(5):
    chosen = picks(seed, 6)
    assert len(set(chosen)) == 6
    assert not set(chosen) & {0, 5, 11, -1}


def test_more_than_there_are_gives_all_of_them_and_padding():
  asked = jnp.arange(N - 4)
  pool = pool_lib.reveal(
    pool_lib.create(N), asked, jnp.zeros_like(asked), pool_lib.ORACLE, round=0
  )
  key = jax.random.key(0)
  chosen = random().select(key, (), (), EVERYTHING, pool, 6)[1].indices
  assert set(np.asarray(chosen[:4])) == set(range(N - 4, N))
  np.testing.assert_array_equal(chosen[4:], -1)


def test_every_example_is_as_likely_as_any_other():
  pool, strategy = pool_with_some_asked(), random()
  keys = jax.random.split(jax.random.key(1), 900)
  chosen = jax.vmap(
    lambda key: strategy.select(key, (), (), EVERYTHING, pool, 2)[1].indices
  )(keys)
  counts = np.bincount(np.ravel(chosen), minlength=N)
  np.testing.assert_array_equal(counts[np.asarray(ASKED)], 0)
  # Each of 9 is among 2 picks in 200 of 900 draws; their sum is fixed.
  eligible = np.delete(counts, ASKED)
  assert np.sum((eligible - 200) ** 2 / 200) < 26.1  # chi-squared, 8: p = 0.001


def test_the_key_decides():
  np.testing.assert_array_equal(picks(3, 6), picks(3, 6))
  assert len({tuple(picks(seed, 6)) for seed in range(6)}) > 1
