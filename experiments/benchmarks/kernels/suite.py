"""How fast the kernels are: beside other packages, and beside the machine.

Run as `python -m experiments.benchmark kernels`.

Times are of compiled programs whose arguments are on the device; the median of
measurements in turns. `bound` is the longer of two times: operations over the
rate of a matrix product, and bytes over the rate at which an array is scaled,
both measured at the start; the counts are in `experiments.benchmarks.costs`.
`memory` is what the compiled program takes besides arguments and result.
"""

import functools
from collections.abc import Callable, Iterator

from experiments.benchmarks import timing
from experiments.benchmarks.kernels import (
  covering,
  graphs,
  networks,
  points,
  samples,
  scores,
  seeding,
)
from experiments.benchmarks.peers import NotInstalled
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import Machine


def measure() -> Iterator[Row]:
  """Every measurement of kernels, one after another."""
  machine, rows = timing.measure_machine()
  yield from rows
  for part in PARTS.values():
    yield from part(machine)


def _on_graphs(machine):
  vectors = graphs.clustered(50_000, 128)
  yield from graphs.neighbours(machine, vectors)
  task = graphs.make_task(vectors)
  yield from graphs.propagation(machine, task)
  yield from graphs.propagation_update(machine, task)
  yield from graphs.diffusion(machine, task)
  yield from graphs.densities(machine, vectors[:10_000])


def _on_mnist(machine):
  name = 'MNIST after 10,000 labels'
  try:
    factors = networks.mnist_gradients()
  except NotInstalled as missing:
    yield Row(
      f'k-means++, {name}', None, note=f'{missing.package} is not there'
    )
    return
  yield from seeding.skipping(machine, factors, name)


# name -> the measurements of some kernels: Machine -> Rows.
PARTS: dict[str, Callable[[Machine], Iterator[Row]]] = {
  'k-means++, 10 classes': functools.partial(
    seeding.beside_all, num_classes=10
  ),
  'k-means++, 100 classes': functools.partial(
    seeding.beside_all, num_classes=100
  ),
  'k-means++, few picks': seeding.of_few,
  'k-means++, MNIST': _on_mnist,
  'k-center': covering.random_points,
  'BALD': samples.bald,
  'BALD, another package': samples.bald_beside_baal,
  'BatchBALD': samples.batch_bald,
  'gradients': samples.gradients,
  'graphs': _on_graphs,
  'k-means': points.clustering,
  'distances': points.distances,
  'scores of a prediction': scores.of_one_prediction,
  'scores of samples': scores.of_samples,
  'picks by score': scores.picks,
  'streams': scores.stream,
}
