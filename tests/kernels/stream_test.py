"""Budget managers of streams."""

import functools

import hypothesis
import hypothesis.extra.numpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from al_jax import kernels

MANAGERS = {
  'fixed': functools.partial(kernels.spend_fixed, num_classes=4),
  'variable': kernels.spend_variable,
  'random_variable': kernels.spend_random_variable,
  'quantile': kernels.spend_quantile,
  'balanced': kernels.spend_balanced,
}
every_manager = pytest.mark.parametrize('name', MANAGERS)
# They ask only while an estimate of what was spent is below the budget.
limited = pytest.mark.parametrize(
  'name', [name for name in MANAGERS if name != 'balanced']
)
TOLERANCE = 50  # of the balanced manager


@functools.partial(jax.jit, static_argnames=('name', 'budget'))
def run(keys, state, utilities, *, name, budget=0.1):
  def step(state, example):
    key, utility = example
    state, ask = MANAGERS[name](key, state, utility, budget=budget)
    return state, (ask, state.spent)

  return jax.lax.scan(step, state, (keys, utilities))


def keys_for(utilities, seed=0):
  return jax.random.split(jax.random.key(seed), len(utilities))


def confidences(num_examples, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(0.25, 1, num_examples).astype(np.float32)


def reference(name, utilities, budget, window, draws):
  """Plain Python from the formulas; `draws` are what the manager draws."""
  spent, threshold, seen, asked = 0.0, 1.0, [], []
  left = 0.0
  for utility, draw in zip(utilities, draws, strict=True):
    may_ask = spent < budget
    if name == 'fixed':
      wanted = 1 - utility <= 1 / 4 + budget * (1 - 1 / 4)
    elif name == 'quantile':
      seen = [*seen, utility][-window:]
      larger = sum(other > utility for other in seen)
      equal = sum(other == utility for other in seen)
      wanted = larger + draw * equal < budget * len(seen)
    elif name == 'balanced':
      seen, left = [*seen, utility][-window:], left + budget
      spread = max(seen) - min(seen)
      wanted = utility >= np.quantile(seen, 1 - budget) - (
        spread * left / TOLERANCE
      )
      may_ask = left > -TOLERANCE
      left -= bool(wanted and may_ask)
    else:
      factor = 1 if name == 'variable' else 1 + draw
      wanted = 1 - utility < threshold * factor
    ask = bool(wanted and may_ask)
    if may_ask:
      threshold = min(threshold * (0.99 if ask else 1.01), 1.0)
    spent = spent * (window - 1) / window + ask / window
    asked.append(ask)
  return asked, spent, threshold


@every_manager
@pytest.mark.parametrize('budget', [0.1, 0.4])
def test_answers_equal_the_reference(name, budget):
  utilities = 1 - confidences(400)
  if name != 'balanced':  # equal utilities are where float32 decides
    utilities = np.round(utilities, 2)
  keys = keys_for(utilities)
  draw = jax.random.normal if name == 'random_variable' else jax.random.uniform
  draws = np.asarray(jax.vmap(draw)(keys))
  state, (asked, _) = run(
    keys, kernels.start_spending(window=20), utilities, name=name, budget=budget
  )
  expected, spent, threshold = reference(name, utilities, budget, 20, draws)
  np.testing.assert_array_equal(asked, expected)
  np.testing.assert_allclose(state.spent, spent, atol=1e-5)
  if 'variable' in name:
    np.testing.assert_allclose(state.threshold, threshold, rtol=1e-4)


@limited
def test_spending_stays_within_the_budget(name):
  # Everything is worth a label; the window lets one question overshoot.
  utilities = np.full(3000, 0.75, np.float32)
  _, (asked, spent) = run(
    keys_for(utilities), kernels.start_spending(), utilities, name=name
  )
  assert (spent < 0.1 + 1 / 100).all()
  assert np.mean(asked[1000:]) < 0.11


@every_manager
def test_a_budget_of_nothing_asks_nothing(name):
  utilities = np.full(50, 0.75, np.float32)
  state = kernels.start_spending()
  _, (asked, _) = run(
    keys_for(utilities), state, utilities, name=name, budget=0.0
  )
  assert not asked.any()


STREAMS = hypothesis.extra.numpy.arrays(
  np.float32,
  st.integers(1, 300),
  elements=st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.5, np.nan]),
)


@every_manager
@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
  utilities=STREAMS,
  budget=st.sampled_from([0.02, 0.1, 0.5, 1.0]),
  window=st.sampled_from([1, 7, 100]),
)
def test_no_beginning_of_any_stream_costs_more_than_the_bound(
  name, utilities, budget, window
):
  padded = np.full(300, np.nan, np.float32)
  padded[: len(utilities)] = utilities
  state = kernels.start_spending(window=window)
  _, (asked, spent) = run(
    keys_for(padded), state, padded, name=name, budget=budget
  )
  counts, seen = np.cumsum(asked), np.arange(1, 301)
  rounding = 1e-3
  if name == 'balanced':
    assert np.all(counts <= budget * seen + TOLERANCE + 1 + rounding)
  else:
    assert np.all(spent < budget + 1 / window + rounding)
    bound = (budget * window + 1) * (1 + seen / window)
    assert np.all(counts <= bound + rounding)


def test_a_plain_threshold_overspends_where_data_change():
  # It was chosen on the first half to ask about a tenth.
  utilities = (1 - confidences(4000)) / 2
  threshold = np.quantile(utilities[:2000], 0.9)
  utilities[2000:] += 0.3  # the model knows less from here on
  plain = np.mean(utilities > threshold)
  assert plain > 0.5
  for name in MANAGERS:
    _, (asked, _) = run(
      keys_for(utilities), kernels.start_spending(), utilities, name=name
    )
    assert np.mean(asked) < 0.12, name


@pytest.mark.parametrize('budget', [0.02, 0.1, 0.5])
def test_a_balanced_quantile_spends_the_whole_budget(budget):
  rng = np.random.default_rng(0)
  for utilities in (
    rng.normal(0, 1e-6, 4000),
    rng.random(4000),
    rng.random(4000) + np.arange(4000) / 400,  # it rises
    rng.random(4000) - np.arange(4000) / 400,
    np.repeat([0.0, 5.0, 1.0, 9.0], 1000) + rng.random(4000),
  ):
    _, (asked, _) = run(
      keys_for(utilities),
      kernels.start_spending(),
      utilities.astype(np.float32),
      name='balanced',
      budget=budget,
    )
    assert abs(np.mean(asked) - budget) < TOLERANCE / 4000


def test_a_balanced_manager_stops_where_all_utilities_are_equal():
  utilities = np.full(3000, 0.75, np.float32)
  _, (asked, _) = run(
    keys_for(utilities), kernels.start_spending(), utilities, name='balanced'
  )
  assert asked[:TOLERANCE].all()
  assert abs(np.mean(asked[100:]) - 0.1) < 0.01


def test_decisions_equal_those_of_scikit_activeml():
  managers = pytest.importorskip('skactiveml.stream.budgetmanager')
  utilities = 1 - confidences(1500)
  peers = {
    'fixed': managers.FixedUncertaintyBudgetManager(
      classes=list(range(4)), budget=0.1
    ),
    'variable': managers.VariableUncertaintyBudgetManager(budget=0.1),
    'balanced': managers.BalancedIncrementalQuantileFilter(
      w=100, w_tol=TOLERANCE, budget=0.1
    ),
  }
  for name, peer in peers.items():
    expected = np.zeros(len(utilities), bool)
    for position, utility in enumerate(utilities):
      now = np.array([utility], float)
      found = peer.query_by_utility(now)
      told = (now,) if name == 'balanced' else ()
      peer.update(np.zeros((1, 1)), found, *told)
      expected[position] = len(found)
    _, (asked, _) = run(
      keys_for(utilities), kernels.start_spending(), utilities, name=name
    )
    np.testing.assert_array_equal(asked, expected, err_msg=name)


def test_a_quantile_of_any_scale_is_asked_about_at_the_budget():
  rng = np.random.default_rng(0)
  for utilities in (
    rng.normal(0, 1e-6, 4000),
    rng.lognormal(0, 4, 4000),
    np.zeros(4000),  # all tie
    rng.integers(0, 2, 4000),
  ):
    utilities = utilities.astype(np.float32)
    _, (asked, _) = run(
      keys_for(utilities), kernels.start_spending(), utilities, name='quantile'
    )
    assert 0.06 < np.mean(asked) < 0.11
    # What is asked about is at the top of the scale, unless all tie.
    assert utilities[asked].mean() >= utilities.mean()


@pytest.mark.parametrize('name', ['quantile', 'balanced'])
def test_a_quantile_asks_about_the_best(name):
  utilities = np.random.default_rng(0).normal(size=3000).astype(np.float32)
  _, (asked, _) = run(
    keys_for(utilities), kernels.start_spending(), utilities, name=name
  )
  assert np.mean(utilities[asked] > np.quantile(utilities, 0.8)) > 0.95


def test_a_fixed_threshold_starves_on_a_confident_model():
  utilities = (1 - confidences(3000)) / 3  # confidence from 0.75
  state = kernels.start_spending()
  shares = {
    name: np.mean(run(keys_for(utilities), state, utilities, name=name)[1][0])
    for name in MANAGERS
  }
  assert shares['fixed'] == 0
  assert all(shares[name] > 0.06 for name in MANAGERS if name != 'fixed')


def test_only_the_random_threshold_asks_about_what_is_sure():
  utilities = np.zeros(3000, np.float32)
  state = kernels.start_spending()
  for name, asks in {'variable': False, 'random_variable': True}.items():
    _, (asked, _) = run(keys_for(utilities), state, utilities, name=name)
    assert asked.any() == asks


def test_without_scatter_the_random_threshold_is_the_variable_one():
  state = kernels.start_spending()
  for key, utility in zip(keys_for(range(30)), confidences(30), strict=True):
    expected, ask = kernels.spend_variable(key, state, utility)
    state, same = kernels.spend_random_variable(key, state, utility, scale=0.0)
    assert ask == same and state.threshold == expected.threshold


def test_the_threshold_stays_in_its_range():
  utilities = np.concatenate([np.zeros(2000), np.full(2000, 0.9)])
  state, _ = run(
    keys_for(utilities),
    kernels.start_spending(),
    utilities.astype(np.float32),
    name='variable',
  )
  assert 0 < state.threshold <= 1


@every_manager
def test_how_a_stream_is_cut_changes_nothing(name):
  utilities = 1 - confidences(300)
  keys = keys_for(utilities)
  state = kernels.start_spending(window=30)
  end, (asked, _) = run(keys, state, utilities, name=name)
  pieces = []
  for begin in range(0, 300, 100):
    part = slice(begin, begin + 100)
    state, (some, _) = run(keys[part], state, utilities[part], name=name)
    pieces.append(some)
  np.testing.assert_array_equal(np.concatenate(pieces), asked)
  for got, expected in zip(state, end, strict=True):
    np.testing.assert_array_equal(got, expected)


@every_manager
def test_jit_changes_nothing(name):
  spend = functools.partial(MANAGERS[name], budget=0.3)
  jitted = jax.jit(spend)
  state = same = kernels.start_spending(window=10)
  for key, utility in zip(keys_for(range(15)), confidences(15), strict=True):
    state, ask = spend(key, state, 1 - utility)
    same, also = jitted(key, same, 1 - utility)
    assert ask == also
  np.testing.assert_allclose(state.spent, same.spent, rtol=1e-6)


@every_manager
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_utility_that_is_not_finite_is_never_asked_about(name, bad):
  state = kernels.start_spending(window=5)
  state, _ = MANAGERS[name](jax.random.key(0), state, 0.5, budget=1.0)
  after, ask = MANAGERS[name](jax.random.key(1), state, bad, budget=1.0)
  assert not ask
  assert np.isfinite(after.spent) and after.threshold == state.threshold
  _, ask = MANAGERS[name](jax.random.key(2), after, 0.9, budget=1.0)
  assert ask


@every_manager
def test_the_state_keeps_its_types(name):
  state = kernels.start_spending(window=7)
  after, ask = MANAGERS[name](jax.random.key(0), state, jnp.bfloat16(0.5))
  assert ask.dtype == jnp.bool_ and ask.shape == ()
  for old, new in zip(state, after, strict=True):
    assert (old.shape, old.dtype, old.weak_type) == (
      new.shape,
      new.dtype,
      new.weak_type,
    )


@every_manager
@pytest.mark.parametrize('budget', [-0.1, 1.5, np.nan])
def test_a_budget_out_of_range_is_an_error_that_names_it(name, budget):
  state = kernels.start_spending()
  with pytest.raises(ValueError, match=f'budget is {budget}'):
    MANAGERS[name](jax.random.key(0), state, 0.5, budget=budget)


@pytest.mark.parametrize(
  ('spend', 'options', 'message'),
  [
    (kernels.spend_fixed, {'num_classes': 0}, 'num_classes is 0'),
    (kernels.spend_balanced, {'tolerance': 0}, 'tolerance is 0'),
    (kernels.spend_variable, {'step': 2.0}, 'step is 2.0'),
    (kernels.spend_random_variable, {'step': -1}, 'step is -1'),
    (kernels.spend_random_variable, {'scale': -1}, 'scale is -1'),
  ],
)
def test_other_numbers_out_of_range_are_errors(spend, options, message):
  with pytest.raises(ValueError, match=message):
    spend(jax.random.key(0), kernels.start_spending(), 0.5, **options)


def test_a_window_below_one_is_an_error_that_names_it():
  with pytest.raises(ValueError, match='window is 0'):
    kernels.start_spending(window=0)


@pytest.mark.parametrize('utility', [jnp.zeros(3), jnp.int32(1)])
@every_manager
def test_a_utility_of_the_wrong_kind_is_refused(name, utility):
  with pytest.raises(ValueError, match='utility must be'):
    MANAGERS[name](jax.random.key(0), kernels.start_spending(), utility)


@every_manager
def test_managers_lower_for_cpu_cuda_and_tpu(name):
  platforms = ('cpu', 'cuda', 'tpu')
  exported = jax.export.export(jax.jit(MANAGERS[name]), platforms=platforms)(
    jax.random.key(0), kernels.start_spending(), jnp.float32(0.5)
  )
  assert exported.platforms == platforms
