"""Measures how often a model is wrong about examples of high entropy.

Querying the largest entropy pays if the model errs there. Joint training makes
predictions on most of the pool confident. Those that stay uncertain should be
wrong more often than the uncertain ones of a model trained on labels alone.
"""

from typing import Any

import numpy as np

from al_jax import kernels, keys, strategies, systems
from al_jax import pool as pool_lib
from al_jax.analysis import curves
from al_jax.interfaces import Strategy
from al_jax.loop import stages
from al_jax.strategies.scored import stateless
from experiments.diagnostics import runs
from experiments.diagnostics.runs import Case, Options

NAME = 'error rate by entropy rank'
# Equal parts of the unlabelled examples, the most uncertain first.
_NUM_PARTS = 20
# Strategies to compare: entropy, and random as its baseline.
_ASKING = (strategies.entropy, strategies.random)


def systems_of(case: Case) -> list[str]:
  """Returns the systems of a run whose models are measured."""
  return [
    name
    for name in case.results.systems
    if strategies.STRATEGIES.get(systems.published(name).strategy) in _ASKING
  ]


def diagnose(case: Case, options: Options) -> dict[str, Any] | None:
  """Measures error rates by rank of entropy.

  Args:
    case: the run.
    options: see `Options`.

  Returns:
    See `measure`; None if no system queries by entropy or at random.
  """
  if not systems_of(case):
    case.say(f'left out: {NAME}; no system queries by entropy or at random')
    return None
  return measure(case, num_seeds=options.seeds, labels=options.labels)


def measure(
  case: Case, *, num_seeds: int, labels: int | None
) -> dict[str, Any]:
  """Measures the share of wrong predictions on unlabelled examples by rank.

  Args:
    case: run in which a system queries by entropy or at random.
    num_seeds: maximum number of models of each system.
    labels: maximum number of labels that they are trained on. If None, all.

  Returns:
    A diagnostic, see `result_files.write_diagnostics`.
  """
  series, told = {}, []
  for name in systems_of(case):
    models = runs.models(case, system=name, num_seeds=num_seeds, labels=labels)
    told.append(runs.described(models))
    found = [
      curves.mean_and_standard_error(np.array(part))
      for part in zip(*_error_rates(case, name, models), strict=True)
    ]
    series[name] = {
      'mean': [each.mean for each in found],
      'standard_error': [each.standard_error for each in found],
    }
    case.say(
      f'{name}: wrong about {100 * found[0].mean:.1f}% of the most uncertain '
      f'twentieth, {100 * found[-1].mean:.1f}% of the least'
    )
  shares = (np.arange(_NUM_PARTS) + 0.5) / _NUM_PARTS
  return {
    'x_label': 'share of the unlabelled that is more uncertain',
    'y_label': 'error rate',
    'x': shares.tolist(),
    'series': series,
    'note': (
      'The unlabelled examples in the order of the entropy of the predictions, '
      f'largest first, in {_NUM_PARTS} equal parts; error rate of the model in '
      f'each part. Models of: {"; ".join(told)}.'
    ),
  }


def _error_rates(case, name, models):
  """Returns each model's share of wrong predictions in each part."""
  compiled = stages.compile_strategy(
    Strategy(init=stateless, measure=_entropies, select=None),
    case.program(name).system.learner,
    case.sources['pool'].inputs,
    chunk_size=case.experiment.config['chunk_size'],
  )
  targets = np.asarray(case.experiment.dataset.train.targets)
  found = []
  for model in models:
    key = keys.for_round(model.seed, model.round, keys.MEASURE)
    (entropies, predicted), _ = compiled.measure(key, model.learner, None)
    rows = np.flatnonzero(np.asarray(pool_lib.eligible(model.pool)))
    is_wrong = np.asarray(predicted)[rows] != targets[rows]
    order = np.argsort(-np.asarray(entropies)[rows], kind='stable')
    parts = np.array_split(is_wrong[order], _NUM_PARTS)
    found.append([part.mean() if len(part) else np.nan for part in parts])
  return found


def _entropies(key, apply, batch):
  del key
  logits = apply(batch.inputs).predictions
  return kernels.entropy(logits), logits.argmax(axis=-1)
