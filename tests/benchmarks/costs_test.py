"""Predicted costs against what the compiler counts."""

import doctest
import functools
import inspect
import pathlib

import jax
import pytest

from al_jax import kernels
from al_jax.kernels import distances
from experiments.benchmarks import costs
from tests.kernels import every_kernel
from tests.kernels.every_kernel import SMALL, float32

cpu_only = pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='reads the CPU program'
)
DOCUMENTATION = pathlib.Path(__file__).parents[2] / 'docs' / 'kernels.md'
# Below this a prediction may be too high: buffers of a loop and the like.
SLACK = 2**20


def test_every_public_kernel_has_a_cost():
  for name in kernels.__all__:
    if not inspect.isclass(getattr(kernels, name)):
      assert callable(getattr(costs, name, None)), name


@cpu_only
@pytest.mark.parametrize('name', every_kernel.calls(SMALL))
def test_memory_is_at_most_and_not_far_below_what_is_predicted(name):
  for sizes in (SMALL, every_kernel.large(name)):
    measured = every_kernel.bytes_of(name, sizes)
    predicted = every_kernel.calls(sizes)[name].cost.extra_bytes
    assert measured <= predicted * 1.05 + 4096
    assert predicted <= 4 * measured + SLACK


@cpu_only
def test_operations_of_distances_are_those_of_the_compiled_program():
  a, b = (
    kernels.Factors(float32(num, 10), float32(num, 64)) for num in (3_000, 200)
  )

  def expanded(a, b):
    norms = distances.squared_norms(a), distances.squared_norms(b)
    return distances.expanded_squared_distances(a, b, *norms)

  counted = jax.jit(expanded).lower(a, b).compile().cost_analysis()
  predicted = costs.squared_distances(
    num_a=3_000, num_b=200, num_features=64, num_classes=10
  )
  assert predicted.operations == pytest.approx(counted['flops'], rel=0.2)


def test_more_points_features_classes_and_picks_cost_more():
  sizes = {'num_points': 1_000, 'num_features': 64, 'num_classes': 10, 'k': 50}
  for cost_of in (
    costs.kmeans_plus_plus,
    costs.k_center,
    costs.knn_graph,
    costs.hybrid_informativeness,
    functools.partial(costs.k_means, num_iters=5),
  ):
    base = cost_of(**sizes)
    for name, size in sizes.items():
      larger = cost_of(**{**sizes, name: 2 * size})
      assert larger.operations > base.operations
      assert larger.extra_bytes >= base.extra_bytes


def test_the_least_time_is_the_longer_of_the_two():
  cost = costs.Cost(operations=12.0, num_bytes=6.0, extra_bytes=0.0)
  seconds = functools.partial(costs.least_seconds, cost)
  assert seconds(operations_per_second=2.0, bytes_per_second=2.0) == 6.0
  assert seconds(operations_per_second=6.0, bytes_per_second=1.0) == 6.0


def test_the_documentation_predicts_what_the_functions_do():
  found = doctest.testfile(str(DOCUMENTATION), module_relative=False)
  assert found.attempted > 5
  assert not found.failed
