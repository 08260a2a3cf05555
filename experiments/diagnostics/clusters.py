"""How often k-means went over its points in a round of a run.

Lloyd's algorithm ends when nothing changes any more: what it costs depends on
the network, and no record says when that was.
"""

import jax
import numpy as np

from al_jax import keys, strategies
from al_jax import pool as pool_lib
from al_jax.loop.program import Program
from al_jax.storage.records import RoundRecord
from experiments.diagnostics import runs as diagnose_runs
from experiments.diagnostics.costs import Options
from experiments.diagnostics.runs import Case

# Those of `strategies.STRATEGIES` that it is about.
STRATEGIES = ('k_means', 'weighted_k_means')


def iterations(
  case: Case,
  compiled: Program,
  row: RoundRecord,
  strategy: str,
  options: Options,
) -> int:
  """The fewest iterations, by bisection, that give the same picks.

  Args:
    case: of the run.
    compiled: a system that ends in the strategy.
    row: of the round, which is trained again.
    strategy: one of `STRATEGIES`.
    options: all of them.

  Returns:
    A number up to `num_iters` of the options.
  """
  model = diagnose_runs.train(case, compiled, row.seed, row.round)
  key = keys.for_round(row.seed, row.round, keys.MEASURE)
  where = _looked_at(compiled, model)
  measured = compiled.strategy.measure(key, model.learner, where)

  def picks(num_iters):
    choosing = strategies.build(strategy, {**options, 'num_iters': num_iters})
    _, selection = choosing.select(
      keys.for_round(row.seed, row.round, keys.SELECT),
      (),
      measured,
      model.pool,
      len(row.picks),
    )
    return np.asarray(selection.indices)

  last = picks(options['num_iters'])
  low, high = 0, options['num_iters']
  while low < high:
    middle = (low + high) // 2
    if np.array_equal(picks(middle), last):
      high = middle
    else:
      low = middle + 1
  case.say(f'{compiled.system.name}: {high} iterations of k-means')
  return high


def _looked_at(compiled, model):
  """bool[N], or None for all; of candidates, some others than those of the run.

  So many at random, which no strategy before it has to propose.
  """
  strategy = compiled.system.strategy
  if strategy.where is not None:
    key = keys.for_round(model.seed, model.round, keys.WHERE)
    return strategy.where(key, (), model.pool)
  if strategy.prefilter is None:
    return None
  rows = diagnose_runs.some_unlabelled(model, strategy.prefilter[1])
  asked = ~pool_lib.eligible(model.pool)
  return jax.numpy.asarray(asked).at[rows].set(True)
