"""Rows of k-means and distances.

In the table of `python -m experiments.benchmark kernels`.
"""

import functools
from collections.abc import Iterator

import jax
import numpy as np

from al_jax import kernels
from experiments.benchmarks import costs, peers, timing
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine, Peer


def clustering(
  machine: Machine,
  *,
  num_points: int = 20_000,
  num_features: int = 64,
  k: int = 100,
  num_iters: int = 20,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares k-means with scikit-learn's."""
  rng = np.random.default_rng(0)
  points = rng.standard_normal((num_points, num_features), np.float32)
  ours = CompiledCall(
    functools.partial(kernels.k_means, k=k, num_iters=num_iters),
    jax.random.key(0),
    points,
  )
  cost = costs.k_means(
    num_points=num_points, num_features=num_features, k=k, num_iters=num_iters
  )
  yield from timing.beside(
    f'k-means, N {num_points:,} D {num_features} k {k}, {num_iters} iterations',
    ours,
    [
      Peer(
        'scikit-learn',
        lambda: timing.timed(peers.sklearn_k_means(points, k, num_iters)),
      )
    ],
    bound=machine.least(cost),
    repeats=repeats,
  )


def distances(
  machine: Machine,
  *,
  num_points: int = 20_000,
  num_others: int = 1_000,
  num_features: int = 256,
  repeats: int = 5,
) -> Iterator[Row]:
  """Compares squared distances with scikit-learn's."""
  rng = np.random.default_rng(0)
  a = rng.standard_normal((num_points, num_features), np.float32)
  b = rng.standard_normal((num_others, num_features), np.float32)
  cost = costs.squared_distances(
    num_a=num_points, num_b=num_others, num_features=num_features
  )
  yield from timing.beside(
    f'squared distances, {num_points:,} x {num_others:,}, D {num_features}',
    CompiledCall(kernels.squared_distances, a, b),
    [Peer('scikit-learn', lambda: timing.timed(peers.sklearn_distances(a, b)))],
    bound=machine.least(cost),
    repeats=repeats,
  )
