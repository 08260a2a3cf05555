"""Rows of scores, of selections by score, and of stream budget managers.

In the table of `python -m experiments.benchmark kernels`.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from al_jax import kernels
from experiments.benchmarks import costs, plain, timing
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine, Peer


def of_one_prediction(
  machine: Machine,
  *,
  num_points: int = 200_000,
  num_classes: int = 10,
  repeats: int = 5,
) -> Iterator[Row]:
  """Compares scores of one prediction with NumPy."""
  rng = np.random.default_rng(0)
  logits = 3 * rng.standard_normal((num_points, num_classes), np.float32)
  embedding = rng.standard_normal((num_points, 16), np.float32)
  softmax = functools.partial(scipy.special.softmax, axis=1)

  def margin(logits):
    two = np.partition(softmax(logits), -2, axis=1)[:, -2:]
    return two[:, 0] - two[:, 1]

  def online(logits):
    probs = softmax(logits)
    top = probs.max(axis=1)
    rest = num_classes - 1
    mean = 1 / num_classes
    least = (top - mean) ** 2 + rest * ((1 - top) / rest - mean) ** 2
    return 1 - top * (least / num_classes) / probs.var(axis=1)

  size = f'N {num_points:,} C {num_classes}'
  for name, reference in (
    ('entropy', lambda logits: scipy.stats.entropy(softmax(logits), axis=1)),
    ('least_confidence', lambda logits: 1 - softmax(logits).max(axis=1)),
    ('margin', margin),
    ('online_uncertainty', online),
  ):
    cost = getattr(costs, name)(num_points=num_points, num_classes=num_classes)
    yield from _beside_numpy(
      machine, name, size, cost, repeats, reference, logits
    )
  cost = costs.gradient_factors(
    num_points=num_points, num_features=16, num_classes=num_classes
  )

  def residuals(logits, embedding):
    probs = softmax(logits)
    probs[np.arange(len(probs)), probs.argmax(axis=1)] -= 1
    return probs, embedding

  yield from _beside_numpy(
    machine,
    'gradient_factors',
    size,
    cost,
    repeats,
    residuals,
    logits,
    embedding,
  )


def of_samples(
  machine: Machine,
  *,
  num_samples: int = 50,
  num_points: int = 10_000,
  num_classes: int = 10,
  repeats: int = 5,
) -> Iterator[Row]:
  """Compares BALD and other scores of stored samples with NumPy."""
  rng = np.random.default_rng(0)
  shape = (num_samples, num_points, num_classes)
  mc_logits = 3 * rng.standard_normal(shape, np.float32)
  softmax = functools.partial(scipy.special.softmax, axis=-1)

  def bald(mc_logits):
    probs = softmax(mc_logits)
    own = scipy.special.entr(probs).sum(axis=-1).mean(axis=0)
    return scipy.special.entr(probs.mean(axis=0)).sum(axis=-1) - own

  def variation_ratio(mc_logits):
    voted = mc_logits.argmax(axis=-1)[..., None] == np.arange(num_classes)
    return 1 - voted.sum(axis=0).max(axis=-1) / num_samples

  for name, reference in (
    ('bald', bald),
    ('mean_std', lambda logits: softmax(logits).std(axis=0).mean(axis=-1)),
    ('variation_ratio', variation_ratio),
    ('predictive_log_probs', lambda logits: np.log(softmax(logits).mean(0))),
  ):
    cost = getattr(costs, name)(
      num_samples=num_samples, num_points=num_points, num_classes=num_classes
    )
    size = f'S {num_samples} N {num_points:,} C {num_classes}'
    yield from _beside_numpy(
      machine, name, size, cost, repeats, reference, mc_logits
    )


def picks(
  machine: Machine,
  *,
  num_points: int = 1_000_000,
  k: int = 100,
  repeats: int = 5,
) -> Iterator[Row]:
  """Times selections of the best k, and of random ones, from a large pool."""
  rng = np.random.default_rng(0)
  scores = rng.random(num_points, np.float32)
  coarse = np.round(50 * scores) / 50
  eligible = rng.random(num_points) < 0.5
  key = jax.random.key(0)

  size = f'N {num_points:,} k {k}'
  sizes = {'num_points': num_points, 'k': k}
  for what, program, reference, cost in (
    (
      'top_k',
      CompiledCall(functools.partial(kernels.top_k, k=k), scores),
      lambda: _best(scores, k),
      costs.top_k(**sizes),
    ),
    (
      'top_k with ties',
      CompiledCall(
        lambda key, scores: kernels.top_k(scores, k, key=key), key, coarse
      ),
      lambda: np.lexsort((rng.random(num_points), coarse))[-k:],
      costs.top_k(random_ties=True, **sizes),
    ),
    (
      'uniform',
      CompiledCall(
        functools.partial(kernels.uniform, k=k),
        key,
        eligible,
      ),
      lambda: rng.choice(np.flatnonzero(eligible), k, replace=False),
      costs.uniform(**sizes),
    ),
    *_draws(k, key, scores, rng),
  ):
    yield from timing.beside(
      f'{what}, {size}',
      program,
      [Peer('NumPy', functools.partial(timing.timed, reference))],
      bound=machine.least(cost),
      repeats=repeats,
    )


def _best(scores, k):
  top = np.argpartition(scores, -k)[-k:]
  return top[np.argsort(-scores[top])]


def _draws(k, key, scores, rng):
  """Lists the draws by score: name, al_jax's call, NumPy's, and the cost."""
  num_points = len(scores)
  return (
    (
      'stochastic_top_k, power',
      _stochastic('power', k, key, scores),
      lambda: _best(np.log(scores) + rng.gumbel(size=num_points), k),
      costs.stochastic_top_k(kind='power', num_points=num_points, k=k),
    ),
    (
      'stochastic_top_k, softmax',
      _stochastic('softmax', k, key, scores),
      lambda: _best(scores + rng.gumbel(size=num_points), k),
      costs.stochastic_top_k(kind='softmax', num_points=num_points, k=k),
    ),
    (
      'stochastic_top_k, softrank',
      _stochastic('softrank', k, key, scores),
      lambda: _best(
        -np.log1p(np.argsort(np.argsort(-scores)))
        + rng.gumbel(size=num_points),
        k,
      ),
      costs.stochastic_top_k(kind='softrank', num_points=num_points, k=k),
    ),
  )


def stream(
  machine: Machine, *, length: int = 10_000, repeats: int = 3
) -> Iterator[Row]:
  """Compares budget managers in a scan with Python loops."""
  rng = np.random.default_rng(0)
  utilities = rng.random(length, np.float32)
  budget, window = 0.1, 100
  for name, options, ask in (
    ('spend_fixed', {'num_classes': 10}, lambda: _ask_fixed(budget, window)),
    ('spend_variable', {}, lambda: _ask_variable(budget, window)),
    (
      'spend_random_variable',
      {},
      lambda: _ask_variable(budget, window, noise=rng.standard_normal),
    ),
    ('spend_quantile', {}, lambda: _ask_quantile(budget, window)),
    ('spend_balanced', {}, lambda: _ask_balanced(budget, window)),
  ):
    spend = functools.partial(getattr(kernels, name), **options)
    cost = getattr(costs, name)()
    yield from timing.beside(
      f'{name}, {length:,} examples',
      CompiledCall(_in_scan(spend), jax.random.key(0), utilities),
      [
        Peer(
          'a loop of NumPy',
          functools.partial(
            timing.timed,
            lambda ask=ask: plain.numpy_stream(utilities, ask()),
          ),
        )
      ],
      bound=length * machine.least(cost),
      repeats=repeats,
    )


def _beside_numpy(machine, name, size, cost, repeats, reference, *arrays):
  yield from timing.beside(
    f'{name}, {size}',
    CompiledCall(getattr(kernels, name), *arrays),
    [Peer('NumPy and SciPy', lambda: timing.timed(lambda: reference(*arrays)))],
    bound=machine.least(cost),
    repeats=repeats,
  )


def _stochastic(kind, k, key, scores):
  return CompiledCall(
    functools.partial(kernels.stochastic_top_k, k=k, kind=kind), key, scores
  )


def _in_scan(spend: Callable[..., Any]):
  """Runs a manager over a whole stream: (key, utilities) -> bool[T]."""

  def over(key, utilities):
    keys = jax.random.split(key, len(utilities))
    _, asked = jax.lax.scan(
      lambda state, now: spend(now[0], state, now[1]),
      kernels.start_spending(),
      (keys, utilities),
    )
    return jnp.asarray(asked)

  return over


def _ask_fixed(budget, window, num_classes=10):
  threshold = 1 / num_classes + budget * (1 - 1 / num_classes)

  def ask(spent, utility):
    this = spent < budget and 1 - utility <= threshold
    return spent + (this - spent) / window, this

  return ask


def _ask_variable(budget, window, step=0.01, noise=None):
  threshold = 1.0

  def ask(spent, utility):
    nonlocal threshold
    factor = 1.0 if noise is None else 1.0 + noise()
    this = False
    if spent < budget:
      this = bool(1 - utility < threshold * factor)
      threshold = min(threshold * (1 - step if this else 1 + step), 1.0)
    return spent + (this - spent) / window, this

  return ask


def _ask_quantile(budget, window):
  recent = []

  def ask(spent, utility):
    recent.append(utility)
    del recent[:-window]
    this = bool(spent < budget and utility >= np.quantile(recent, 1 - budget))
    return spent + (this - spent) / window, this

  return ask


def _ask_balanced(budget, window, tolerance=50):
  recent, left = [], 0.0

  def ask(spent, utility):
    nonlocal left
    recent.append(utility)
    del recent[:-window]
    left += budget
    spread = max(recent) - min(recent)
    threshold = np.quantile(recent, 1 - budget) - spread * left / tolerance
    this = bool(utility >= threshold and left > -tolerance)
    left -= this
    return spent + (this - spent) / window, this

  return ask
