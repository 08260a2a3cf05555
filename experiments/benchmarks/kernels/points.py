"""Rows of k-center, k-means and distances.

In the table of `python -m experiments.benchmark kernels`.
"""

import functools
from collections.abc import Iterator

import jax
import numpy as np

from al_jax import kernels
from experiments.benchmarks import costs, peers, plain, timing
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine, Peer

# Picks that are timed of what takes as long for each; the others follow.
_FEW, _MANY = 1, 11


def covering(
  machine: Machine,
  *,
  num_points: int = 50_000,
  num_features: int = 512,
  num_labeled: int = 1_000,
  k: int = 1_000,
  picks_per_pass: int = 101,
  repeats: int = 3,
) -> Iterator[Row]:
  """k-center from the labelled points."""
  rng = np.random.default_rng(0)
  points = np.maximum(
    rng.standard_normal((num_points, num_features), np.float32), 0
  )
  labeled = np.arange(num_points) < num_labeled
  ours = CompiledCall(
    lambda points, centers: kernels.k_center(points, k, centers=centers),
    points,
    labeled,
  )
  plainly = _plain_calls(points, num_labeled, (_FEW, picks_per_pass))
  same = np.mean(
    np.asarray(plainly[picks_per_pass]())
    == np.asarray(ours().indices)[:picks_per_pass]
  )

  cost = costs.k_center(
    num_points=num_points,
    num_features=num_features,
    k=k,
    num_centers=num_labeled,
  )
  yield from timing.beside(
    f'k-center from {num_labeled:,}, N {num_points:,} D {num_features} k {k:,}',
    ours,
    [
      Peer(
        f'a pass per pick, {picks_per_pass} picks',
        lambda: functools.partial(
          timing.extrapolated,
          lambda picks: plainly[picks](),
          _FEW,
          picks_per_pass,
          k,
        ),
        at_most=0.125,
        note=f'{same:.0%} of {picks_per_pass} picks identical',
      ),
      Peer(
        f'scikit-activeml, {_MANY} picks',
        lambda: _seconds_in_activeml(points, labeled, k),
        at_most=1 / 80,
        once=True,
      ),
    ],
    bound=machine.least(cost),
    repeats=repeats,
  )


def _plain_calls(points, num_labeled, numbers):
  """Compiles a pass per pick, for so many picks."""
  return {
    picks: CompiledCall(
      functools.partial(plain.one_center_per_pass, k=picks),
      points,
      np.arange(num_labeled),
    )
    for picks in numbers
  }


def _seconds_in_activeml(points, labeled, k):
  select = peers.activeml_core_set(points, labeled)
  return lambda: timing.extrapolated(select, _FEW, _MANY, k)


def clustering(
  machine: Machine,
  *,
  num_points: int = 20_000,
  num_features: int = 64,
  k: int = 100,
  num_iters: int = 20,
  repeats: int = 3,
) -> Iterator[Row]:
  """k-means beside scikit-learn's."""
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
  """Squared distances beside scikit-learn's."""
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
