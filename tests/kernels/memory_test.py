"""No array that a kernel promises not to make; compiled, never run.

Each size is chosen so that such an array alone would be larger than all
temporary memory of the program together.
"""

import functools

import jax
import jax.numpy as jnp
import pytest

from al_jax import kernels
from tests.kernels import every_kernel
from tests.kernels.every_kernel import MANY, WIDE, Call, float32, int32

pytestmark = pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='reads the CPU program'
)
_FLOAT = 4


def temporary(function, *arguments):
  """Of the compiled program, in bytes."""
  return every_kernel.compiled_bytes(Call(function, arguments, None))


def key():
  return jax.random.key(0)


@pytest.mark.parametrize(
  'name',
  [
    'squared_norms of Factors',
    'gradient_factors',
    'kmeans_plus_plus of Factors',
    'k_center of Factors',
    'k_center of centers of Factors',
    'k_means of Factors',
    'lcmd of Factors',
    'lcmd of centers of Factors',
    'information_density of Factors',
    'hybrid_informativeness of Factors',
    'knn_graph by cosine of Factors',
    'knn_graph by euclidean of Factors',
  ],
)
def test_factors_are_never_multiplied_out(name):
  multiplied_out = (
    _FLOAT * WIDE.num_points * WIDE.num_classes * WIDE.num_features
  )
  assert every_kernel.bytes_of(name, WIDE) < multiplied_out / 8


def test_seeding_at_the_size_of_the_target_takes_less_than_64_megabytes():
  for num_classes in (10, 100):
    target = WIDE._replace(num_classes=num_classes)
    assert every_kernel.bytes_of('kmeans_plus_plus of Factors', target) < 64e6


def test_seeding_at_the_size_of_imagenet_takes_little_but_the_points():
  """Padded or transposed, a factor would be 0.8 GB or more."""
  points = kernels.Factors(float32(200_000, 1_000), float32(200_000, 2_048))
  select = functools.partial(kernels.kmeans_plus_plus, k=1_000)
  assert temporary(select, key(), points) < 100e6


@pytest.mark.parametrize(
  'name',
  [
    'kmeans_plus_plus',
    'k_center',
    'k_center of centers',
    'k_means',
    'lcmd',
    'lcmd of centers',
    'information_density',
    'hybrid_informativeness',
    'hybrid_informativeness with all references',
    'knn_graph by cosine',
    'knn_graph by euclidean',
    'knn_graph by manhattan',
    'graph_density',
    'label_propagation, reciprocal',
    'label_propagation, union',
    'diffusion_selection, reciprocal',
    'diffusion_selection, union',
  ],
)
def test_points_never_meet_all_other_points_at_once(name):
  size = every_kernel.bytes_of(name, MANY)
  assert size < _FLOAT * MANY.num_points**2 / 100


def test_a_graph_takes_less_than_200_megabytes():
  find = functools.partial(kernels.knn_graph, k=50)
  assert temporary(find, float32(50_000, 128)) < 200e6


@pytest.mark.parametrize('name', ['kmeans_plus_plus', 'k_means'])
def test_points_never_meet_all_picks_at_once(name):
  """[N, k] would be ten times the size of the points."""
  size = every_kernel.bytes_of(name, MANY)
  assert size < _FLOAT * MANY.num_points * MANY.k / 4


@pytest.mark.parametrize('kernel', [kernels.bald, kernels.mean_std])
def test_scores_of_samples_copy_none_of_them(kernel):
  few, many = (
    temporary(kernel, float32(num_samples, 5_000, 10))
    for num_samples in (50, 100)
  )
  assert many < _FLOAT * 50 * 5_000 * 10 / 8
  assert many <= few + 1024


def streamed(num_samples):
  """`streamed_bald` of a hidden layer behind dropout, N 5,000 and C 10."""

  def score(keys, hidden, head):
    def logits_fn(key):
      return (hidden * jax.random.bernoulli(key, 0.5, (1, 64))) @ head

    return kernels.streamed_bald(keys, logits_fn)

  keys = jax.random.split(key(), num_samples)
  return temporary(score, keys, float32(5_000, 64), float32(64, 10))


def test_streamed_samples_are_not_kept():
  few, many = streamed(50), streamed(400)
  assert many < _FLOAT * 400 * 5_000 * 10 / 8
  # The keys are copied.
  assert many <= few + 16 * 400


def test_candidates_never_meet_all_configurations_at_once():
  """[N, num_samples] would be larger than all samples together."""
  size = every_kernel.bytes_of('batch_bald', MANY)
  assert size < _FLOAT * MANY.num_points * MANY.num_samples / 8


def test_neighbours_are_summed_without_their_rows_being_kept():
  """[N, neighbours, C] is what a gather of all neighbours would be."""
  graph = kernels.Graph(int32(20_000, 50), float32(20_000, 50))
  solve = functools.partial(kernels.label_propagation, num_classes=100)
  size = temporary(solve, graph, int32(20_000))
  assert size < _FLOAT * 20_000 * 50 * 100 / 2


def test_gradients_of_one_chunk_at_a_time():
  """Sketched, memory does not grow with N; [N, P] never exists."""

  def loss_fn(weights, inputs):
    return jnp.sum(jnp.tanh(inputs @ weights))

  differentiate = functools.partial(
    kernels.per_example_gradients, loss_fn, sketch_dim=64, key=key()
  )
  few, many = (
    temporary(differentiate, float32(100, 200), float32(num_points, 100))
    for num_points in (1_600, 16_000)
  )
  assert many <= few + 1024
  assert many < _FLOAT * 16_000 * 100 * 200 / 100


@pytest.mark.parametrize(
  'name', ['uniform', 'top_k', 'stochastic_top_k by power']
)
def test_random_picks_of_a_large_pool_take_a_few_numbers_per_point(name):
  size = every_kernel.bytes_of(name, MANY)
  assert size < 20 * _FLOAT * MANY.num_points
