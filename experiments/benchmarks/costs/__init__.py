"""Predicts the operations, bytes and extra memory of a kernel's call.

Each kernel has a function of the same name, which takes the sizes of the call.
Operations over a machine's matrix-multiply rate and bytes over its memory
bandwidth: the longer of the two times is the least the kernel can take there.
Numbers are float32.
"""

from experiments.benchmarks.costs.cost import Cost, least_seconds  # noqa: F401
from experiments.benchmarks.costs.graphs import *  # noqa: F403
from experiments.benchmarks.costs.points import *  # noqa: F403
from experiments.benchmarks.costs.scores import *  # noqa: F403
from experiments.benchmarks.costs.selecting import *  # noqa: F403
