"""Whether more labels still change what the model predicts.

Bloodgood and Vijay-Shanker 2009, "A Method for Stopping Active Learning Based
on Stabilizing Predictions and the Need for User-Adjustable Stopping": the
models of successive batches agree on examples that nobody has labelled.
"""

import itertools

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
    At most 1, which is the same class for every example.
  """
  first, second = np.asarray(first), np.asarray(second)
  same = float(np.mean(first == second))
  size = 1 + max(first.max(), second.max())
  shares = [
    np.bincount(each, minlength=size) / len(each) for each in (first, second)
  ]
  by_chance = float(shares[0] @ shares[1])
  if by_chance == 1:
    return 1.0
  return (same - by_chance) / (1 - by_chance)


def agreements(now: Account) -> list[float]:
  """The agreement of the model of each batch with the one before.

  Args:
    now: of the project.
  """
  watched = [batch.said['watched'] for batch in now.batches]
  watched = [each for each in watched if each]
  return [
    agreement(first, second)
    for first, second in itertools.pairwise(watched)
    if len(first) == len(second)
  ]


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
    f'The models of the last two batches agree on the pool by kappa '
    f'{found[-1]:.3f}; {AGREEMENT} or more, {PAIRS} times in a row, says that '
    'further labels hardly change predictions.'
  )
