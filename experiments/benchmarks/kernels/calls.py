"""Times calls of kernels as users write them, with and without a jit.

Run as `python -m experiments.benchmark calls`.

Kernels that loop are jitted where they are defined: the first plain call
compiles and a second one does not. `compiling` is the first plain call and
`time` a later one. `against` is a later call under the caller's own `jax.jit`,
whose first call is in the note.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from al_jax import kernels
from experiments.benchmarks import timing
from experiments.benchmarks.table import Row


def measure(
  num_points: int = 1000,
  num_features: int = 64,
  num_classes: int = 10,
  num_samples: int = 20,
  k: int = 32,
) -> Iterator[Row]:
  """Times each kernel that loops.

  Args:
    num_points: N.
    num_features: D.
    num_classes: C.
    num_samples: S.
    k: number of picks; BatchBALD picks a quarter as many, and graphs have as
      few neighbours.

  Yields:
    Rows.
  """
  rng = np.random.default_rng(0)

  def floats(*shape):
    return jax.device_put(rng.normal(size=shape).astype(np.float32))

  key = jax.random.key(0)
  points, scores = floats(num_points, num_features), floats(num_points) ** 2
  factors = kernels.Factors(floats(num_points, num_classes), points)
  mc_logits = floats(num_samples, num_points, num_classes)
  graph = kernels.knn_graph(points, 10)
  known = jax.device_put(rng.integers(-1, num_classes, num_points))
  labeled = known >= 0
  few = {'k': max(1, k // 4)}
  many = {'k': k}
  classes = {'num_classes': num_classes}
  calls = [
    (kernels.bald, {}, mc_logits),
    (kernels.batch_bald, few, key, mc_logits),
    (kernels.diffusion_selection, many, key, graph, labeled),
    (kernels.graph_density, many, key, graph),
    (kernels.hybrid_informativeness, many, scores, points),
    (kernels.k_center, many, points),
    (kernels.k_means, many, key, points),
    (kernels.kmeans_plus_plus, many, key, factors),
    (kernels.knn_graph, few, points),
    (kernels.label_propagation, classes, graph, known),
    (kernels.lcmd, many, points),
    (kernels.mean_std, {}, mc_logits),
    (kernels.squared_distances, {}, points, points),
    (kernels.stochastic_top_k, many, key, scores),
    (kernels.top_k, many, scores),
    (kernels.uniform, many, key, labeled),
  ]
  for kernel, options, *arguments in calls:
    function = functools.partial(kernel, **options)
    yield _row(kernel.__name__, function, arguments)


def _row(name: str, function: Callable[..., Any], arguments: list[Any]) -> Row:
  times = []
  for run in (function, jax.jit(function)):
    # Neither may reuse a program that the other compiled.
    jax.clear_caches()
    call = functools.partial(run, *arguments)
    first = timing.seconds_of(call)
    later = float(np.median([timing.seconds_of(call) for _ in range(9)]))
    times.append((first, later))
  (first, later), (jitted_first, jitted_later) = times
  return Row(
    name,
    later,
    jitted_later,
    "under the caller's jit",
    later / jitted_later,
    compiling=first,
    note=f'first call there {jitted_first:.2f} s',
  )
