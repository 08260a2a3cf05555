"""Measures how far BALD depends on the draw of its dropout samples.

BALD with S samples ranks the pool; with S other samples of the same network it
ranks the pool differently. If the two rankings agree, more samples would change
nothing.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import scipy.stats

from al_jax import keys, strategies
from al_jax.analysis import curves
from al_jax.loop import stages
from experiments.diagnostics import runs
from experiments.diagnostics.runs import Case, Model, Options

NAME = "BALD's rank correlation with itself"
# Values of S, the dropout samples of each ranking.
NUM_SAMPLES = (5, 10, 20, 50, 100, 200)


def diagnose(case: Case, options: Options) -> dict[str, Any] | None:
  """Correlates BALD with itself.

  Args:
    case: the run.
    options: see `Options`.

  Returns:
    See `measure`; None if the model has no dropout.
  """
  if not case.program(case.baseline).system.has_dropout:
    case.say(f'left out: {NAME}; the model has no dropout')
    return None
  return measure(
    case,
    runs.models(case, num_seeds=options.seeds, labels=options.labels),
    num_samples=NUM_SAMPLES,
    most_points=options.most_points,
  )


def measure(
  case: Case,
  models: Sequence[Model],
  *,
  num_samples: Sequence[int],
  most_points: int,
) -> dict[str, Any]:
  """Correlates BALD with BALD of other dropout samples.

  Args:
    case: the run.
    models: a model per seed, with dropout and the same number of labels.
    num_samples: values of S; for each, two sets of S samples are drawn.
    most_points: maximum number of unlabelled examples to rank.

  Returns:
    A diagnostic: Spearman's correlation and the share of a batch that both
    would query, against S; see `result_files.write_diagnostics`.
  """
  points = [runs.some_unlabelled(model, most_points) for model in models]
  count = len(points[0])
  k = min(case.experiment.protocol.labels_per_round, count)
  correlations, shares = [], []
  for samples in num_samples:
    found = np.array(_agreements(case, models, points, samples, k))
    correlations.append(curves.mean_and_standard_error(found[:, 0]))
    shares.append(curves.mean_and_standard_error(found[:, 1]))
    case.say(
      f'BALD of {samples} samples: rank correlation with itself '
      f'{correlations[-1].mean:.3f}'
    )
  return {
    'x_label': 'dropout samples S',
    'y_label': 'agreement of S samples with S others',
    'x': list(num_samples),
    'logarithmic_x': True,
    'series': {
      "Spearman's rank correlation": _series(correlations),
      f'share of the top {k} in common': _series(shares),
    },
    'note': (
      f'BALD of {count:,} unlabelled examples, computed twice, each time from '
      'S dropout samples of the same networks: those of '
      f'{runs.described(models)}. Of the {k} examples that one would '
      f'query, the other queries a share of {k / count:.2g} by chance.'
    ),
  }


def _agreements(case, models, points, num_samples, k):
  """Returns each model's rank correlation and common share of a batch."""
  strategy = strategies.bald(num_samples=num_samples)
  compiled = stages.compile_strategy(
    strategy,
    case.program(case.baseline).system.learner,
    case.sources['pool'].inputs,
    chunk_size=case.experiment.config['chunk_size'],
  )
  found = []
  for model, rows in zip(models, points, strict=True):
    where = np.zeros(model.pool.num_examples, bool)
    where[rows] = True
    key = keys.for_round(model.seed, model.round, keys.MEASURE)
    both = [
      compiled.measure(half, model.learner, where)[0]
      for half in _halves(key, num_samples)
    ]
    # The same key breaks ties in both rankings alike.
    batches = [
      strategy.select(key, (), scores, where, model.pool, k)[1].indices
      for scores in both
    ]
    ranked = scipy.stats.spearmanr(*(np.asarray(each)[where] for each in both))
    found.append((ranked.statistic, len(np.intersect1d(*batches)) / k))
  return found


def _halves(key, num_samples):
  """Returns two independent keys, which differ for each number of samples."""
  return jax.random.split(jax.random.fold_in(key, num_samples))


def _series(estimates):
  return {
    'mean': [estimate.mean for estimate in estimates],
    'standard_error': [estimate.standard_error for estimate in estimates],
  }
