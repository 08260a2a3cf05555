"""Times selections that cover points, and counts the pairs they compare.

Run as `python -m experiments.benchmark covering`.

k-center and hybrid selection run on random points. k-center also runs on
features of CIFAR-10's pictures, and on patches at the size of PatchCore's
memory bank (Roth et al. 2022), where it picks a tenth of all points. `pairs` is
the share of the N (K + M) pairs of a point and a center whose distance was
computed.
"""

import functools
import importlib
from collections.abc import Iterator

import jax
import numpy as np

from al_jax import data, kernels
from al_jax.models.backbones import PACKAGED
from experiments.benchmarks import costs, peers, plain, timing
from experiments.benchmarks.peers import NotInstalled
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine, Peer

# Picks timed of algorithms whose picks all take as long; the rest is
# extrapolated.
_FEW, _MANY = 1, 101
_PICKS_PER_PASS = 101
# Number of pictures, and pixels that a patch extends in each direction.
_PICTURES, _REACH = 280, 2
_PATCH_FEATURES = 303


def measure() -> Iterator[Row]:
  """Yields every measurement of covering."""
  machine, rows = timing.measure_machine()
  yield from rows
  yield from random_points(machine)
  yield from random_points(machine, num_labeled=0)
  yield from hybrid(machine)
  try:
    features, patches = cifar10_features(), cifar10_patches()
  except NotInstalled as missing:
    yield Row('k-center of CIFAR-10', None, note=f'no {missing.package}')
    return
  for num_labeled in (1_000, 0):
    yield from beside_passes(machine, 'CIFAR-10', features, num_labeled, 1_000)
  yield from memory_bank(machine, patches, len(patches) // 10)


def random_points(
  machine: Machine,
  *,
  num_points: int = 50_000,
  num_features: int = 512,
  num_labeled: int = 1_000,
  k: int = 1_000,
  picks_per_pass: int = _PICKS_PER_PASS,
  repeats: int = 3,
) -> Iterator[Row]:
  """Times k-center on features after a ReLU, from the labelled points."""
  points = _rectified(num_points, num_features)
  labeled = np.arange(num_points) < num_labeled
  others = []
  if num_labeled:
    others.append(
      Peer(
        f'scikit-activeml, {_MANY} picks',
        lambda: _seconds_in_activeml(points, labeled, k),
        at_most=1 / 200,
        once=True,
      )
    )
  yield from beside_passes(
    machine,
    'random',
    points,
    num_labeled,
    k,
    others=others,
    picks_per_pass=picks_per_pass,
    repeats=repeats,
  )


def beside_passes(
  machine: Machine,
  name: str,
  points: np.ndarray,
  num_labeled: int,
  k: int,
  *,
  others: list[Peer] | None = None,
  picks_per_pass: int = _PICKS_PER_PASS,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares k-center with one pass over the pool per pick, and with others."""
  num_points, num_features = points.shape
  labeled = np.arange(num_points) < num_labeled if num_labeled else None
  ours, share = _ours(points, labeled, k)
  indices = np.asarray(ours().indices)
  starts = np.arange(num_labeled) if num_labeled else indices[:1]
  calls = {
    picks: CompiledCall(
      functools.partial(plain.one_center_per_pass, k=picks), points, starts
    )
    for picks in (_FEW, picks_per_pass)
  }
  ours_then = indices[0 if num_labeled else 1 :][:picks_per_pass]
  theirs = np.asarray(calls[picks_per_pass]())[: len(ours_then)]
  same = np.mean(theirs == ours_then)
  passes = Peer(
    f'a pass per pick, {picks_per_pass} picks',
    lambda: functools.partial(
      timing.extrapolated,
      lambda picks: calls[picks](),
      _FEW,
      picks_per_pass,
      k,
    ),
    at_most=1 / 20,
    note=f'pairs {share:.1%}; {same:.0%} of {picks_per_pass} picks identical',
  )
  cost = costs.k_center(
    num_points=num_points,
    num_features=num_features,
    k=k,
    num_centers=num_labeled,
    share=share,
  )
  yield from timing.beside(
    f'k-center, {name}, {num_labeled:,} + {k:,} of {num_points:,}',
    ours,
    [passes, *(others or [])],
    bound=machine.least(cost),
    repeats=repeats,
  )


def memory_bank(
  machine: Machine,
  points: np.ndarray,
  k: int,
  *,
  picks_in_torch: int = 101,
) -> Iterator[Row]:
  """Compares PatchCore's coreset selection, none labelled, with PyTorch."""
  num_points, num_features = points.shape
  ours, share = _ours(points, None, k)
  cost = costs.k_center(
    num_points=num_points, num_features=num_features, k=k, share=share
  )

  def seconds_in_torch():
    select = peers.torch_k_center(points)
    return lambda: timing.extrapolated(select, _FEW, picks_in_torch, k)

  yield from timing.beside(
    f'k-center, patches, {k:,} of {num_points:,}',
    ours,
    [
      Peer(
        f'PyTorch, {picks_in_torch} picks',
        seconds_in_torch,
        once=True,
        note=f'pairs {share:.1%}',
      )
    ],
    bound=machine.least(cost),
    repeats=1,
  )


def hybrid(
  machine: Machine,
  *,
  num_points: int = 50_000,
  num_features: int = 512,
  num_labeled: int = 1_000,
  k: int = 1_000,
  num_references: int = 500,
  picks: int = 51,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares hybrid selection with one that passes over all points per pick."""
  points = _rectified(num_points, num_features)
  scores = np.random.default_rng(1).random(num_points, np.float32)
  labeled = np.arange(num_points) < num_labeled
  ours = CompiledCall(
    lambda key, scores, points, labeled: kernels.hybrid_informativeness(
      scores,
      points,
      k,
      eligible=~labeled,
      labeled=labeled,
      key=key,
      num_references=num_references,
    ),
    jax.random.key(0),
    scores,
    points,
    labeled,
  )
  references = np.arange(num_labeled, num_labeled + num_references)

  def select(picks):
    return plain.numpy_hybrid(
      scores, points, references, picks, labeled=labeled
    )

  yield from timing.beside(
    f'hybrid, random, {num_labeled:,} + {k:,} of {num_points:,}',
    ours,
    [
      Peer(
        f'NumPy, {picks} picks',
        lambda: functools.partial(timing.extrapolated, select, _FEW, picks, k),
      )
    ],
    bound=machine.least(
      costs.hybrid_informativeness(
        num_points=num_points,
        num_features=num_features,
        k=k,
        num_labeled=num_labeled,
        num_references=num_references,
      )
    ),
    repeats=repeats,
  )


def cifar10_features() -> np.ndarray:
  """Loads EfficientNet-Lite0's features of 50,000 pictures, [50,000, 1,280].

  The options are those of `configs/backbones.py:cifar10`, whose cache is read.

  Raises:
    NotInstalled: CIFAR-10 or the weights are missing.
  """
  return _loaded({'source': 'embed:tfds:cifar10', **PACKAGED})


def cifar10_patches() -> np.ndarray:
  """Computes random features, after two ReLUs, of the patches of 280 pictures.

  There are as many points as PatchCore has for 280 pictures of 28 x 28
  positions, and as many features as anomalib's random projection leaves.

  Raises:
    NotInstalled: CIFAR-10 is missing.
  """
  pictures = _loaded('tfds:cifar10')[:_PICTURES].astype(np.float32) / 255
  size = 2 * _REACH + 1
  patches = np.lib.stride_tricks.sliding_window_view(
    pictures, (size, size), axis=(1, 2)
  ).reshape(-1, 3 * size * size)
  hidden, rng = patches - 0.5, np.random.default_rng(0)
  for width in (512, _PATCH_FEATURES):
    shape = hidden.shape[1], width
    weights = rng.standard_normal(shape, np.float32) * (2 / shape[0]) ** 0.5
    hidden = np.maximum(hidden @ weights, 0)
  return hidden


def _loaded(spec):
  """Loads the inputs of the training split."""
  try:
    return data.load(spec).train.inputs
  except (OSError, ImportError, ValueError) as error:
    raise NotInstalled('CIFAR-10 in TFDS_DATA_DIR') from error


def _rectified(num_points, num_features):
  rng = np.random.default_rng(0)
  points = rng.standard_normal((num_points, num_features), np.float32)
  return np.maximum(points, 0)


def _ours(points, labeled, k):
  """Returns the compiled kernel, and the share of pairs that it computes."""
  # `kernels.k_center` is the function of that name, not the module.
  module = importlib.import_module('al_jax.kernels.k_center')
  met = jax.jit(
    lambda points, centers: module.covering(points, k, None, centers, 128).met
  )(points, labeled)
  num_centers = k + (0 if labeled is None else labeled.sum())
  ours = CompiledCall(
    lambda points, centers: kernels.k_center(points, k, centers=centers),
    points,
    labeled,
  )
  return ours, float(np.mean(np.asarray(met, np.float64)) / num_centers)


def _seconds_in_activeml(points, labeled, k):
  select = peers.activeml_core_set(points, labeled)
  select(_FEW)  # so that lazy imports are not timed
  return lambda: timing.extrapolated(select, _FEW, _MANY, k)
