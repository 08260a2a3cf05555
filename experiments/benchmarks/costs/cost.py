"""Cost of a call, and the least time it takes on a machine."""

from typing import NamedTuple

# Bytes of a float32 or an int32, the only types in the predictions.
BYTES = 4


class Cost(NamedTuple):
  """Cost of one call of a kernel.

  Attributes:
    operations: additions and multiplications; an exponential or a logarithm
      counts as several.
    num_bytes: bytes read from and written to memory outside the caches.
    extra_bytes: memory besides arguments and result; rather an overestimate
      than an underestimate.
  """

  operations: float
  num_bytes: float
  extra_bytes: float


def least_seconds(
  cost: Cost, *, operations_per_second: float, bytes_per_second: float
) -> float:
  """Returns the longer of the two times that a machine needs for a cost.

  No call takes less. A call takes more if it waits: for programs to start on an
  accelerator, or for one step of a search to end before the next.

  >>> from experiments.benchmarks import costs
  >>> cost = costs.entropy(num_points=1000, num_classes=10)
  >>> costs.least_seconds(
  ...   cost, operations_per_second=1e9, bytes_per_second=1e9
  ... )
  0.0001

  Args:
    cost: cost of the call.
    operations_per_second: rate of a float32 matrix product.
    bytes_per_second: memory bandwidth.

  Returns:
    Seconds.
  """
  return max(
    cost.operations / operations_per_second,
    cost.num_bytes / bytes_per_second,
  )
