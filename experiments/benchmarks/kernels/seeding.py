"""Rows of k-means++ on the gradients of a network.

In the table of `python -m experiments.benchmark kernels`.
"""

import functools
from collections.abc import Iterator, Mapping

import jax
import numpy as np

from al_jax import kernels
from al_jax.kernels import Factors
from experiments.benchmarks import costs, peers, plain, timing
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine, Peer

# Picks timed of algorithms whose picks all take as long; the rest is
# extrapolated.
_FEW, _MANY = 1, 11
# Bytes of points that a peer may multiply out.
_MULTIPLIED_OUT = 2.5e9


def gradients(
  num_points: int, num_features: int, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
  """Draws probabilities [N, C] and embeddings [N, D] of an uncertain network.

  They are random, after a softmax and a ReLU.
  """
  rng = np.random.default_rng(0)
  logits = 2 * rng.standard_normal((num_points, num_classes), np.float32)
  probs = np.exp(logits)
  embedding = rng.standard_normal((num_points, num_features), np.float32)
  return probs / probs.sum(axis=1, keepdims=True), np.maximum(embedding, 0)


def residuals_of(probs: np.ndarray) -> np.ndarray:
  """Returns the left factors: probabilities minus the one-hot prediction."""
  return probs - np.eye(probs.shape[1], dtype=probs.dtype)[probs.argmax(axis=1)]


def beside_all(
  machine: Machine,
  *,
  num_classes: int,
  num_points: int = 50_000,
  num_features: int = 512,
  k: int = 1_000,
  picks_per_pass: int = 101,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares k-means++ on Factors with all peers.

  Args:
    machine: rates for the bounds.
    num_classes: C.
    num_points: N.
    num_features: D.
    k: number of picks.
    picks_per_pass: number of picks timed of peers that pass over the pool for
      each pick; the rest is extrapolated.
    repeats: number of pairs of measurements.

  Yields:
    Rows.
  """
  probs, embedding = gradients(num_points, num_features, num_classes)
  factors = Factors(residuals_of(probs), embedding)
  ours = _seeding_of(factors, k)
  sizes = {
    'num_points': num_points,
    'num_features': num_features,
    'num_classes': num_classes,
    'k': k,
  }
  what = f'k-means++ on Factors, {in_short(sizes)}'
  bound = machine.least(costs.kmeans_plus_plus(**sizes))
  yield timing.beside_floor(
    what,
    ours,
    'matrix-multiply floor',
    floor(machine, **sizes),
    at_most=1.5,
    repeats=repeats + 2,
    bound=bound,
    bytes_at_most=64e6,
  )
  yield from timing.beside(
    what,
    ours,
    [
      Peer(
        f'a pass per pick, {picks_per_pass} picks',
        lambda: _one_seed_per_pass(factors, picks_per_pass, k),
        at_most=0.1,
      ),
      Peer(
        f'NumPy, {picks_per_pass} picks',
        lambda: _numpy_seeds(factors, picks_per_pass, k),
        at_most=0.125,
      ),
      _activeml_badge(probs, embedding, k),
      _distil_badge(factors, k),
    ],
    bound=bound,
    repeats=repeats,
  )


def _seeding_of(factors, k):
  return CompiledCall(
    functools.partial(kernels.kmeans_plus_plus, k=k), jax.random.key(0), factors
  )


def of_few(
  machine: Machine,
  *,
  num_points: int = 10_000,
  num_features: int = 256,
  num_classes: int = 10,
  k: int = 100,
  repeats: int = 7,
) -> Iterator[Row]:
  """Times k-means++ on Factors with few picks."""
  probs, embedding = gradients(num_points, num_features, num_classes)
  factors = Factors(residuals_of(probs), embedding)
  ours = _seeding_of(factors, k)
  sizes = {
    'num_points': num_points,
    'num_features': num_features,
    'num_classes': num_classes,
    'k': k,
  }
  what = f'k-means++ on Factors, {in_short(sizes)}'
  bound = machine.least(costs.kmeans_plus_plus(**sizes))
  yield timing.beside_floor(
    what,
    ours,
    'matrix-multiply floor',
    floor(machine, **sizes),
    at_most=3.0,
    repeats=repeats,
    bound=bound,
  )
  out = _multiplied_out(factors)

  def in_sklearn():
    seeds = peers.sklearn_seeds(out)
    return timing.timed(lambda: seeds(k))

  yield from timing.beside(
    what,
    ours,
    [Peer('sklearn, multiplied out', in_sklearn)],
    bound=bound,
    repeats=3,
  )


def skipping(
  machine: Machine,
  factors: Factors,
  name: str,
  *,
  k: int = 1_000,
  repeats: int = 7,
) -> Iterator[Row]:
  """Compares k-means++ with one that visits the pool after each block.

  The kernel visits the pool only when that pays.

  Args:
    machine: rates for the bounds.
    factors: gradients of a trained network.
    name: name of the data.
    k: number of picks.
    repeats: number of pairs of measurements.

  Yields:
    Rows.
  """
  select = functools.partial(kernels.kmeans_plus_plus, k=k)
  key = jax.random.key(0)
  ours = CompiledCall(select, key, factors)
  always = CompiledCall(functools.partial(select, patience=0), key, factors)
  num_points, num_classes = factors.left.shape
  sizes = {
    'num_points': num_points,
    'num_features': factors.right.shape[1],
    'num_classes': num_classes,
    'k': k,
  }
  what = f'k-means++, {name}, k {k:,}'
  bound = machine.least(costs.kmeans_plus_plus(**sizes))
  yield from timing.beside(
    what,
    ours,
    [Peer('a visit after each block', lambda: always.seconds, at_most=0.7)],
    bound=bound,
    repeats=repeats,
  )
  yield timing.beside_floor(
    what,
    ours,
    'matrix-multiply floor',
    floor(machine, **sizes),
    repeats=repeats,
    bound=bound,
  )


def floor(
  machine: Machine,
  *,
  num_points: int,
  num_features: int,
  num_classes: int,
  k: int,
) -> float:
  """Returns the seconds for the products of all points with all picks."""
  dim = num_features + num_classes
  return 2 * num_points * dim * k / machine.operations_per_second


def in_short(sizes: Mapping[str, int]) -> str:
  """Formats the sizes of a selection, for the name of a row."""
  return (
    f'N {_short(sizes["num_points"])} D {sizes["num_features"]} '
    f'C {sizes["num_classes"]} k {_short(sizes["k"])}'
  )


def _one_seed_per_pass(factors, picks, k):
  program = CompiledCall(
    functools.partial(plain.one_seed_per_pass, k=picks),
    jax.random.key(0),
    factors,
  )
  return lambda: program.seconds() * k / picks


def _numpy_seeds(factors, picks, k):
  return lambda: (
    timing.seconds_of(lambda: plain.numpy_seeds(*factors, picks)) * k / picks
  )


def _activeml_badge(probs, embedding, k):
  """Makes a peer in float64, on as many multiplied-out points as fit."""
  num_points = len(probs)
  of_one = 8 * probs.shape[1] * embedding.shape[1]
  timed_points = min(num_points, int(_MULTIPLIED_OUT / of_one) // 1000 * 1000)
  timed_points = timed_points or min(num_points, 1000)

  def prepare():
    select = peers.activeml_badge(
      probs[:timed_points], embedding[:timed_points]
    )
    share = num_points / timed_points
    return lambda: share * timing.extrapolated(select, _FEW, _MANY, k)

  note = ''
  if timed_points < num_points:
    note = f'scikit-activeml at N {timed_points:,}, extrapolated'
  return Peer(
    f'scikit-activeml, {_MANY} picks', prepare, 1 / 500, once=True, note=note
  )


def _distil_badge(factors, k):
  """Makes a peer in float32, on as many multiplied-out points as fit."""
  num_points = len(factors.left)
  of_one = 4 * factors.left.shape[1] * factors.right.shape[1]
  timed_points = min(num_points, int(_MULTIPLIED_OUT / of_one) // 1000 * 1000)
  timed_points = timed_points or min(num_points, 1000)

  def prepare():
    few = Factors(*(part[:timed_points] for part in factors))
    select = peers.distil_badge(_multiplied_out(few))
    share = num_points / timed_points
    # Its first two picks cost less than the others.
    return lambda: share * timing.extrapolated(select, 2, 6, k)

  note = ''
  if timed_points < num_points:
    note = f'decile-distil at N {timed_points:,}, extrapolated'
  return Peer('decile-distil, 6 picks', prepare, once=True, note=note)


def _multiplied_out(factors):
  left, right = factors
  return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def _short(number):
  return f'{number // 1000}k' if number >= 10_000 else f'{number:,}'
