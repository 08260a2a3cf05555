"""Checks the strategies and scores of other libraries with `al_jax.testing`.

    pip install -e '.[benchmark]'
    python -m experiments.benchmarks.contracts            # a minute
    python -m experiments.benchmarks.contracts broken     # only violations

Each is called as its own documentation says: with the candidates that may be
picked, no more picks than there are candidates, and a seed (NumPy's global one
if it takes no other). docs/contracts.md has the findings.
"""

import dataclasses
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from al_jax import kernels, testing
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.testing import linear
from experiments.benchmarks import peers

_EMBEDDING = {'embedding': ''}


@dataclasses.dataclass(frozen=True)
class Question:
  """Inputs of another library's query function.

  Attributes:
    points: Rows that were measured, float32 [M, D].
    labels: Their labels, float [M]; NaN where there is none.
    candidates: Positions among the points that may be picked.
    k: Number of picks, at most the number of candidates.
    seed: Seed of its random draws.
  """

  points: np.ndarray
  labels: np.ndarray
  candidates: np.ndarray
  k: int
  seed: int


def probabilities(points: np.ndarray) -> np.ndarray:
  """Returns the predictions of the linear network of the checks."""
  return special.softmax(np.asarray(points) @ linear.WEIGHTS, axis=1)


def asking(query: Callable[[Question], Any]) -> Strategy:
  """Makes a strategy from a function that returns positions of points."""

  def measure(key, apply, batch):
    return apply(batch.inputs).embedding

  def select(key, state, embedding, seen, pool, k):
    rows = np.flatnonzero(seen)
    eligible = np.asarray(pool_lib.eligible(pool))[rows]
    known = np.asarray(pool_lib.trainable(pool))[rows]
    candidates = np.flatnonzero(eligible)
    number = min(k, len(candidates))
    indices = np.full(k, -1, np.int32)
    if number:
      question = Question(
        points=np.asarray(embedding)[rows],
        labels=np.where(known, np.asarray(pool.targets)[rows], np.nan),
        candidates=candidates,
        k=number,
        seed=int(jax.random.randint(key, (), 0, 2**31 - 1)),
      )
      picks = np.asarray(query(question))
      indices[: len(picks)] = rows[picks]
    return state, kernels.Selection(jnp.asarray(indices), jnp.zeros(k))

  return Strategy(lambda facts: (), measure, select, needs=_EMBEDDING)


class Known:
  """A trained classifier with scikit-learn's interface."""

  def predict_proba(self, X):  # noqa: N803  scikit-learn's name.
    """Returns the probabilities of classes."""
    return probabilities(X)


def activeml() -> Iterator[tuple[str, Strategy]]:
  """Yields the strategies of scikit-activeml."""
  pool = peers.imported('skactiveml.pool', 'scikit-activeml')
  base = peers.imported('skactiveml.base', 'scikit-activeml')

  class KnownThere(Known, base.SkactivemlClassifier):
    """The classifier with scikit-activeml's base class."""

    def fit(self, X, y, sample_weight=None):  # noqa: N803  scikit-learn's name.
      return self

  def of(make, with_model, **options):
    def query(asked):
      more = {}
      if with_model:
        classes = np.arange(linear.C)
        more = {'clf': KnownThere(classes=classes), 'fit_clf': False}
      return make(random_state=asked.seed % 2**31, **options).query(
        asked.points,
        asked.labels,
        candidates=asked.candidates,
        batch_size=asked.k,
        **more,
      )

    return asking(query)

  for method in ('least_confident', 'margin_sampling', 'entropy'):
    yield method, of(pool.UncertaintySampling, True, method=method)
  for name in ('Badge', 'Falcun', 'ContrastiveAL'):
    yield name, of(getattr(pool, name), True)
  for name in ('CoreSet', 'TypiClust', 'MaxHerding', 'RandomSampling'):
    yield name, of(getattr(pool, name), False)
  yield 'ProbCover', of(pool.ProbCover, False, n_classes=linear.C)


def modal() -> Iterator[tuple[str, Strategy]]:
  """Yields the query functions of modAL as strategies."""
  uncertainty = peers.imported('modAL.uncertainty', 'modAL-python')

  def of(function, **options):
    def query(asked):
      np.random.seed(asked.seed)  # noqa: NPY002  modAL takes no other seed.
      found, *_ = function(
        Known(), asked.points[asked.candidates], asked.k, **options
      )
      return asked.candidates[found]

    return asking(query)

  for name in ('uncertainty', 'margin', 'entropy'):
    function = getattr(uncertainty, f'{name}_sampling')
    yield name, of(function)
    yield f'{name}, random ties', of(function, random_tie_break=True)


def small_text() -> Iterator[tuple[str, Strategy]]:
  """Yields the query strategies of small-text."""
  module = peers.imported('small_text.query_strategies', 'small-text')

  def query_of(strategy):
    def query(asked):
      np.random.seed(asked.seed)  # noqa: NPY002  It takes no other seed.
      labelled = np.flatnonzero(~np.isnan(asked.labels))
      return strategy().query(
        Known(),
        asked.points,
        asked.candidates,
        labelled,
        asked.labels[labelled].astype(int),
        n=asked.k,
      )

    return query

  for name in ('LeastConfidence', 'BreakingTies', 'PredictionEntropy'):
    yield name, asking(query_of(getattr(module, name)))

  def core_set(asked):
    labelled = np.flatnonzero(~np.isnan(asked.labels))
    return asked.candidates[
      module.coresets.greedy_coreset(
        asked.points,
        asked.candidates,
        labelled,
        asked.k,
        distance_metric='euclidean',
      )
    ]

  yield 'greedy_coreset', asking(core_set)


def scores() -> Iterator[tuple[str, Callable[..., Any], Callable[..., Any]]]:
  """Yields scores of logits, each with al_jax's kernel as the reference."""
  pool = peers.imported('skactiveml.pool', 'scikit-activeml')
  uncertainty = peers.imported('modAL.uncertainty', 'modAL-python')
  small = peers.imported('small_text.query_strategies', 'small-text')

  class Fixed:
    """A classifier whose inputs are probabilities, which it returns."""

    def predict_proba(self, X):  # noqa: N803  scikit-learn's name.
      return X

  def of(function):
    return lambda logits: function(special.softmax(logits, axis=1))

  ours = {
    'entropy': lambda logits: kernels.entropy(logits),
    'least confidence': lambda logits: kernels.least_confidence(logits),
    'margin': lambda logits: 1 + kernels.margin(logits),
  }
  for name, method in (
    ('entropy', 'entropy'),
    ('least confidence', 'least_confident'),
    ('margin', 'margin_sampling'),
  ):
    yield (
      f'scikit-activeml {name}',
      of(lambda probs, m=method: pool.uncertainty_scores(probs, method=m)),
      ours[name],
    )
  for name, function in (
    ('entropy', uncertainty.classifier_entropy),
    ('least confidence', uncertainty.classifier_uncertainty),
  ):
    yield (
      f'modAL {name}',
      of(lambda probs, f=function: f(Fixed(), probs)),
      ours[name],
    )
  entropy = small.PredictionEntropy().get_confidence
  yield (
    'small-text entropy',
    of(lambda probs: entropy(Fixed(), probs, None, None, None)),
    ours['entropy'],
  )


def core_sets() -> Iterator[tuple[str, Callable[..., Any]]]:
  """Yields selections of the points farthest from the first eight."""
  pool = peers.imported('skactiveml.pool', 'scikit-activeml')
  small = peers.imported('small_text.query_strategies', 'small-text')

  def activeml_centers(points, k):
    labels = np.where(np.arange(len(points)) < 8, 0.0, np.nan)
    return pool.CoreSet(random_state=0).query(points, labels, batch_size=k)

  def small_text_centers(points, k):
    rest = np.arange(8, len(points))
    return rest[
      small.coresets.greedy_coreset(
        points, rest, np.arange(8), k, distance_metric='euclidean'
      )
    ]

  yield 'scikit-activeml CoreSet', activeml_centers
  yield 'small-text greedy_coreset', small_text_centers


def our_centers(points: np.ndarray, k: int) -> kernels.Selection:
  """Selects with `kernels.k_center`, from the first eight points."""
  is_center = jnp.arange(len(points)) < 8
  return kernels.k_center(
    jnp.asarray(points), k, eligible=~is_center, centers=is_center
  )


def reports() -> Iterator[testing.Report]:
  """Checks every library that is installed."""
  for library in (activeml, modal, small_text):
    try:
      for name, strategy in library():
        yield testing.check_strategy(
          strategy, name=f'{library.__name__} {name}', raises=False
        )
    except peers.NotInstalled as missing:
      print(f'{missing.package} is not installed', file=sys.stderr)
  for name, score, reference in scores():
    yield testing.check_kernel(
      score, to=np.asarray, reference=reference, name=name, raises=False
    )
  for name, select in core_sets():
    yield testing.check_kernel(
      select,
      linear.DRAWN,
      k=8,
      to=np.asarray,
      reference=our_centers,
      name=name,
      skip={'order': 'the first eight are the labelled ones'},
      raises=False,
    )


def main() -> None:
  """Prints a report of each check, or only the violations."""
  warnings.simplefilter('ignore')
  is_short = sys.argv[1:] == ['broken']
  for report in reports():
    if is_short:
      report = dataclasses.replace(report, skipped={}, notes={})
    print(report, flush=True)


if __name__ == '__main__':
  main()
