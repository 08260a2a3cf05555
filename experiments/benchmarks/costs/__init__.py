"""Predicts the operations, bytes and extra memory of a kernel's call.

Each kernel has a function of the same name, which takes the sizes of the call.
A lower bound of its time on a machine is the longer of two times: operations
over the matrix-multiply rate, and bytes over the memory bandwidth. Numbers are
float32.
"""

from experiments.benchmarks.costs.cost import Cost, least_seconds  # noqa: F401
from experiments.benchmarks.costs.graphs import *  # noqa: F403
from experiments.benchmarks.costs.points import *  # noqa: F403
from experiments.benchmarks.costs.scores import *  # noqa: F403
from experiments.benchmarks.costs.selecting import *  # noqa: F403
