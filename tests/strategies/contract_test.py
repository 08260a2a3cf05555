"""What every strategy must do, whatever the pool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import strategies
from al_jax.interfaces import Batch, ModelOutput
from al_jax.kernels import Selection
from al_jax.strategies import needs
from tests.strategies.linear_network import (
  FACTS,
  KEY,
  OPTIONS,
  D,
  K,
  N,
  apply,
  choose,
  measure_pool,
  pool_with,
  select,
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


# Of the second no rows are gathered: there are too many.
@every_strategy
@pytest.mark.parametrize('left_out', [3, 7])
def test_what_was_not_measured_is_neither_picked_nor_read(name, left_out):
  strategy, pool = MADE[name], pool_with(ASKED)
  seen = np.arange(N) % left_out == 1
  seen = seen if left_out == 3 else ~seen
  seen[ASKED] = [False, True, True]
  measured = measure_pool(strategy, DRAWN, where=seen)
  _, wanted = select(strategy, measured, pool, seen=seen)
  check(np.asarray(wanted.indices), ASKED)
  assert np.all(seen[wanted.indices])
  for poison in (np.nan, np.inf, 1e15, 3e38):
    spoilt = spoil(measured, seen, poison)
    _, found = select(strategy, spoilt, pool, seen=seen)
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(found.values, wanted.values)


def spoil(measured, seen, poison):
  """Writes something into the rows that were not measured."""
  rows = np.flatnonzero(~seen)
  return jax.tree.map(
    lambda leaf: leaf.at[rows].set(
      poison if jnp.issubdtype(leaf.dtype, jnp.floating) else 3
    ),
    measured,
  )


@every_strategy
def test_nan_is_never_picked(name):
  """In a run a measurement that is not finite is an error before that."""
  if MADE[name].measure is None:
    pytest.skip('it measures nothing')
  whole = measure_pool(MADE[name], DRAWN)
  measured = spoil(whole, np.arange(N) >= 10, np.nan)
  _, selection = select(MADE[name], measured, pool_with(ASKED))
  check(np.asarray(selection.indices), ASKED)
  assert np.all(np.asarray(selection.indices) >= 10)


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
    _, selection = select(strategy, measured, pool)
    picks.append(np.asarray(selection.indices))
  np.testing.assert_array_equal(*picks)


@every_strategy
def test_the_state_keeps_its_structure(name):
  strategy, pool = MADE[name], pool_with(ASKED)
  before = strategy.init(FACTS)
  measured = measure_pool(strategy, DRAWN)
  after, selection = select(strategy, measured, pool, state=before)
  assert isinstance(selection, Selection)
  before, after = (jax.eval_shape(lambda x=x: x) for x in (before, after))
  assert before == after


@every_strategy
def test_an_answer_that_was_not_paid_for_is_not_looked_at(name):
  strategy, pool = MADE[name], pool_with(ASKED)
  poisoned = jnp.where(jnp.arange(N) % 2, 10**9, -7).at[jnp.array(ASKED)].set(0)
  measured = measure_pool(strategy, DRAWN)
  chosen = [
    select(strategy, measured, pool)[1].indices
    for pool in (pool, pool.replace(targets=poisoned))
  ]
  np.testing.assert_array_equal(*chosen)


@every_strategy
def test_it_measures_with_what_it_declares_to_need_and_no_more(name):
  strategy, needed = MADE[name], needs.of(MADE[name])
  drawn = []

  def apply_with_no_more(inputs, *, keys=None):
    drawn.append(keys is not None)
    output = apply(inputs, keys=keys)
    predictions = {'of': output.predictions, 'other': output.embedding}
    return ModelOutput(
      output.predictions if needs.CLASSES in needed else predictions,
      output.embedding if needs.EMBEDDING in needed else None,
      {},
    )

  if strategy.measure is not None:
    batch = Batch(jnp.arange(N), jnp.asarray(DRAWN))
    jax.eval_shape(lambda: strategy.measure(KEY, apply_with_no_more, batch))
  assert any(drawn) == (needs.DROPOUT in needed)


def test_those_without_a_need_are_listed():
  found = strategies.without('classes')
  assert {'random', 'core_set', 'k_means', 'variance'} < set(found)
  # It must be told whom to follow.
  assert not {'badge', 'margin', 'weighted_k_means', 'albl'} & set(found)


def test_a_need_that_nobody_knows_is_refused():
  odd = strategies.margin()._replace(needs={'logits': ''})
  with pytest.raises(ValueError, match="'logits'; it must be 'classes', 'emb"):
    needs.of(strategies.chain(odd, 10, strategies.margin()))


def test_an_unknown_strategy_or_option_names_the_closest():
  with pytest.raises(ValueError, match="'badge'"):
    strategies.build('bagde')
  with pytest.raises(ValueError, match='num_samples'):
    strategies.build('bald', {'num_sample': 3})
  with pytest.raises(ValueError, match="'entropy'"):
    strategies.build('albl', {'arms': ('random', 'entrpy')})
