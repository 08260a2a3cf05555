"""Messages of kernels about their arguments."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels

KEY = jax.random.key(0)
POINTS = jnp.ones((60, 3))
SCORES = jnp.ones(60)
IDS = jnp.arange(60)
SAMPLES = jnp.zeros((60, 5, 4))  # [N, S, C], where [S, N, C] is wanted
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(8, 60, 5)).astype(np.float32)
PROBS = np.asarray(jax.nn.softmax(LOGITS))
GRAPH = kernels.Graph(jnp.zeros((60, 1), jnp.int32), jnp.ones((60, 1)))

MESH = jax.sharding.Mesh(np.array(jax.devices()[:1]), ('pool',))
GRID = jax.sharding.Mesh(np.array(jax.devices()[:1])[None], ('a', 'b'))

MESSAGES = {
  'indices in place of a mask': (
    lambda: kernels.kmeans_plus_plus(KEY, POINTS, 2, eligible=IDS),
    ValueError,
    'eligible must be a bool mask of shape [N]; got int32[60]. From indices: '
    'jnp.zeros(N, bool).at[ids].set(True), with N = 60.',
  ),
  'a short mask': (
    lambda: kernels.k_center(POINTS, 2, centers=jnp.ones(59, bool)),
    ValueError,
    'centers must be a bool mask of shape [N]; got bool[59], while N is 60.',
  ),
  'scores of samples': (
    lambda: kernels.top_k(SCORES[:5], 2, eligible=jnp.ones(60, bool)),
    ValueError,
    'got bool[60], while N is 5. Scores of samples are computed from '
    'mc_logits [S, N, C].',
  ),
  'samples whose axes are swapped': (
    lambda: kernels.batch_bald(KEY, SAMPLES, 2, eligible=jnp.ones(60, bool)),
    ValueError,
    'got bool[60], while N is 5. mc_logits seem to be [N, S, C]: pass '
    'jnp.swapaxes(mc_logits, 0, 1).',
  ),
  'samples without an axis of classes': (
    lambda: kernels.bald(SCORES),
    ValueError,
    'mc_logits must be float [S, ..., C] with S >= 1 and C >= 1; got '
    'float32[60].',
  ),
  'a seed in place of a key': (
    lambda: kernels.uniform(0, jnp.ones(3, bool), 2),
    TypeError,
    'key must be a single random key, such as jax.random.key(0); got 0.',
  ),
  'several keys': (
    lambda: kernels.graph_density(jax.random.split(KEY, 3), GRAPH, 2),
    TypeError,
    'got key<fry>[3].',
  ),
  'a key of another length': (
    lambda: kernels.uniform(jnp.zeros(5, jnp.uint32), jnp.ones(3, bool), 2),
    TypeError,
    'key must be a single random key, such as jax.random.key(0); got '
    'uint32[5].',
  ),
  'text in place of scores': (
    lambda: kernels.top_k('abc', 2),
    ValueError,
    'scores must be float [N]; got str.',
  ),
  'nothing in place of scores': (
    lambda: kernels.top_k(None, 2),
    ValueError,
    'scores must be float [N]; got ',
  ),
  'text in place of a mask': (
    lambda: kernels.uniform(KEY, 'abc', 2),
    ValueError,
    'eligible must be a bool mask of shape [N]; got str.',
  ),
  'text in place of a coldness': (
    lambda: kernels.stochastic_top_k(KEY, SCORES, 2, coldness='a'),
    ValueError,
    "coldness is 'a'; it must be above 0 and finite.",
  ),
  'several coldnesses': (
    lambda: kernels.stochastic_top_k(KEY, SCORES, 2, coldness=np.ones(2)),
    ValueError,
    'it must be above 0 and finite.',
  ),
  'points in place of a graph': (
    lambda: kernels.graph_density(KEY, POINTS, 2),
    ValueError,
    'graph must be a Graph, such as knn_graph(points, 10) returns; got '
    'float32[60, 3].',
  ),
  'a traced number of picks': (
    lambda: jax.jit(kernels.top_k)(SCORES, 3),
    TypeError,
    'k must be a plain number; it is traced. Make '
    "it static: jax.jit(..., static_argnames='k').",
  ),
  'a broken number of picks': (
    lambda: kernels.top_k(SCORES, 2.5),
    TypeError,
    'k must be an integer; got 2.5.',
  ),
  'sharded points of fewer rows': (
    lambda: kernels.k_center(kernels.Sharded(POINTS, 61, MESH), 2),
    ValueError,
    'points.num_points is 61; it must be at most 60, the number of rows.',
  ),
  'a broken number of sharded points': (
    lambda: kernels.k_center(kernels.Sharded(POINTS, 60.0, MESH), 2),
    TypeError,
    'points.num_points must be an integer; got 60.0.',
  ),
  'sharded points without a mesh': (
    lambda: kernels.k_center(kernels.Sharded(POINTS, 60, None), 2),
    ValueError,
    'points.mesh is None; it must be a jax.sharding.Mesh.',
  ),
  'sharded scores over two axes': (
    lambda: kernels.top_k(kernels.Sharded(SCORES, 60, GRID), 2),
    ValueError,
    'the mesh must have one axis, and each device the same number of rows.',
  ),
  'integers in place of sharded points': (
    lambda: kernels.lcmd(kernels.Sharded(jnp.zeros((60, 3), int), 60, MESH), 2),
    ValueError,
    'points.rows must be float [N, D]; got int32[60, 3].',
  ),
  'a mask of other than sharded points': (
    lambda: kernels.k_center(
      kernels.Sharded(POINTS, 59, MESH), 2, eligible=jnp.ones(60, bool)
    ),
    ValueError,
    'while N is 59.',
  ),
  'points with more axes': (
    lambda: kernels.k_means(KEY, jnp.ones((4, 2, 2, 3)), 2),
    ValueError,
    'points must be float [N, D]; got float32[4, 2, 2, 3].',
  ),
  'factors of other lengths': (
    lambda: kernels.squared_distances(
      kernels.Factors(POINTS, POINTS[:5]), POINTS
    ),
    ValueError,
    'a.left is float32[60, 3] and a.right float32[5, 3]; they must have the '
    'same number of rows.',
  ),
  'weights of other points': (
    lambda: kernels.kmeans_plus_plus(KEY, POINTS, 2, weights=SCORES[:5]),
    ValueError,
    'weights must be float [N]; got float32[5], while points has N = 60.',
  ),
  'logits and embedding of other lengths': (
    lambda: kernels.gradient_factors(POINTS, POINTS[:5]),
    ValueError,
    'logits must be float [N, C] and embedding float [N, D]; got '
    'float32[60, 3] and float32[5, 3].',
  ),
  'probabilities': (
    lambda: kernels.entropy(PROBS),
    ValueError,
    'logits look like probabilities: every row is in [0, 1] and sums to 1. '
    'Pass log-probabilities: jnp.log(logits).',
  ),
  'probabilities of samples': (
    lambda: kernels.batch_bald(KEY, PROBS, 2),
    ValueError,
    'mc_logits look like probabilities',
  ),
  'a function that returns integers': (
    lambda: kernels.streamed_bald(jnp.arange(2), lambda key: jnp.zeros(3, int)),
    ValueError,
    'logits_fn(key) must be float [..., C] with C >= 1; got int32[3].',
  ),
  'leaves of other lengths': (
    lambda: kernels.per_example_gradients(
      lambda weights, row: jnp.sum(weights), POINTS, (POINTS, POINTS[:5])
    ),
    ValueError,
    'batch must be arrays with one leading axis N; got the shapes (60, 3), '
    '(5, 3).',
  ),
}


@pytest.mark.parametrize('name', MESSAGES)
def test_the_message_names_the_argument(name):
  call, error, message = MESSAGES[name]
  with pytest.raises(error, match=re.escape(message)):
    call()


@pytest.mark.parametrize(
  'logits',
  [
    LOGITS[0],
    np.log(PROBS[0]),
    PROBS[0] + 1,
    np.full((4, 5), 0.2, np.float32),
    np.zeros((0, 5), np.float32),
    np.ones((4, 1), np.float32),
  ],
  ids=['logits', 'log', 'shifted', 'uniform', 'nothing', 'one class'],
)
def test_what_could_be_logits_is_accepted(logits):
  kernels.least_confidence(logits)


def test_probabilities_do_where_only_their_order_counts():
  np.testing.assert_array_equal(
    kernels.variation_ratio(PROBS), kernels.variation_ratio(LOGITS)
  )


def test_traced_logits_are_not_looked_at():
  traced = jax.jit(kernels.entropy)(PROBS)
  np.testing.assert_allclose(traced, kernels.entropy(PROBS + 1), rtol=1e-5)


def test_keys_of_both_kinds_are_accepted():
  eligible = jnp.ones(9, bool)
  typed = kernels.uniform(jax.random.key(3), eligible, 4)
  raw = kernels.uniform(jax.random.PRNGKey(3), eligible, 4)
  np.testing.assert_array_equal(typed.indices, raw.indices)
