"""How often a model is wrong about what it is unsure of.

To ask about the largest entropy is worth it if that is where the model errs.
Joint training makes most of the pool confident, and what stays uncertain should
be wrong more often than what a model of the labels alone is unsure of.
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
# Systems that ask so are compared: theirs is the claim, and its baseline.
_ASKING = (strategies.entropy, strategies.random)


def systems_of(case: Case) -> list[str]:
  """The systems of a run whose models are looked at."""
  return [
    name
    for name in case.results.systems
    if strategies.STRATEGIES.get(systems.published(name).strategy) in _ASKING
  ]


def diagnose(case: Case, options: Options) -> dict[str, Any] | None:
  """Measures error rates; None if no system asks by entropy or at random.

  Args:
    case: of the run.
    options: see `Options`.

  Returns:
    See `measure`.
  """
  if not systems_of(case):
    case.say(f'left out: {NAME}; no system asks by entropy or at random')
    return None
  return measure(case, num_seeds=options.seeds, labels=options.labels)


def measure(
  case: Case, *, num_seeds: int, labels: int | None
) -> dict[str, Any]:
  """The share of wrong predictions among the unlabelled, by rank of entropy.

  Args:
    case: of a run in which a system asks by entropy or at random.
    num_seeds: models of each system, if there are as many.
    labels: the most that they are trained on; None for all.

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
      f'largest first, in {_NUM_PARTS} equal parts; how many of each the model '
      f'is wrong about. Models of: {"; ".join(told)}.'
    ),
  }


def _error_rates(case, name, models):
  """Of each model, the share of wrong predictions in each part."""
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
