"""Whether more labels still change what the model predicts.

Bloodgood and Vijay-Shanker 2009, "A Method for Stopping Active Learning Based
on Stabilizing Predictions and the Need for User-Adjustable Stopping": the
models of successive batches agree on examples that nobody has labelled.
"""

import itertools
import math

import numpy as np

from al_jax.labelling.account import Account

# Of the paper: so much agreement, between so many successive pairs of models.
AGREEMENT = 0.99
PAIRS = 3


def agreement(first: np.ndarray, second: np.ndarray) -> float:
  """Cohen's kappa of two predictions: agreement beyond that by chance.

  Args:
    first: int[N], class numbers.
    second: int[N], class numbers.

  Returns:
    At most 1; NaN where both are one class throughout, which says nothing.
  """
  first, second = np.asarray(first), np.asarray(second)
  same = float(np.mean(first == second))
  size = 1 + max(first.max(), second.max())
  shares = [
    np.bincount(each, minlength=size) / len(each) for each in (first, second)
  ]
  by_chance = float(shares[0] @ shares[1])
  if by_chance == 1:
    return math.nan
  return (same - by_chance) / (1 - by_chance)


def agreements(now: Account) -> list[float]:
  """The agreement of the model of each batch with the one before.

  Only the last models that can be compared count: on one pool, each with more
  labels than the one before.

  Args:
    now: of the project.
  """
  found = []
  models = [batch.said for batch in now.batches if batch.said['watched']]
  for first, second in itertools.pairwise(models):
    if second['labels'] <= first['labels']:
      # The same model again, or labels were taken back.
      continue
    kappa = math.nan
    if first['pool'] == second['pool']:
      kappa = agreement(first['watched'], second['watched'])
    found = [] if math.isnan(kappa) else [*found, kappa]
  return found


def hint(now: Account) -> str:
  """Says whether it is time to stop, in a sentence; '' if it is too early.

  Args:
    now: of the project.
  """
  found = agreements(now)
  if not found:
    return ''
  last = found[-PAIRS:]
  if len(last) == PAIRS and min(last) >= AGREEMENT:
    return (
      f'The models of the last {PAIRS + 1} batches agree on the pool (kappa '
      f'{min(last):.3f} or more): further labels hardly change predictions.'
    )
  return (
    f'Predictions still change: the models of the last two batches agree on '
    f'the pool by kappa {found[-1]:.2f}. At {AGREEMENT} or more, {PAIRS} times '
    'in a row, further labels would hardly change them.'
  )
