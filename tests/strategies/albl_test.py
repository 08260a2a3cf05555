import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies import albl, build, entropy, random, subset
from tests.strategies.linear_network import FACTS, KEY, K, N, pool_with

DELTA = 0.1
QUERIES = 30
ASKED = [3, 17, 5]
EVERYTHING = jnp.ones(N, bool)


def asks_in_order(order):
  """An arm that measures nothing and asks in one order."""
  place = np.zeros(N, np.float32)
  place[list(order)] = np.arange(len(order), 0, -1)

  def select(key, state, measured, seen, pool, k):
    eligible = pool_lib.eligible(pool) & seen
    return state, kernels.top_k(jnp.asarray(place), k, eligible=eligible)

  def measure(key, apply, batch):
    return ()

  return Strategy(lambda facts: (), measure, select)


UP = asks_in_order(range(N))
DOWN = asks_in_order(range(N)[::-1])
ODD = asks_in_order([*range(1, N, 2), *range(0, N, 2)])
BATCH = albl(arms=(UP, DOWN), delta=DELTA)
QUERY = albl(
  arms=(UP, ODD, DOWN), version='query', delta=DELTA, num_queries=QUERIES
)
WITH_RANDOM = albl(
  arms=(random(), UP), version='query', delta=DELTA, num_queries=QUERIES
)


def select(strategy, state, right, pool, key=KEY):
  """A round in which the predictions of some examples are those of the pool."""
  wrong = np.where(right, 0, 1).astype(np.int32)
  predicted = np.asarray(pool.targets) + wrong
  measured = (((),) * len(state.log_weights), jnp.asarray(predicted))
  state, selection = strategy.select(key, state, measured, EVERYTHING, pool, K)
  return state, np.asarray(selection.indices), np.asarray(selection.values)


def shares(log_weights, least):
  weights = np.exp(np.asarray(log_weights, np.float64))
  return (1 - len(weights) * least) * weights / weights.sum() + least


def test_by_batch_the_arm_that_was_followed_grows_by_the_formula():
  state, pool = BATCH.init(FACTS), pool_with(ASKED)
  right = np.arange(N) % 2 == 1  # all of the first set, and half of others
  state, picks, _ = select(BATCH, state, right, pool)
  np.testing.assert_array_equal(state.log_weights, 0)
  arm = int(picks[0] == N - 1)
  wanted = {0: [0, 1, 2, 4, 6, 7, 8, 9], 1: range(N)[: -K - 1 : -1]}[arm]
  np.testing.assert_array_equal(picks, wanted)
  # Equal weights: each arm had half, and an answer weighs two.
  importance = np.zeros(N)
  importance[picks] = 2
  np.testing.assert_allclose(state.importance, importance, rtol=1e-6)
  pool = pool_with([*ASKED, *picks])
  state, _, _ = select(BATCH, state, right, pool)
  reward = (3 + 2 * np.sum(right[picks])) / (3 + K)
  growth = (1 / 20) / 2 * (reward + 2 * np.sqrt(np.log(2 / DELTA) / 2))
  found = np.asarray(state.log_weights)
  assert found[arm] - found[1 - arm] == pytest.approx(growth, rel=1e-5)


def test_by_query_every_arm_grows_by_the_formula():
  state, pool = QUERY.init(FACTS), pool_with(ASKED)
  right = np.arange(N) % 3 != 0
  state, picks, inverse = select(QUERY, state, right, pool)
  np.testing.assert_array_equal(state.log_weights, 0)
  # Replay: who suggested what, each arm at a third.
  orders = [range(N), [*range(1, N, 2), *range(0, N, 2)], range(N)[::-1]]
  taken, credit, importance = set(ASKED), np.zeros(3), np.zeros(N)
  for number, pick in enumerate(picks):
    heads = [next(i for i in order if i not in taken) for order in orders]
    agree = np.array(heads) == pick
    chance = agree.sum() / 3
    assert inverse[number] == pytest.approx(1 / chance, rel=1e-5)
    importance[pick] = 1 / chance
    credit += agree / chance / K
    taken.add(pick)
  np.testing.assert_allclose(state.importance, importance, rtol=1e-5)
  np.testing.assert_allclose(state.credit, credit, rtol=1e-5)
  pool = pool_with([*ASKED, *picks])
  state, _, _ = select(QUERY, state, right, pool)
  # The first set was not asked for by an arm, and is no part of the reward.
  reward = np.sum(importance[picks] * right[picks]) / (N * QUERIES)
  least = np.sqrt(np.log(3) / (3 * QUERIES))
  bound = np.sqrt(np.log(3 / DELTA) / (3 * QUERIES))
  growth = least / 2 * (credit * reward + 3 * bound)
  np.testing.assert_allclose(
    state.log_weights, growth - growth.max(), rtol=1e-3, atol=1e-6
  )


def test_any_open_example_may_be_the_suggestion_of_random():
  """Its share is divided over all that are left, as in the paper."""
  state, pool = WITH_RANDOM.init(FACTS), pool_with(ASKED)
  state, picks, inverse = select(WITH_RANDOM, state, np.ones(N, bool), pool)
  taken, credit = set(ASKED), np.zeros(2)
  for number, pick in enumerate(picks):
    head = next(i for i in range(N) if i not in taken)
    psi = np.array([1 / (N - len(taken)), pick == head])
    chance = np.sum(psi) / 2
    assert inverse[number] == pytest.approx(1 / chance, rel=1e-5)
    credit += psi / chance / K
    taken.add(pick)
  np.testing.assert_allclose(state.credit, credit, rtol=1e-5)
  # Some were drawn by random alone, so that the pool is in the reward.
  assert np.max(state.importance) > N


def test_with_random_the_reward_estimates_the_accuracy_on_the_pool():
  right, pool = np.arange(N) % 4 != 0, pool_with([])
  estimates = []
  for key in jax.random.split(KEY, 400):
    state = WITH_RANDOM.init(FACTS)
    state, _, _ = select(WITH_RANDOM, state, right, pool, key)
    estimates.append(np.sum(np.asarray(state.importance) * right) / (N * K))
  error = np.std(estimates) / np.sqrt(len(estimates))
  # Of all that is left: what was taken before is known and no longer counted.
  assert np.mean(estimates) == pytest.approx(
    0.75 * (1 - 3.5 / N), abs=4 * error
  )
  assert error < 0.02


@pytest.mark.parametrize('strategy', [BATCH, QUERY])
def test_no_arm_falls_below_its_least_share(strategy):
  least = 1 / 20 if strategy is BATCH else np.sqrt(np.log(3) / (3 * QUERIES))
  state = strategy.init(FACTS)
  hopeless = jnp.full(len(state.log_weights), -1e4).at[0].set(0.0)
  state = state.replace(log_weights=hopeless)
  others = 0
  for key in jax.random.split(KEY, 100):
    after, picks, _ = select(
      strategy, state, np.ones(N, bool), pool_with([]), key
    )
    assert np.max(after.importance) < 1.001 / least
    others += picks[0] != 0
  wanted = 100 * least * (len(hopeless) - 1)
  assert abs(others - wanted) < 4 * np.sqrt(wanted)


def test_arms_are_followed_as_often_as_their_probabilities_say():
  log_weights = jnp.log(jnp.array([1.0, 3.0]))
  state = BATCH.init(FACTS).replace(log_weights=log_weights)
  probs = shares(log_weights, 1 / 20)
  counts, pool = np.zeros(2), pool_with(ASKED)
  for key in jax.random.split(KEY, 400):
    after, picks, _ = select(BATCH, state, np.ones(N, bool), pool, key)
    arm = int(picks[0] == N - 1)
    counts[arm] += 1
    np.testing.assert_allclose(
      after.importance[picks], 1 / probs[arm], rtol=1e-5
    )
  assert np.sum((counts - 400 * probs) ** 2 / (400 * probs)) < 10.8  # p = 0.001


def test_questions_are_drawn_as_often_as_their_probabilities_say():
  log_weights = jnp.log(jnp.array([1.0, 3.0, 2.0]))
  state = QUERY.init(FACTS).replace(log_weights=log_weights)
  probs = shares(log_weights, np.sqrt(np.log(3) / (3 * QUERIES)))
  first = [
    select(QUERY, state, np.ones(N, bool), pool_with([]), key)[1][0]
    for key in jax.random.split(KEY, 400)
  ]
  counts = np.array([first.count(head) for head in (0, 1, N - 1)])
  assert counts.sum() == 400
  assert np.sum((counts - 400 * probs) ** 2 / (400 * probs)) < 13.8  # 0.001


@pytest.mark.parametrize('strategy', [BATCH, WITH_RANDOM])
def test_an_arm_after_which_all_goes_well_is_followed_more_often(strategy):
  pool, gains = pool_with(ASKED), []
  for good in (0, 1):
    state, right = strategy.init(FACTS), np.zeros(N, bool)
    for key in jax.random.split(KEY, 150):
      state, _, _ = select(strategy, state, right, pool, key)
      if strategy is not BATCH:
        # Rewards of 0 or 1: as if the arms had asked for the first set.
        state = state.replace(
          importance=jnp.zeros(N).at[jnp.array(ASKED)].set(N * QUERIES / 3)
        )
      followed = int(np.argmax(np.asarray(state.credit)))
      right = np.full(N, followed == good)
    gains.append(float(state.log_weights[good] - state.log_weights[1 - good]))
  assert np.mean(gains) > 0.5, gains


def test_what_was_not_looked_at_is_asked_about_by_no_arm():
  where = np.arange(N) % 2 == 0
  predicted = jnp.zeros(N, jnp.int32)
  for strategy in (BATCH, QUERY, WITH_RANDOM):
    state = strategy.init(FACTS)
    measured = (((),) * len(state.log_weights), predicted)
    _, selection = strategy.select(
      KEY, state, measured, jnp.asarray(where), pool_with([4]), K
    )
    picks = np.asarray(selection.indices)
    assert np.all(where[picks]) and 4 not in picks and len(set(picks)) == K


def test_answers_that_are_missing_do_not_count():
  """An abstention was paid for, and is neither right nor wrong."""
  pool = pool_with([0, 1, 2])
  pool = pool.replace(annotator=pool.annotator.at[1].set(pool_lib.ABSTAINED))
  state = BATCH.init(FACTS)
  state = state.replace(credit=jnp.array([1.0, 0.0]))
  state, _, _ = select(BATCH, state, np.arange(N) == 0, pool)
  growth = (1 / 20) / 2 * (1 / 2)
  np.testing.assert_allclose(state.log_weights, [0, -growth], rtol=1e-5)


def test_what_was_not_looked_at_is_not_predicted_right():
  # Fillers are zeros, and so are the labels.
  state = BATCH.init(FACTS).replace(credit=jnp.array([1.0, 0.0]))
  seen = jnp.asarray(np.isin(np.arange(N), ASKED[:1], invert=True))
  measured = ((), ()), jnp.zeros(N, jnp.int32)
  state, _ = BATCH.select(KEY, state, measured, seen, pool_with(ASKED), K)
  growth = (1 / 20) / 2 * (2 / 3)
  np.testing.assert_allclose(state.log_weights, [0, -growth], rtol=1e-5)


def test_weights_stay_finite_however_often_an_arm_wins():
  state = BATCH.init(FACTS).replace(
    credit=jnp.array([1.0, 0.0]), bonus=jnp.array([1e6, 0.0])
  )
  for _ in range(3):
    state, _, _ = select(BATCH, state, np.ones(N, bool), pool_with(ASKED))
    state = state.replace(bonus=jnp.array([1e6, 0.0]))
  assert np.all(np.isfinite(state.log_weights)) and state.log_weights[0] == 0


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'arms': [entropy()]}, 'arms has 1 strategies; it must have 2'),
    ({'arms': [entropy(), subset(entropy(), 9)]}, 'an arm has `where`'),
    ({'version': 'bach'}, "'batch'"),
    ({'delta': 1}, 'delta is 1; it must be in'),
    ({'num_queries': 0}, 'num_queries is 0; it must be at least 1'),
  ],
)
def test_options_that_make_no_sense_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    albl(**{'arms': [entropy(), random()], **options})


def test_too_few_questions_to_try_every_arm_are_refused():
  strategy = albl(arms=(UP, DOWN, ODD), version='query', num_queries=3)
  with pytest.raises(ValueError, match='num_queries is 3; with 3 arms it must'):
    strategy.init(FACTS)


def test_an_arm_of_a_config_needs_a_name():
  with pytest.raises(ValueError, match='needs a `name`'):
    build('albl', {'arms': ['random', {'num_samples': 3}]})
  made = build('albl', {'arms': ['random', {'name': 'bald', 'num_samples': 3}]})
  assert len(made.init(FACTS).arms) == 2
