"""Costs of selections by score: the best, random ones, a diverse batch."""

import math

from experiments.benchmarks.costs.cost import BYTES, Cost

# As in `batch_bald`: groups of configurations, and rows evaluated at a time.
_NUM_GROUPS = 256
_ROWS_AT_ONCE = 1000


def top_k(*, num_points: int, k: int, random_ties: bool = False) -> Cost:
  """Returns the cost for [N] scores; a key breaks ties at random."""
  if random_ties:
    return uniform(num_points=num_points, k=k)
  sorting = 2 * k * math.log2(k + 1)
  return Cost(
    operations=4 * num_points + sorting,
    num_bytes=BYTES * (2 * num_points + 2 * k),
    extra_bytes=BYTES * (2 * num_points + 4 * k),
  )


def uniform(*, num_points: int, k: int) -> Cost:
  """Returns the cost for bool[N]: `top_k` of ties, with three draws each."""
  sorting = 8 * k * math.log2(k + 1)
  return Cost(
    operations=50 * num_points + sorting,
    num_bytes=BYTES * (20 * num_points + 6 * k),
    extra_bytes=BYTES * (14 * num_points + 8 * k),
  )


def stochastic_top_k(*, num_points: int, k: int, kind: str = 'power') -> Cost:
  """Returns the cost for [N] scores."""
  sorting = 0
  if kind == 'softrank':
    sorting = 3 * num_points * math.log2(num_points)
  columns = {'power': 18, 'softmax': 10, 'softrank': 18}[kind]
  return Cost(
    operations=60 * num_points + sorting,
    num_bytes=BYTES * (columns * num_points + 2 * k),
    extra_bytes=BYTES * (columns * num_points + 8 * k),
  )


def batch_bald(
  *,
  num_networks: int,
  num_points: int,
  num_classes: int,
  k: int,
  num_samples: int = 10_000,
  chunk: int = 64,
  evaluated: float = 0.02,
) -> Cost:
  """Returns the cost for [S, N, C] logits and `num_samples` configurations.

  `evaluated` is the share of the candidates that each pick evaluates on all
  configurations of labels, from 0.01 for similar networks to 0.3 for random
  predictions. All candidates are evaluated on the 256 groups.
  """
  logits = num_networks * num_points * num_classes
  # A row of the table or a group, and a label: one mixed probability each.
  mixed = num_points * num_classes * (_NUM_GROUPS + evaluated * num_samples)
  grouping = 4 * num_samples * _NUM_GROUPS * num_networks
  tables = num_samples * (num_networks + _NUM_GROUPS)
  return Cost(
    operations=k * (2 * num_networks * mixed + 20 * mixed + grouping),
    num_bytes=BYTES * (k * (logits + 4 * tables) + 4 * logits),
    extra_bytes=BYTES
    * (
      3 * num_points * num_networks * (num_classes + 1)
      + 3 * tables
      + 2 * _ROWS_AT_ONCE * chunk * num_classes
    ),
  )
