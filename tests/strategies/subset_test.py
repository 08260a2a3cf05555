import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import inference
from al_jax import pool as pool_lib
from al_jax.interfaces import ModelOutput
from al_jax.strategies import entropy, subset

N, C = 30, 3
KEY = jax.random.key(4)
ASKED = [0, 7, 29]
ELIGIBLE = set(range(N)) - set(ASKED)


@pytest.fixture
def pool():
  targets = jnp.zeros(3, jnp.int32)
  return pool_lib.reveal(
    pool_lib.create(N), jnp.array(ASKED), targets, pool_lib.ORACLE, round=0
  )


def part_of(strategy, key, pool):
  """The eligible examples that are looked at; those asked about are too."""
  where = np.asarray(strategy.where(key, strategy.init(None), pool))
  asked = ~np.asarray(pool_lib.eligible(pool))
  assert where.dtype == bool and np.all(where[asked])
  return where & ~asked


def measure_pool(strategy, logits, where):
  def apply(inputs):
    return ModelOutput(inputs, inputs, {})

  def measure(key, batch):
    return strategy.measure(key, apply, batch)

  return inference.make_pool_map(measure, chunk_size=8)(KEY, logits, where)


@pytest.mark.parametrize('size', [1, 10, 27])
def test_a_part_has_its_size_and_only_eligible_examples(pool, size):
  part = part_of(subset(entropy(), size), KEY, pool)
  assert part.shape == (N,)
  assert part.sum() == size
  assert set(np.flatnonzero(part)) <= ELIGIBLE


def test_a_part_larger_than_the_pool_is_all_that_is_eligible(pool):
  part = part_of(subset(entropy(), 100), KEY, pool)
  assert set(np.flatnonzero(part)) == ELIGIBLE


def test_each_round_draws_a_part_anew(pool):
  strategy = subset(entropy(), 10)
  keys = [jax.random.fold_in(KEY, round) for round in range(6)]
  parts = {part_of(strategy, key, pool).tobytes() for key in keys}
  assert len(parts) == 6
  again = part_of(strategy, keys[0], pool)
  np.testing.assert_array_equal(again, part_of(strategy, keys[0], pool))


def test_every_example_is_as_likely_to_be_looked_at(pool):
  strategy = subset(entropy(), 9)
  keys = jax.random.split(KEY, 600)
  parts = jax.vmap(lambda key: strategy.where(key, (), pool))(keys)
  counts = np.delete(parts.sum(0), ASKED)
  assert np.sum((counts - 200) ** 2 / 200) < 54.1  # chi-squared, 26: p = 0.001


def test_only_the_part_is_measured_and_picks_are_the_best_of_it(rng, pool):
  logits = rng.normal(size=(N, C)).astype(np.float32)
  strategy = subset(entropy(), 10)
  part = part_of(strategy, KEY, pool)
  scores = measure_pool(strategy, logits, part)
  np.testing.assert_array_equal(np.asarray(scores)[~part], 0)
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  wanted = np.where(part, -(probs * np.log(probs)).sum(-1), -np.inf)
  _, selection = strategy.select(KEY, (), scores, part, pool, 5)
  np.testing.assert_array_equal(selection.indices, np.argsort(-wanted)[:5])


def test_asking_for_more_than_the_part_holds_gives_padding(rng, pool):
  logits = rng.normal(size=(N, C)).astype(np.float32)
  strategy = subset(entropy(), 4)
  part = part_of(strategy, KEY, pool)
  scores = measure_pool(strategy, logits, part)
  _, selection = strategy.select(KEY, (), scores, part, pool, 5)
  indices = np.asarray(selection.indices)
  assert set(indices[:4]) == set(np.flatnonzero(part))
  np.testing.assert_array_equal(indices[4:], -1)


def test_an_exhausted_pool_has_an_empty_part():
  everything = pool_lib.fully_labelled(jnp.zeros(N, jnp.int32))
  assert not part_of(subset(entropy(), 4), KEY, everything).any()


@pytest.mark.parametrize('size', [0, -5])
def test_a_part_of_nothing_is_refused(size):
  with pytest.raises(
    ValueError, match=f'subset is {size}; it must be at least'
  ):
    subset(entropy(), size)
