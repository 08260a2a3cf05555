import jax
import numpy as np
import pytest

from al_jax.strategies import chain, core_set, entropy, margin, random, subset
from tests.strategies.linear_network import K, N, pool_with


def names_of(strategy):
  """The stages from first to last, and how many candidates between them."""
  if strategy.prefilter is None:
    return [strategy.measure]
  first, size = strategy.prefilter
  return [*names_of(first), size, strategy.measure]


def test_a_chain_is_its_last_stage_with_the_first_before_it():
  first, then = entropy(), core_set()
  chained = chain(first, 20, then)
  assert chained.prefilter == (first, 20)
  assert chained._replace(prefilter=None) == then


def test_chains_of_three_are_the_same_however_they_are_put_together():
  a, b, c = entropy(), margin(), core_set()
  from_the_left = chain(chain(a, 30, b), 20, c)
  from_the_right = chain(a, 30, chain(b, 20, c))
  assert from_the_left == from_the_right
  assert names_of(from_the_left) == [a.measure, 30, b.measure, 20, c.measure]


def test_a_subset_of_a_chain_is_in_front_of_it():
  chained = subset(chain(chain(entropy(), 30, margin()), 20, core_set()), 35)
  assert chained.where is None
  second, _ = chained.prefilter
  assert second.where is None
  first, _ = second.prefilter
  assert first.measure is not None and first.prefilter is None
  where = first.where(jax.random.key(0), (), pool_with([4]))
  assert np.sum(where) == 35 + 1


def test_a_last_stage_that_would_look_elsewhere_is_refused():
  with pytest.raises(ValueError, match='then measures nothing'):
    chain(entropy(), 20, random())
  with pytest.raises(ValueError, match='then has `where`'):
    chain(entropy(), 20, subset(margin(), 10))
  with pytest.raises(ValueError, match='then has `where`'):
    chain(entropy(), 20, chain(subset(margin(), 10), 5, core_set()))
  with pytest.raises(
    ValueError, match='subset is set for a strategy that measures noth'
  ):
    subset(random(), 10)


def test_random_may_propose_the_candidates():
  assert chain(random(), N // 2, margin()).prefilter == (random(), N // 2)


@pytest.mark.parametrize('size', [0, -K])
def test_no_candidates_are_refused(size):
  with pytest.raises(ValueError, match=f'num_candidates is {size}; it must be'):
    chain(entropy(), size, core_set())
