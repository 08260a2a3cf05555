"""Labels that flow along the edges of a graph."""

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from al_jax import kernels

N, C, K = 60, 3, 6
KINDS = ['reciprocal', 'union']
every_kind = pytest.mark.parametrize('kind', KINDS)
jitted = jax.jit(
  kernels.label_propagation,
  static_argnames=('num_classes', 'graph_kind', 'num_iters'),
)
find_neighbors = jax.jit(kernels.knn_graph, static_argnames='k')


def propagate(graph, targets, num_classes, **options):
  return jax.device_get(jitted(graph, targets, num_classes, **options))


def search(points, k):
  return jax.device_get(find_neighbors(points, k))


def affinity_matrix(graph, kind, gamma=3):
  """D^-1/2 W D^-1/2 as a sparse matrix, from the formula."""
  neighbors, similarities = graph
  rows, places = np.nonzero(neighbors >= 0)
  values = np.maximum(similarities[rows, places], 0) ** np.float32(gamma)
  size = len(neighbors)
  one_way = scipy.sparse.csr_array(
    (values, (rows, neighbors[rows, places])), (size, size)
  )
  both = one_way.T.tocsr()
  both = one_way.minimum(both) if kind == 'reciprocal' else one_way + both
  degrees = both.sum(axis=1)
  scale = scipy.sparse.diags_array(
    1 / np.sqrt(np.where(degrees > 0, degrees, 1))
  )
  return (scale @ both @ scale).tocsr()


def reference(graph, targets, num_classes, kind, solve, alpha=0.99):
  """`solve` gets the matrix and one column of targets at a time."""
  matrix = affinity_matrix(graph, kind)
  system = scipy.sparse.eye_array(len(targets)) - alpha * matrix
  sources = np.float64(targets[:, None] == np.arange(num_classes))
  sources /= np.maximum(sources.sum(axis=0), 1)
  solution = np.stack([solve(system, column) for column in sources.T], axis=1)
  solution = np.maximum(solution, 0)
  total = solution.sum(axis=1, keepdims=True)
  scores = solution / np.where(total > 0, total, 1)
  entropy = -np.sum(scores * np.log(np.where(scores > 0, scores, 1)), axis=1)
  certainty = (1 - entropy / np.log(num_classes)) * (total[:, 0] > 0)
  certainty /= certainty.max()
  labels = np.where(total[:, 0] > 0, scores.argmax(axis=1), -1)
  known = targets >= 0
  return (
    scores,
    np.where(known, targets, labels),
    np.where(known, 1, certainty),
  )


def direct(system, column):
  return np.linalg.solve(system.toarray(), column)


def capped(system, column):
  return scipy.sparse.linalg.cg(system, column, rtol=1e-6, maxiter=20)[0]


def problem(seed=0, num_points=N):
  """Clusters around as many directions as there are classes, few labels."""
  rng = np.random.default_rng(seed)
  classes = rng.integers(0, C, num_points)
  points = rng.normal(0, 0.3, (num_points, 4)) + np.eye(4)[classes]
  targets = np.where(rng.random(num_points) < 0.2, classes, -1)
  targets[:C], targets[C] = np.arange(C), -1
  graph = search(np.float32(points), K)
  return graph, targets.astype(np.int32), classes


def padded(graph, targets):
  """A small problem with as many isolated points as make it one of N."""
  neighbors, similarities = map(np.asarray, graph)
  rows, columns = np.subtract((N, K), neighbors.shape)
  widths = ((0, rows), (0, columns))
  return kernels.Graph(
    np.pad(neighbors, widths, constant_values=-1),
    np.pad(similarities, widths, constant_values=-np.inf),
  ), np.pad(np.asarray(targets, np.int32), (0, rows), constant_values=-1)


def assert_is_left_out(result, points):
  np.testing.assert_array_equal(result.scores[points], 0)
  np.testing.assert_array_equal(result.pseudo_labels[points], -1)
  np.testing.assert_array_equal(result.certainty[points], 0)


@every_kind
@pytest.mark.parametrize('seed', range(3))
def test_many_iterations_reach_the_closed_form(seed, kind):
  graph, targets, _ = problem(seed)
  ours = propagate(graph, targets, C, alpha=0.9, graph_kind=kind, num_iters=200)
  scores, labels, certainty = reference(
    graph, targets, C, kind, direct, alpha=0.9
  )
  np.testing.assert_allclose(ours.scores, scores, atol=1e-4)
  np.testing.assert_allclose(ours.certainty, certainty, atol=1e-3)
  np.testing.assert_array_equal(ours.pseudo_labels, labels)


@every_kind
def test_twenty_iterations_equal_those_of_scipy(kind):
  graph, targets, _ = problem(3, num_points=400)
  ours = propagate(graph, targets, C, graph_kind=kind)
  scores, labels, certainty = reference(graph, targets, C, kind, capped)
  # They are not converged, so that the cap is part of the result.
  converged, _, _ = reference(graph, targets, C, kind, direct)
  assert np.abs(scores - converged).max() > 1e-3
  np.testing.assert_allclose(ours.scores, scores, atol=2e-5)
  np.testing.assert_allclose(ours.certainty, certainty, atol=1e-4)
  np.testing.assert_array_equal(ours.pseudo_labels, labels)


def test_labels_flow_to_the_points_of_their_class():
  graph, targets, classes = problem(4, num_points=400)
  result = propagate(graph, targets, C, graph_kind='union')
  assert np.mean(result.pseudo_labels == classes) > 0.9


@hypothesis.given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
@hypothesis.settings(deadline=None, max_examples=30)
def test_results_are_what_they_say(seed, kind):
  graph, targets, _ = problem(seed)
  scores, labels, certainty = propagate(graph, targets, C, graph_kind=kind)
  total = np.sum(scores, axis=1)
  np.testing.assert_allclose(total[total > 0], 1, rtol=1e-5)
  np.testing.assert_array_equal(labels[targets >= 0], targets[targets >= 0])
  np.testing.assert_array_equal(certainty[targets >= 0], 1)
  assert ((certainty >= 0) & (certainty <= 1)).all()
  np.testing.assert_array_equal(certainty[labels < 0], 0)


def test_jit_changes_nothing():
  graph, targets, _ = problem()
  chex.assert_trees_all_close(
    kernels.label_propagation(graph, targets, C),
    propagate(graph, targets, C),
    atol=1e-4,
  )


def test_float64_gives_the_same_results():
  graph, targets, _ = problem()
  short = propagate(graph, targets, C)
  with jax.enable_x64(True):
    chex.assert_trees_all_close(propagate(graph, targets, C), short, atol=1e-4)
    wide = graph._replace(similarities=np.float64(graph.similarities))
    long = propagate(wide, targets, C)
  np.testing.assert_array_equal(long.pseudo_labels, short.pseudo_labels)
  np.testing.assert_allclose(long.scores, short.scores, atol=1e-4)


def test_results_follow_a_permutation_of_the_pool():
  graph, targets, _ = problem()
  order = np.random.default_rng(1).permutation(N)
  neighbors, similarities = graph
  moved = kernels.Graph(
    np.int32(np.argsort(order))[neighbors[order]], similarities[order]
  )
  chex.assert_trees_all_close(
    propagate(moved, targets[order], C),
    jax.tree.map(lambda leaf: leaf[order], propagate(graph, targets, C)),
    atol=1e-4,
  )


def test_renaming_the_classes_renames_the_pseudo_labels():
  graph, targets, _ = problem()
  names = np.array([2, 0, 1, -1])
  plain, renamed = (
    propagate(graph, labels, C)
    for labels in (targets, names[targets].astype(np.int32))
  )
  np.testing.assert_array_equal(
    renamed.pseudo_labels, names[plain.pseudo_labels]
  )
  np.testing.assert_allclose(renamed.certainty, plain.certainty, atol=1e-4)


@every_kind
def test_unlabelled_points_without_edges_at_the_end_change_nothing(kind):
  graph, targets, _ = problem(num_points=N - 9)
  result = propagate(*padded(graph, targets), C, graph_kind=kind)
  scores, labels, certainty = reference(graph, targets, C, kind, capped)
  np.testing.assert_allclose(result.scores[: N - 9], scores, atol=1e-4)
  np.testing.assert_array_equal(result.pseudo_labels[: N - 9], labels)
  np.testing.assert_allclose(result.certainty[: N - 9], certainty, atol=1e-4)
  assert_is_left_out(result, np.arange(N - 9, N))


@every_kind
def test_negative_cosines_carry_no_labels(kind):
  # Their third powers would make the degrees of both points negative.
  pair = kernels.Graph([[1], [0]], [[-0.9], [-0.9]])
  result = propagate(*padded(pair, [0, -1]), C, graph_kind=kind)
  np.testing.assert_array_equal(result.scores[0], [1, 0, 0])
  assert result.pseudo_labels[0] == 0
  assert result.certainty[0] == 1
  assert_is_left_out(result, np.arange(1, N))


@every_kind
def test_a_component_without_labels_is_left_out_and_spoils_no_other(kind):
  angles = np.array([0.0, 0.1, 0.2, 3.0, 3.1, 3.2], np.float32)
  graph = search(np.stack([np.cos(angles), np.sin(angles)], axis=1), 2)
  targets = [0, -1, 1, -1, -1, -1]
  result = propagate(*padded(graph, targets), C, graph_kind=kind)
  assert_is_left_out(result, np.arange(3, N))
  assert result.pseudo_labels[1] in (0, 1)
  assert all(np.isfinite(leaf).all() for leaf in result)


def test_isolated_points_keep_what_they_have():
  graph, targets, _ = problem()
  alone = np.array([np.argmax(targets >= 0), np.argmax(targets < 0)])
  neighbors, similarities = graph
  cut = np.isin(np.arange(N), alone)[:, None] | np.isin(neighbors, alone)
  graph = kernels.Graph(
    np.where(cut, -1, neighbors), np.where(cut, -np.inf, similarities)
  )
  result = propagate(graph, targets, C)
  known = alone[0]
  np.testing.assert_allclose(
    result.scores[known], np.eye(C)[targets[known]], rtol=1e-6
  )
  assert result.certainty[known] == 1
  assert_is_left_out(result, alone[1:])


def test_a_class_without_labels_is_never_propagated():
  graph, targets, _ = problem()
  targets = np.where(targets == 1, -1, targets)
  result = propagate(graph, targets, C)
  np.testing.assert_array_equal(result.scores[:, 1], 0)
  assert not (result.pseudo_labels == 1).any()
  assert np.isfinite(result.certainty).all()


def test_duplicates_share_their_labels():
  rng = np.random.default_rng(5)
  distinct = rng.normal(size=(2, 4)).astype(np.float32)
  graph = search(np.repeat(distinct, 7, axis=0), K)
  targets = np.full(14, -1)
  targets[3], targets[12] = 0, 1
  result = propagate(*padded(graph, targets), C)
  np.testing.assert_array_equal(result.pseudo_labels[:14], np.repeat([0, 1], 7))
  np.testing.assert_allclose(result.certainty[:14], 1, rtol=1e-5)


def test_of_equal_points_each_is_certain_of_the_only_label():
  graph = search(np.ones((N, 4), np.float32), K)
  result = propagate(graph, np.where(np.arange(N) == 0, 1, -1), C)
  # Only the first are anybody's neighbours, and lead back to each other.
  assert (result.pseudo_labels[: K + 1] == 1).all()
  np.testing.assert_array_equal(result.certainty[: K + 1], 1)
  assert_is_left_out(result, np.arange(K + 1, N))


def test_points_that_are_not_finite_get_and_give_nothing():
  points = np.random.default_rng(6).normal(size=(N, 4)).astype(np.float32)
  points[7] = np.nan
  graph = search(points, K)
  targets = np.where(np.arange(N) < 10, np.arange(N) % C, -1)
  assert all(np.isfinite(leaf).all() for leaf in propagate(graph, targets, C))
  targets[7] = -1
  assert_is_left_out(propagate(graph, targets, C), 7)


def test_without_labels_nothing_is_reached():
  graph, _, _ = problem()
  assert_is_left_out(propagate(graph, np.full(N, -1), C), np.arange(N))


def test_of_one_class_all_that_is_reached_is_certain():
  graph, targets, _ = problem()
  result = propagate(graph, np.minimum(targets, 0), 1)
  reached = result.scores[:, 0] > 0
  np.testing.assert_array_equal(result.certainty, reached)
  np.testing.assert_array_equal(result.pseudo_labels, np.where(reached, 0, -1))


def test_a_target_that_is_no_class_is_not_known():
  graph, targets, _ = problem()
  chex.assert_trees_all_equal(
    propagate(graph, np.where(targets < 0, C + 5, targets), C),
    propagate(graph, targets, C),
  )


def test_an_empty_pool_has_empty_results():
  graph = search(np.zeros((0, 2), np.float32), 3)
  result = propagate(graph, np.zeros(0, np.int32), C)
  chex.assert_shape(result, [(0, C), (0,), (0,)])


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    (dict(alpha=1.0), 'alpha is 1.0; it must be at least 0 and below 1'),
    (dict(gamma=0), 'gamma is 0; it must be above 0'),
    (dict(graph_kind='mutual'), "graph_kind is 'mutual'.*reciprocal.*union"),
    (dict(num_iters=0), 'num_iters is 0; it must be at least 1'),
    (dict(num_classes=0), 'num_classes is 0; it must be at least 1'),
  ],
)
def test_wrong_options_are_errors_that_name_them(wrong, message):
  graph = kernels.Graph(np.zeros((N, K), np.int32), np.zeros((N, K)))
  options = {'targets': np.full(N, -1), 'num_classes': C} | wrong
  with pytest.raises(ValueError, match=message):
    kernels.label_propagation(graph, **options)


@pytest.mark.parametrize(
  'graph',
  [
    kernels.Graph(jnp.zeros((N, 3)), jnp.zeros((N, 3))),
    kernels.Graph(jnp.zeros((N, 3), jnp.int32), jnp.zeros((N, 2))),
    kernels.Graph(jnp.zeros(N, jnp.int32), jnp.zeros(N)),
  ],
  ids=['float neighbors', 'other shape', 'rank'],
)
def test_a_graph_of_the_wrong_kind_is_refused(graph):
  with pytest.raises(ValueError, match='graph must have'):
    kernels.label_propagation(graph, jnp.zeros(N, jnp.int32), C)


@pytest.mark.parametrize('targets', [jnp.zeros(N), jnp.zeros(3, jnp.int32)])
def test_targets_of_the_wrong_kind_are_refused(targets):
  graph, _, _ = problem()
  with pytest.raises(ValueError, match='targets must be int'):
    kernels.label_propagation(graph, targets, C)
