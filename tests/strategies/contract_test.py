"""What every strategy must do, whatever the pool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import strategies
from al_jax.kernels import Selection
from tests.strategies.linear_network import (
  FACTS,
  KEY,
  OPTIONS,
  D,
  K,
  N,
  choose,
  measure_pool,
  pool_with,
)

VARIANTS = {
  **{name: (name, OPTIONS.get(name, {})) for name in strategies.STRATEGIES},
  'albl_by_query': (
    'albl',
    {'arms': ('random', 'entropy', 'core_set'), 'version': 'query'},
  ),
  'power_bald': ('bald', {'num_samples': 4, 'draw': 'power'}),
  'softrank_margin': ('margin', {'draw': 'softrank'}),
  'power_margin': ('margin', {'draw': 'power'}),
  'robust_core_set': ('core_set', {'robust': True}),
}
# Made once: a strategy of its own compiles its own.
MADE = {
  variant: strategies.build(name, options)
  for variant, (name, options) in VARIANTS.items()
}
every_strategy = pytest.mark.parametrize('name', MADE)

DRAWN = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
POOLS = {
  'drawn': DRAWN,
  'all equal': np.ones((N, D), np.float32),
  'all zero': np.zeros((N, D), np.float32),
  'three of each': np.repeat(DRAWN, 3, axis=0)[:N],
  'very sure': 1e3 * DRAWN,
  'one far away': np.concatenate([DRAWN[:-1], np.full((1, D), 1e4)]).astype(
    np.float32
  ),
}
ASKED = [3, 17, 5]


def check(indices, asked, k=K):
  """As many as can be, distinct, eligible; then -1."""
  assert indices.shape == (k,) and indices.dtype == np.int32
  number = min(k, N - len(asked))
  picks = indices[:number]
  assert np.all((picks >= 0) & (picks < N)), indices
  assert len(set(picks)) == number
  assert not set(picks) & set(asked)
  np.testing.assert_array_equal(indices[number:], -1)


@every_strategy
@pytest.mark.parametrize('inputs', POOLS.values(), ids=POOLS)
def test_picks_are_distinct_and_eligible_whatever_the_pool(name, inputs):
  check(choose(MADE[name], inputs, pool_with(ASKED)), ASKED)


@every_strategy
def test_nothing_asked_before(name):
  check(choose(MADE[name], DRAWN, pool_with([])), [])


@every_strategy
@pytest.mark.parametrize('left', [K, K - 3, 1])
def test_as_few_are_left_as_are_asked_or_fewer(name, left):
  asked = list(range(N - left))
  check(choose(MADE[name], DRAWN, pool_with(asked)), asked)


@every_strategy
def test_what_was_not_measured_is_never_picked(name):
  if name == 'random':
    pytest.skip('random measures nothing')
  where = np.arange(N) % 3 == 1
  where[ASKED] = True
  indices = choose(MADE[name], DRAWN, pool_with(ASKED), where=where)
  check(indices, ASKED)
  assert np.all(where[indices])


@every_strategy
def test_the_same_key_makes_the_same_choice(name):
  first = choose(MADE[name], DRAWN, pool_with(ASKED))
  again = choose(MADE[name], DRAWN, pool_with(ASKED))
  np.testing.assert_array_equal(first, again)


@every_strategy
def test_another_chunk_size_makes_the_same_choice(name):
  strategy, pool = MADE[name], pool_with(ASKED)
  picks = []
  for chunk_size in (16, N):
    measured = measure_pool(strategy, DRAWN, chunk_size=chunk_size)
    _, selection = strategy.select(KEY, strategy.init(FACTS), measured, pool, K)
    picks.append(np.asarray(selection.indices))
  np.testing.assert_array_equal(*picks)


@every_strategy
def test_the_state_keeps_its_structure(name):
  strategy, pool = MADE[name], pool_with(ASKED)
  before = strategy.init(FACTS)
  measured = measure_pool(strategy, DRAWN)
  after, selection = strategy.select(KEY, before, measured, pool, K)
  assert isinstance(selection, Selection)
  before, after = (jax.eval_shape(lambda x=x: x) for x in (before, after))
  assert before == after


@every_strategy
def test_an_answer_that_was_not_paid_for_is_not_looked_at(name):
  strategy, pool = MADE[name], pool_with(ASKED)
  poisoned = jnp.where(jnp.arange(N) % 2, 10**9, -7).at[jnp.array(ASKED)].set(0)
  measured = measure_pool(strategy, DRAWN)
  chosen = [
    strategy.select(KEY, strategy.init(FACTS), measured, pool, K)[1].indices
    for pool in (pool, pool.replace(targets=poisoned))
  ]
  np.testing.assert_array_equal(*chosen)


def test_an_unknown_strategy_or_option_names_the_closest():
  with pytest.raises(ValueError, match="'badge'"):
    strategies.build('bagde')
  with pytest.raises(ValueError, match='num_samples'):
    strategies.build('bald', {'num_sample': 3})
  with pytest.raises(ValueError, match="'entropy'"):
    strategies.build('albl', {'arms': ('random', 'entrpy')})
