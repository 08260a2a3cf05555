import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from al_jax import pool as pool_lib


def test_a_new_pool_is_all_eligible_and_trains_on_nothing():
  pool = pool_lib.create(5)
  assert pool.num_examples == 5
  np.testing.assert_array_equal(pool_lib.eligible(pool), [True] * 5)
  np.testing.assert_array_equal(pool_lib.trainable(pool), [False] * 5)
  assert int(pool_lib.num_asked(pool)) == 0


def test_reveal_writes_answers_where_asked_and_nowhere_else():
  pool = pool_lib.create(6)
  pool = pool_lib.reveal(
    pool, jnp.array([4, 1]), jnp.array([7, 8]), pool_lib.ORACLE, round=0
  )
  pool = pool_lib.reveal(
    pool, jnp.array([0, -1]), jnp.array([9, 3]), pool_lib.ORACLE, round=2
  )
  np.testing.assert_array_equal(pool.acquired_round, [2, 0, -1, -1, 0, -1])
  np.testing.assert_array_equal(pool.acquired_order, [2, 1, -1, -1, 0, -1])
  np.testing.assert_array_equal(pool.targets, [9, 8, 0, 0, 7, 0])
  np.testing.assert_array_equal(pool.annotator, [1, 1, 0, 0, 1, 0])


def test_padding_never_touches_the_last_example():
  pool = pool_lib.create(3)
  padded = jnp.full(4, -1, jnp.int32)
  after = pool_lib.reveal(pool, padded, jnp.arange(4), pool_lib.ORACLE, round=1)
  jax.tree.map(np.testing.assert_array_equal, pool, after)


def test_an_abstention_is_asked_but_not_a_label():
  pool = pool_lib.reveal(
    pool_lib.create(4),
    jnp.array([2, 3]),
    jnp.array([5, 6]),
    jnp.array([pool_lib.ABSTAINED, pool_lib.MACHINE]),
    round=0,
  )
  np.testing.assert_array_equal(pool_lib.eligible(pool), [1, 1, 0, 0])
  np.testing.assert_array_equal(pool_lib.trainable(pool), [0, 0, 0, 1])
  np.testing.assert_array_equal(pool.targets, [0, 0, 0, 6])


def test_a_pool_that_is_fully_labelled_has_every_answer():
  pool = pool_lib.fully_labelled(jnp.array([3, 1, 2]))
  np.testing.assert_array_equal(pool.targets, [3, 1, 2])
  assert bool(jnp.all(pool_lib.trainable(pool)))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(8)), st.integers(0, 8))
def test_questions_and_labelled_indices_agree_with_lists(order, count):
  asked = list(order)[:count]
  padded = np.full(8, -1, np.int32)
  padded[:count] = asked
  pool = pool_lib.reveal(
    pool_lib.create(8),
    jnp.asarray(padded),
    jnp.zeros(8, jnp.int32),
    pool_lib.ORACLE,
    round=0,
  )
  serial = np.asarray(pool.acquired_order)
  np.testing.assert_array_equal(serial[order[:count]], range(count))
  assert set(serial[order[count:]]) <= {pool_lib.NEVER}
  indices, number = pool_lib.labelled_indices(pool, 8)
  assert int(number) == count
  np.testing.assert_array_equal(indices[:count], sorted(asked))
  assert set(np.asarray(indices[count:])) <= {-1}


def test_shapes_and_dtypes_survive_reveal_under_jit():
  pool = pool_lib.create(4)
  after = jax.jit(pool_lib.reveal)(
    pool, jnp.array([1]), jnp.array([2]), pool_lib.ORACLE, round=0
  )
  same = jax.tree.map(
    lambda a, b: (
      a.shape == b.shape and a.dtype == b.dtype and a.weak_type == b.weak_type
    ),
    pool,
    after,
  )
  assert all(jax.tree.leaves(same))
