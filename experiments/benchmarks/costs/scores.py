"""Costs of scores: of one prediction, of S samples, of a stream."""

import math

from experiments.benchmarks.costs.cost import BYTES, Cost


def entropy(*, num_points: int, num_classes: int) -> Cost:
  """Of [N, C] logits; likewise the other scores of one prediction."""
  return _of_one(num_points, num_classes, operations=10, copies=1)


def least_confidence(*, num_points: int, num_classes: int) -> Cost:
  """Of [N, C] logits."""
  return _of_one(num_points, num_classes, operations=10, copies=1)


def margin(*, num_points: int, num_classes: int) -> Cost:
  """Of [N, C] logits."""
  return _of_one(num_points, num_classes, operations=10, copies=1)


def online_uncertainty(*, num_points: int, num_classes: int) -> Cost:
  """Of [N, C] logits."""
  return _of_one(num_points, num_classes, operations=30, copies=3)


def _of_one(num_points, num_classes, operations, copies):
  return Cost(
    operations=operations * num_points * num_classes,
    num_bytes=BYTES * num_points * (num_classes + 1),
    extra_bytes=BYTES * copies * num_points * (num_classes + 1),
  )


def bald(*, num_samples: int, num_points: int, num_classes: int) -> Cost:
  """Of [S, N, C] logits; the extra memory does not depend on S."""
  return _of_samples(
    num_samples, num_points, num_classes, operations=12, copies=3
  )


def mean_std(*, num_samples: int, num_points: int, num_classes: int) -> Cost:
  """Of [S, N, C] logits; the extra memory does not depend on S."""
  return _of_samples(
    num_samples, num_points, num_classes, operations=12, copies=4
  )


def variation_ratio(
  *, num_samples: int, num_points: int, num_classes: int
) -> Cost:
  """Of [S, N, C] logits."""
  return _of_samples(
    num_samples,
    num_points,
    num_classes,
    operations=10,
    copies=2 + 2 * num_samples,
  )


def predictive_log_probs(
  *, num_samples: int, num_points: int, num_classes: int
) -> Cost:
  """Of [S, N, C] logits."""
  return _of_samples(
    num_samples,
    num_points,
    num_classes,
    operations=12,
    copies=2 + 1.25 * num_samples,
  )


def _of_samples(num_samples, num_points, num_classes, operations, copies):
  logits = num_samples * num_points * num_classes
  return Cost(
    operations=operations * logits,
    num_bytes=BYTES * (logits + num_points * (num_classes + 1)),
    extra_bytes=BYTES * num_points * (copies * num_classes + 1),
  )


def streamed_bald(
  *,
  num_samples: int,
  num_points: int,
  num_classes: int,
  operations_of_one: float,
  activations_of_one: float = 0,
) -> Cost:
  """Of samples whose logits take `operations_of_one` for one point.

  `activations_of_one` counts the numbers that the sampled part of the network
  keeps for one point. What does not depend on the key is not in here.
  """
  score = bald(num_samples=1, num_points=num_points, num_classes=num_classes)
  return Cost(
    operations=num_samples
    * (score.operations + num_points * operations_of_one),
    num_bytes=num_samples
    * (score.num_bytes + 2 * BYTES * num_points * activations_of_one),
    extra_bytes=score.extra_bytes + BYTES * num_points * activations_of_one,
  )


def start_spending(*, window: int = 100) -> Cost:
  """Of the state that remembers `window` utilities."""
  return Cost(window, BYTES * window, 0)


def spend_fixed(*, window: int = 100) -> Cost:
  """Of one example, as of `spend_variable` and `spend_random_variable`."""
  # What it remembers stays in the cache.
  return Cost(20, 2 * BYTES, 8 * BYTES * window)


def spend_variable(*, window: int = 100) -> Cost:
  """Of one example."""
  return spend_fixed(window=window)


def spend_random_variable(*, window: int = 100) -> Cost:
  """Of one example."""
  return spend_fixed(window=window)


def spend_balanced(*, window: int = 100) -> Cost:
  """Of one example; a sort of the window takes w log2(w) comparisons."""
  operations = 20 + 4 * window + window * math.log2(window)
  return spend_fixed(window=window)._replace(operations=operations)


def spend_quantile(*, window: int = 100) -> Cost:
  """Of one example."""
  return spend_fixed(window=window)._replace(operations=20 + 5 * window)
