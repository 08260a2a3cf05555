import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.strategies import batch_bald, core_set
from al_jax.strategies.measured import among_measured

N, M, D, K = 100, 12, 3, 4
KEY = jax.random.key(1)
ASKED = np.array([3, 60, 99])


@pytest.fixture
def pool():
  targets = jnp.array([2, 0, 1], jnp.int32)
  return pool_lib.reveal(
    pool_lib.create(N), jnp.array(ASKED), targets, pool_lib.ORACLE, round=5
  )


@pytest.fixture
def part(rng):
  """Positions of what was measured: some of the pool, and what was asked."""
  others = np.setdiff1d(np.arange(N), ASKED)
  return np.sort(np.r_[ASKED, rng.choice(others, M - 3, replace=False)])


def only(part, values):
  """The values, of which those outside the part are spoilt; and the mask."""
  seen = np.isin(np.arange(N), part)
  measured = np.full_like(values, np.inf)
  measured[part] = values[part]
  return jnp.asarray(measured), jnp.asarray(seen)


def given_to(select_among, measured, seen, pool, k=K):
  """What the select below is given."""
  given = []

  def select(key, state, measured, seen, pool, k):
    given.append((measured, seen, pool))
    scores = jnp.asarray(jax.tree.leaves(measured)[0])[:, 0]
    eligible = pool_lib.eligible(pool) & seen
    return state + 1, kernels.top_k(scores, k, eligible=eligible)

  state, selection = select_among(select)(KEY, 0, measured, seen, pool, k)
  assert state == 1
  return *given[0], selection


def test_a_select_sees_the_measured_rows_and_what_is_known_of_them(
  rng, pool, part
):
  values = rng.normal(size=(N, D)).astype(np.float32)
  measured, seen, pool_of_part, selection = given_to(
    among_measured, *only(part, values), pool
  )
  # The next power of 2.
  assert len(measured) == len(seen) == pool_of_part.num_examples == 16
  np.testing.assert_array_equal(measured[:M], values[part])
  for name in ('acquired_round', 'acquired_order', 'targets', 'annotator'):
    found, whole = getattr(pool_of_part, name), getattr(pool, name)
    np.testing.assert_array_equal(found[:M], whole[part])
    assert found.dtype == whole.dtype
  # Padding is as what was not measured.
  np.testing.assert_array_equal(seen, np.arange(16) < M)
  np.testing.assert_array_equal(measured[M:], 0)
  others = np.setdiff1d(part, ASKED)
  wanted = others[np.argsort(-values[others, 0])[:K]]
  np.testing.assert_array_equal(selection.indices, wanted)


def test_a_part_smaller_than_the_batch_ends_in_padding(rng, pool):
  part = np.r_[ASKED, [41, 42]]
  values = rng.normal(size=(N, D)).astype(np.float32)
  *_, selection = given_to(among_measured, *only(part, values), pool, k=9)
  assert set(np.asarray(selection.indices[:2])) == {41, 42}
  np.testing.assert_array_equal(selection.indices[2:], np.full(7, -1))


def test_nothing_is_gathered_where_all_is_measured(rng, pool):
  values = jnp.asarray(rng.normal(size=(N, D)), jnp.float32)
  everything = jnp.ones(N, bool)
  measured, seen, found, _ = given_to(among_measured, values, everything, pool)
  assert measured is values and seen is everything and found is pool


def test_core_set_covers_the_part(rng, pool, part):
  points = rng.normal(size=(N, D)).astype(np.float32)
  _, selection = core_set().select(KEY, (), *only(part, points), pool, K)
  alone = kernels.k_center(
    points[part],
    K,
    eligible=~np.isin(part, ASKED),
    centers=np.isin(part, ASKED),
  )
  np.testing.assert_array_equal(selection.indices, part[alone.indices])


def test_batch_bald_chooses_as_from_a_pool_of_the_part(rng, pool, part):
  logits = rng.normal(size=(N, 5, 3)).astype(np.float32)
  _, selection = batch_bald(num_samples=5).select(
    KEY, (), *only(part, logits), pool, K
  )
  alone = kernels.batch_bald(
    KEY,
    jnp.moveaxis(jnp.asarray(logits[part]), 1, 0),
    K,
    eligible=~np.isin(part, ASKED),
    num_samples=10_000,
  )
  np.testing.assert_array_equal(selection.indices, part[alone.indices])
