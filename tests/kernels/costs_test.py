"""Predicted costs against what the compiler counts."""

import functools

import jax
import jax.numpy as jnp
import pytest

from al_jax import kernels
from al_jax.kernels import costs, distances

cpu_only = pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='reads the CPU program'
)


def array(*shape):
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def extra_bytes(kernel, *args):
  compiled = jax.jit(kernel).lower(*args).compile()
  return compiled.memory_analysis().temp_size_in_bytes


@cpu_only
def test_operations_of_distances_are_those_of_the_compiled_program():
  a, b = (
    kernels.Factors(array(num, 10), array(num, 64)) for num in (3_000, 200)
  )

  def expanded(a, b):
    norms = distances.squared_norms(a), distances.squared_norms(b)
    return distances.expanded_squared_distances(a, b, *norms)

  counted = jax.jit(expanded).lower(a, b).compile().cost_analysis()
  predicted = costs.squared_distances(
    num_a=3_000, num_b=200, num_features=64, num_classes=10
  )
  assert predicted.operations == pytest.approx(counted['flops'], rel=0.2)


@cpu_only
@pytest.mark.parametrize('num_classes', [0, 20])
def test_memory_of_kmeans_plus_plus_is_within_a_factor_of_two(num_classes):
  points = array(30_000, 64)
  if num_classes:
    points = kernels.Factors(array(30_000, num_classes), points)
  measured = extra_bytes(
    functools.partial(kernels.kmeans_plus_plus, k=500),
    jax.random.key(0),
    points,
  )
  predicted = costs.kmeans_plus_plus(
    num_points=30_000, num_features=64, num_classes=num_classes, k=500
  )
  assert 0.5 < measured / predicted.extra_bytes < 2


@cpu_only
def test_memory_of_k_means_is_within_a_factor_of_two():
  measured = extra_bytes(
    functools.partial(kernels.k_means, k=100),
    jax.random.key(0),
    array(20_000, 64),
  )
  predicted = costs.k_means(
    num_points=20_000, num_features=64, k=100, num_iters=10
  )
  assert 0.5 < measured / predicted.extra_bytes < 2


@cpu_only
def test_memory_of_distances_and_gradients_is_within_a_factor_of_two():
  a, b = array(2_000, 64), array(300, 64)
  predicted = costs.squared_distances(num_a=2_000, num_b=300, num_features=64)
  measured = extra_bytes(kernels.squared_distances, a, b)
  assert 0.5 < measured / predicted.extra_bytes < 2

  def loss_fn(params, inputs):
    return jnp.sum(jnp.tanh(inputs @ params))

  measured = extra_bytes(
    functools.partial(
      kernels.per_example_gradients, loss_fn, key=jax.random.key(0),
      sketch_dim=64,
    ),
    array(300, 200),
    array(1_000, 300),
  )  # fmt: skip
  predicted = costs.per_example_gradients(
    num_points=1_000,
    num_params=60_000,
    operations_of_one=4 * 60_000,
    activations_of_one=200,
    sketch_dim=64,
  )
  assert 0.5 < measured / predicted.extra_bytes < 2


def test_more_points_features_classes_and_picks_cost_more():
  sizes = {'num_points': 1_000, 'num_features': 64, 'num_classes': 10, 'k': 50}
  for cost_of in (
    costs.kmeans_plus_plus,
    functools.partial(costs.k_means, num_iters=5),
  ):
    base = cost_of(**sizes)
    for name, size in sizes.items():
      larger = cost_of(**{**sizes, name: 2 * size})
      assert larger.operations > base.operations
      assert larger.extra_bytes > base.extra_bytes
  base = costs.gradient_factors(num_points=10, num_features=4, num_classes=3)
  assert base.operations > 0
