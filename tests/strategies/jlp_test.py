import numpy as np
import pytest

from al_jax.strategies import core_set, jlp
from tests.strategies.linear_network import D, K, N, choose, pool_with

ASKED = [3, 17, 5]
NEIGHBOURS = 6
# By solves that converge: 20 iterations from the last solution are enough.
ALPHA = 0.9


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32) + 0.5


def reference(points, asked, k, *, neighbours, alpha, gamma, graph_kind):
  """Dense solves with the cosine graph, from the formula."""
  points = np.float64(points)
  unit = points / np.linalg.norm(points, axis=1, keepdims=True)
  cosines = unit @ unit.T
  np.fill_diagonal(cosines, -np.inf)
  lists = np.zeros(cosines.shape, bool)
  nearest = np.argsort(-cosines, axis=1)[:, :neighbours]
  np.put_along_axis(lists, nearest, True, axis=1)
  edges = np.where(lists, np.maximum(cosines, 0), 0) ** gamma
  joined = edges + edges.T
  if graph_kind == 'reciprocal':
    joined = np.minimum(edges, edges.T)
  degrees = joined.sum(axis=1)
  scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1))
  system = np.eye(len(points)) - alpha * scale[:, None] * joined * scale
  sources, picks = np.isin(np.arange(len(points)), asked), []
  for _ in range(k):
    reach = np.linalg.solve(system, np.float64(sources))
    picks.append(int(np.argmin(np.where(sources, np.inf, reach))))
    sources[picks[-1]] = True
  return picks


@pytest.mark.parametrize('graph_kind', ['reciprocal', 'union'])
@pytest.mark.parametrize('gamma', [1, 3])
def test_picks_are_the_least_reached(inputs, graph_kind, gamma):
  options = {'alpha': ALPHA, 'gamma': gamma, 'graph_kind': graph_kind}
  strategy = jlp(num_neighbours=NEIGHBOURS, **options)
  wanted = reference(inputs, ASKED, K, neighbours=NEIGHBOURS, **options)
  picks = choose(strategy, inputs, pool_with(ASKED))
  np.testing.assert_array_equal(picks, wanted)


def test_the_graph_has_what_was_measured_and_nothing_else(inputs):
  where = np.arange(N) % 2 == 0
  strategy = jlp(num_neighbours=NEIGHBOURS, alpha=ALPHA)
  # Nobody looked at 7, which was asked about.
  picks = choose(strategy, inputs, pool_with([4, 6, 7]), where=where)
  options = {'alpha': ALPHA, 'gamma': 3, 'graph_kind': 'reciprocal'}
  wanted = reference(inputs[::2], [2, 3], K, neighbours=NEIGHBOURS, **options)
  np.testing.assert_array_equal(picks, 2 * np.array(wanted))


def test_more_neighbours_than_there_are_is_all_others(inputs):
  pool = pool_with(ASKED)
  np.testing.assert_array_equal(
    choose(jlp(num_neighbours=N - 1, alpha=ALPHA), inputs, pool),
    choose(jlp(num_neighbours=1000, alpha=ALPHA), inputs, pool),
  )


def test_lengths_of_embeddings_do_not_count(inputs):
  lengths = np.random.default_rng(3).uniform(0.1, 10, (N, 1)).astype(np.float32)
  strategy, pool = jlp(num_neighbours=NEIGHBOURS, alpha=ALPHA), pool_with(ASKED)
  picks = choose(strategy, inputs, pool)
  np.testing.assert_array_equal(choose(strategy, lengths * inputs, pool), picks)
  assert np.any(choose(core_set(), lengths * inputs, pool) != picks)


def test_groups_that_no_label_reaches_are_asked_about_first(rng):
  """Four directions of ten each; what was asked about is in one of them."""
  inputs = np.eye(4, D)[np.arange(N) % 4] + 0.01 * rng.normal(size=(N, D))
  pool = pool_with([0, 4])
  picks = choose(jlp(num_neighbours=9), inputs.astype(np.float32), pool, k=3)
  assert sorted(picks % 4) == [1, 2, 3]


@pytest.mark.parametrize(
  ('option', 'message'),
  [
    ({'num_neighbours': 0}, 'num_neighbours is 0; .* at least 1'),
    ({'alpha': 1.0}, r'alpha is 1\.0; .* at least 0 and below 1'),
    ({'gamma': 0}, 'gamma is 0; it must be a number above 0'),
    ({'graph_kind': 'unoin'}, "'unoin' is not known. Did you mean 'union'"),
  ],
)
def test_options_that_make_no_sense_are_refused(option, message):
  with pytest.raises(ValueError, match=message):
    jlp(**option)
