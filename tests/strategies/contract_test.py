"""What every strategy must do, whatever the pool."""

import pytest

from al_jax import strategies, testing
from al_jax.strategies import needs
from al_jax.testing import tracing
from tests.strategies import linear_network
from tests.strategies.linear_network import OPTIONS

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


@pytest.mark.parametrize('name', MADE)
def test_it_keeps_the_contract(name):
  strategy = MADE[name]
  # Of the others the compiler takes ten seconds for every k; their kernels are
  # tested with k = 1.
  is_cheap = tracing.is_jitted(strategy.select)
  needs_more = any(map(needs.is_extra, needs.of(strategy)))
  testing.check_strategy(
    strategy,
    name=name,
    skip={} if is_cheap else {'one': 'compiles for long'},
    **({'apply': linear_network.apply} if needs_more else {}),
  )


def test_a_part_of_the_pool_keeps_the_contract():
  found = testing.check_strategy(strategies.subset(strategies.margin(), 20))
  assert 'where' in found.checked


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
