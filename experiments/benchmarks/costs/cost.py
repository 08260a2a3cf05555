"""What a cost is, and the least time it takes on a machine."""

from typing import NamedTuple

# Of a float32 or an int32, which all predictions are in.
BYTES = 4


class Cost(NamedTuple):
  """What one call of a kernel takes.

  Attributes:
    operations: additions and multiplications; an exponential or a logarithm
      counts as several.
    num_bytes: read from and written to memory outside the caches.
    extra_bytes: memory besides arguments and result, rather too much than too
      little.
  """

  operations: float
  num_bytes: float
  extra_bytes: float


def least_seconds(
  cost: Cost, *, operations_per_second: float, bytes_per_second: float
) -> float:
  """The longer of the two times that a machine needs for a cost.

  No call takes less there; one takes more where it waits: for the start of
  programs on an accelerator, for one step of a search to end before the next.

  >>> from experiments.benchmarks import costs
  >>> cost = costs.entropy(num_points=1000, num_classes=10)
  >>> costs.least_seconds(
  ...   cost, operations_per_second=1e9, bytes_per_second=1e9
  ... )
  0.0001

  Args:
    cost: of the call.
    operations_per_second: of float32, in a matrix product.
    bytes_per_second: of the memory.

  Returns:
    Seconds.
  """
  return max(
    cost.operations / operations_per_second,
    cost.num_bytes / bytes_per_second,
  )
