"""Compares the speed of kernels with other packages and the machine's limits.

Run as `python -m experiments.benchmark kernels`.

Times are medians of alternating measurements of compiled programs whose
arguments are on the device. `bound` is the longer of two times: operations over
the rate of a matrix product, and bytes over the rate at which an array is
scaled. Both rates are measured at the start; the counts are in
`experiments.benchmarks.costs`. `memory` is the memory of the compiled program
besides arguments and result.
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
  """Yields every measurement of kernels."""
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
    yield Row(f'k-means++, {name}', None, note=f'{missing.package} is missing')
    return
  yield from seeding.skipping(machine, factors, name)


# Measurements of some kernels, Machine -> Rows, by name.
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
