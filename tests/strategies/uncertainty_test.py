import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import xla
from al_jax.strategies import STRATEGIES
from tests.strategies import linear_network
from tests.strategies.linear_network import (
  KEY,
  WEIGHTS,
  D,
  K,
  N,
  measure_pool,
  pool_with,
  sampled_probs,
  softmax,
)

S = 5
NAMES = ('least_confidence', 'margin', 'entropy')


def reference_score(name, probs):
  ranked = np.sort(probs, axis=-1)
  return {
    'least_confidence': 1 - ranked[:, -1],
    'margin': ranked[:, -2] - ranked[:, -1],
    'entropy': -np.sum(probs * np.log(probs), axis=-1),
  }[name]


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def select(strategy, scores, pool, key=KEY, seen=None):
  state, selection = linear_network.select(
    strategy, scores, pool, seen=seen, key=key
  )
  assert state == ()
  return np.asarray(selection.indices)


@pytest.mark.parametrize('name', NAMES)
def test_picks_are_the_eligible_with_the_largest_scores(name, inputs):
  strategy = STRATEGIES[name]()
  scores = measure_pool(strategy, inputs)
  wanted = reference_score(name, softmax(inputs @ WEIGHTS))
  np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-6)
  asked = np.argsort(-wanted)[[0, 2, 7]]  # the best of all is taken already
  eligible = np.delete(np.arange(N), asked)
  order = eligible[np.argsort(-wanted[eligible])]
  chosen = select(strategy, scores, pool_with(asked))
  np.testing.assert_array_equal(chosen, order[:K])


@pytest.mark.parametrize('name', NAMES)
def test_dropout_samples_count_by_the_mean_of_their_softmaxes(name, inputs):
  strategy = STRATEGIES[name](num_samples=S)
  scores = measure_pool(strategy, inputs)
  probs = sampled_probs(inputs, S).mean(axis=0)
  wanted = reference_score(name, probs)
  np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-6)
  order = np.argsort(-wanted)
  chosen = select(strategy, scores, pool_with([]))
  np.testing.assert_array_equal(chosen, order[:K])


def test_the_masks_are_shared_by_the_whole_pool(inputs):
  inputs[33] = inputs[2]  # in another chunk, and in another place of it
  strategy = STRATEGIES['entropy'](num_samples=S)
  scores = measure_pool(strategy, inputs)
  assert scores[33] == scores[2]
  in_one_chunk = measure_pool(strategy, inputs, chunk_size=N)
  np.testing.assert_allclose(scores, in_one_chunk, rtol=1e-5)


def test_samples_and_one_pass_are_different_questions(inputs):
  once = measure_pool(STRATEGIES['margin'](), inputs)
  sampled = measure_pool(STRATEGIES['margin'](num_samples=S), inputs)
  assert not np.allclose(once, sampled, atol=1e-2)


def test_more_than_are_eligible_gives_them_all_and_padding(inputs):
  strategy = STRATEGIES['margin']()
  scores = measure_pool(strategy, inputs)
  asked = np.arange(N - 3)
  chosen = select(strategy, scores, pool_with(asked))
  assert set(chosen[:3]) == {N - 3, N - 2, N - 1}
  np.testing.assert_array_equal(chosen[3:], -1)


def test_what_was_not_measured_is_never_picked(inputs):
  strategy = STRATEGIES['entropy']()
  where = np.arange(N) % 8 == 1
  scores = measure_pool(strategy, inputs, where=where)
  np.testing.assert_array_equal(np.asarray(scores)[~where], 0)
  chosen = select(strategy, -scores, pool_with([1, 9]), seen=where)
  np.testing.assert_array_equal(sorted(chosen[:3]), [17, 25, 33])
  np.testing.assert_array_equal(chosen[3:], -1)


def test_ties_are_broken_at_random_by_the_key():
  strategy, scores = STRATEGIES['margin'](), jnp.zeros(N)
  keys = jax.random.split(KEY, 5)
  draws = {tuple(select(strategy, scores, pool_with([]), k)) for k in keys}
  assert len(draws) == 5
  again = {tuple(select(strategy, scores, pool_with([]), k)) for k in keys}
  assert again == draws


def test_a_labelled_set_that_grows_compiles_nothing(inputs):
  strategy = STRATEGIES['margin']()
  scores = measure_pool(strategy, inputs)
  pools = [pool_with(np.arange(4)), pool_with(np.arange(4) + 9)]
  select(strategy, scores, pools[0])
  before = xla.programs_compiled()
  select(strategy, scores, pools[1])
  # Nor does another strategy of the kind: they select alike.
  select(STRATEGIES['entropy'](), scores, pools[1])
  assert xla.programs_compiled() == before


def test_a_negative_number_of_samples_is_refused():
  with pytest.raises(
    ValueError, match='num_samples is -1; it must be a whole number'
  ):
    STRATEGIES['margin'](num_samples=-1)
