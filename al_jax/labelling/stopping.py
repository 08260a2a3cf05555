"""Measures whether more labels still change the predictions of the model.

Bloodgood and Vijay-Shanker 2009, "A Method for Stopping Active Learning Based
on Stabilizing Predictions and the Need for User-Adjustable Stopping": stop when
the models of successive batches agree on a set of unlabelled examples.
"""

import itertools
import math

import numpy as np

from al_jax.labelling.account import Account

# From the paper: the kappa, and the number of successive pairs of models.
AGREEMENT = 0.99
PAIRS = 3


def agreement(first: np.ndarray, second: np.ndarray) -> float:
  """Computes Cohen's kappa of two predictions: agreement beyond chance.

  Args:
    first: int[N], class numbers.
    second: int[N], class numbers.

  Returns:
    Kappa, at most 1. NaN if both predict one and the same class throughout.
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
  """Computes the agreement of each model with the one before.

  Covers the latest run of comparable models: on pools of one size, each with
  more labels than the one before.

  Args:
    now: State of the project.
  """
  found = []
  models = [batch.said for batch in now.batches if batch.said['watched']]
  for first, second in itertools.pairwise(models):
    if second['labels'] <= first['labels']:
      # The same model again, or labels were withdrawn.
      continue
    kappa = math.nan
    if first['pool'] == second['pool']:
      kappa = agreement(first['watched'], second['watched'])
    found = [] if math.isnan(kappa) else [*found, kappa]
  return found


def hint(now: Account) -> str:
  """Says whether it is time to stop, in a sentence; '' if it is too early.

  Args:
    now: State of the project.
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
