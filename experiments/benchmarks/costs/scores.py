"""Costs of scores: from one prediction, from S samples, of a stream."""

import math

from experiments.benchmarks.costs.cost import BYTES, Cost


def entropy(*, num_points: int, num_classes: int) -> Cost:
  """Returns the cost for [N, C] logits."""
  return _of_one(num_points, num_classes, operations=10, copies=1)


def least_confidence(*, num_points: int, num_classes: int) -> Cost:
  """Returns the cost for [N, C] logits."""
  return _of_one(num_points, num_classes, operations=10, copies=1)


def margin(*, num_points: int, num_classes: int) -> Cost:
  """Returns the cost for [N, C] logits."""
  return _of_one(num_points, num_classes, operations=10, copies=1)


def online_uncertainty(*, num_points: int, num_classes: int) -> Cost:
  """Returns the cost for [N, C] logits."""
  return _of_one(num_points, num_classes, operations=30, copies=3)


def _of_one(num_points, num_classes, operations, copies):
  return Cost(
    operations=operations * num_points * num_classes,
    num_bytes=BYTES * num_points * (num_classes + 1),
    extra_bytes=BYTES * copies * num_points * (num_classes + 1),
  )


def bald(*, num_samples: int, num_points: int, num_classes: int) -> Cost:
  """Returns the cost for [S, N, C] logits; S does not change extra memory."""
  return _of_samples(
    num_samples, num_points, num_classes, operations=12, copies=3
  )


def mean_std(*, num_samples: int, num_points: int, num_classes: int) -> Cost:
  """Returns the cost for [S, N, C] logits; S does not change extra memory."""
  return _of_samples(
    num_samples, num_points, num_classes, operations=12, copies=4
  )


def variation_ratio(
  *, num_samples: int, num_points: int, num_classes: int
) -> Cost:
  """Returns the cost for [S, N, C] logits."""
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
  """Returns the cost for [S, N, C] logits."""
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
  """Returns the cost for S samples, with `operations_of_one` for one point.

  `activations_of_one` counts the numbers that the sampled part of the network
  keeps for one point. The part that does not depend on the key is not counted.
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
  """Returns the cost of a state that holds `window` utilities."""
  return Cost(window, BYTES * window, 0)


def spend_fixed(*, window: int = 100) -> Cost:
  """Returns the cost of one example."""
  # The state stays in the cache.
  return Cost(20, 2 * BYTES, 8 * BYTES * window)


def spend_variable(*, window: int = 100) -> Cost:
  """Returns the cost of one example."""
  return spend_fixed(window=window)


def spend_random_variable(*, window: int = 100) -> Cost:
  """Returns the cost of one example."""
  return spend_fixed(window=window)


def spend_balanced(*, window: int = 100) -> Cost:
  """Returns the cost of one example; a sort takes w log2(w) comparisons."""
  operations = 20 + 4 * window + window * math.log2(window)
  return spend_fixed(window=window)._replace(operations=operations)


def spend_quantile(*, window: int = 100) -> Cost:
  """Returns the cost of one example."""
  return spend_fixed(window=window)._replace(operations=20 + 5 * window)
