import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import tasks
from al_jax.interfaces import Batch, ModelOutput
from al_jax.strategies import k_means, weighted_k_means
from tests.strategies.linear_network import (
  FACTS,
  KEY,
  WEIGHTS,
  C,
  D,
  K,
  N,
  choose,
  measure_pool,
  pool_with,
  select,
  softmax,
)

# Made once: each compiles its own.
PLAIN = k_means()
WEIGHTED = weighted_k_means(prefilter=3)


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def informativeness(inputs):
  ranked = np.sort(softmax(inputs @ WEIGHTS), axis=-1)
  return 1 - (ranked[:, -1] - ranked[:, -2])


def pick(strategy, embeddings, scores, asked=(), key=KEY, seen=None):
  measured = (jnp.asarray(embeddings), jnp.asarray(scores, jnp.float32))
  _, selection = select(
    strategy, measured, pool_with(asked), seen=seen, key=key
  )
  return np.asarray(selection.indices)


@pytest.mark.parametrize('strategy', [PLAIN, WEIGHTED])
def test_of_each_blob_the_member_nearest_to_its_centroid(rng, strategy):
  number = rng.permutation(N)
  blob, member = number % K, number // K  # 5 of each
  points = 100 * rng.normal(size=(K, D))[blob] + 0.1 * rng.normal(size=(N, D))
  # Of each blob three members are among the most informative.
  scores = rng.uniform(0.1, 0.4, N) + 0.5 * (member < 3)
  asked = [int(np.flatnonzero((blob == 5) & (member == 3))[0])]
  counts = (member < 3) if strategy is WEIGHTED else ~np.isin(range(N), asked)
  weights = scores if strategy is WEIGHTED else np.ones(N)
  wanted = []
  for members in (np.flatnonzero(counts & (blob == b)) for b in range(K)):
    centroid = np.average(points[members], axis=0, weights=weights[members])
    to_centroid = np.linalg.norm(points[members] - centroid, axis=1)
    wanted.append(members[np.argmin(to_centroid)])
  wanted.sort(key=lambda row: -scores[row])
  for seed in range(3):
    key = jax.random.key(seed)
    picks = pick(strategy, points.astype(np.float32), scores, asked, key=key)
    np.testing.assert_array_equal(picks, wanted)


def test_it_measures_embeddings_and_one_less_the_margin(inputs):
  embeddings, scores = measure_pool(PLAIN, inputs)
  np.testing.assert_array_equal(embeddings, inputs)
  np.testing.assert_allclose(scores, informativeness(inputs), atol=1e-5)


def test_without_classes_all_examples_are_as_informative(inputs):
  facts = FACTS._replace(task=tasks.Vector(C))
  picks = []
  for strange in (0, 1e3):
    measured = jnp.asarray(inputs), strange * jnp.arange(N, dtype=jnp.float32)
    _, selection = select(
      PLAIN, measured, pool_with([1]), state=PLAIN.init(facts)
    )
    picks.append(selection.indices)
  np.testing.assert_array_equal(*picks)


@pytest.mark.parametrize('parts', [0, 1, 2])
def test_what_cannot_be_logits_is_not_read_as_such(inputs, parts):
  numbers = jnp.asarray(inputs)
  predictions = [numbers[:, 0], numbers[:, :1], {'a': numbers, 'b': numbers}]

  def apply(inputs):
    return ModelOutput(predictions[parts], inputs, {})

  _, scores = PLAIN.measure(KEY, apply, Batch(jnp.arange(N), numbers))
  np.testing.assert_array_equal(scores, np.zeros(N))


def test_only_the_most_informative_are_clustered(inputs):
  scores = informativeness(inputs)
  asked = np.argsort(-scores)[:2]
  picks = choose(WEIGHTED, inputs, pool_with(asked))
  assert set(picks) <= set(np.argsort(-scores)[2 : 2 + 3 * K])
  few = k_means(prefilter=1)
  np.testing.assert_array_equal(
    choose(few, inputs, pool_with(asked)), np.argsort(-scores)[2 : 2 + K]
  )


@pytest.mark.parametrize('strategy', [PLAIN, WEIGHTED])
def test_where_clusters_lack_the_most_informative_fill_up(rng, strategy):
  points = np.zeros((N, D), np.float32)
  points[::2] = 1  # two places, and so two clusters with members
  scores = rng.random(N)
  picks = pick(strategy, points, scores)
  best = np.argsort(-scores)
  first_of_each = [best[points[best, 0] == place][0] for place in (0, 1)]
  assert set(first_of_each) <= set(picks)
  others = [row for row in best if row not in first_of_each]
  wanted = sorted([*first_of_each, *others[: K - 2]], key=lambda i: -scores[i])
  np.testing.assert_array_equal(picks, wanted)


@pytest.mark.parametrize('score', [0.0, 1.0])
def test_scores_that_are_all_alike_still_make_clusters(rng, score):
  centers = 100 * rng.normal(size=(K, D))
  points = np.repeat(centers, 3, axis=0) + 0.1 * rng.normal(size=(3 * K, D))
  points = np.concatenate([points, np.full((N - 3 * K, D), 1e3)])
  picks = pick(
    WEIGHTED, points.astype(np.float32), np.full(N, score), range(3 * K, N)
  )
  assert set(picks // 3) == set(range(K))


def test_what_was_not_measured_is_no_member(inputs):
  inputs[20:] += 50
  where = np.arange(N) < 20
  embeddings, scores = measure_pool(PLAIN, inputs, where=where)
  picks = pick(PLAIN, embeddings, scores, seen=where)
  assert len(set(picks)) == K and np.all((picks >= 0) & (picks < 20))


def test_options_that_make_no_sense_are_refused():
  for wrong in (0, 1.5):
    with pytest.raises(ValueError, match=f'prefilter is {wrong}; it must be a'):
      weighted_k_means(prefilter=wrong)
  for wrong in (-1, 1.5):
    with pytest.raises(ValueError, match=f'num_iters is {wrong}; it must be a'):
      k_means(num_iters=wrong)
