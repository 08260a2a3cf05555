"""How fast the kernels are: beside other packages, and beside the machine.

Run as `python -m experiments.benchmark kernels`.

Times are of compiled programs whose arguments are on the device; the median of
measurements in turns. `bound` is the longer of two times: operations over the
rate of a matrix product, and bytes over the rate at which an array is scaled,
both measured at the start; the counts are in `experiments.benchmarks.costs`.
`memory` is what the compiled program takes besides arguments and result.
"""

from collections.abc import Iterator

import jax

from experiments.benchmarks import large, timing
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

# What selection at the size of ImageNet needs: 16 GB, and as much to make it.
_IMAGENET_BYTES = 64 * 2**30


def measure() -> Iterator[Row]:
  """Every measurement of kernels, one after another."""
  machine, rows = timing.measure_machine()
  yield from rows
  yield from seeding.beside_all(machine, num_classes=10)
  yield from seeding.beside_all(machine, num_classes=100)
  yield from seeding.of_few(machine)
  yield from _on_mnist(machine)
  yield from covering.random_points(machine)
  yield from samples.bald(machine)
  yield from samples.bald_beside_baal(machine)
  yield from samples.batch_bald(machine)
  yield from samples.gradients(machine)
  vectors = graphs.clustered(50_000, 128)
  yield from graphs.neighbours(machine, vectors)
  task = graphs.make_task(vectors)
  yield from graphs.propagation(machine, task)
  yield from graphs.propagation_update(machine, task)
  yield from graphs.diffusion(machine, task)
  yield from graphs.densities(machine, vectors[:10_000])
  yield from points.clustering(machine)
  yield from points.distances(machine)
  yield from scores.of_one_prediction(machine)
  yield from scores.of_samples(machine)
  yield from scores.picks(machine)
  yield from scores.stream(machine)
  if device_bytes() >= _IMAGENET_BYTES:
    yield large.on_an_accelerator(machine)


def device_bytes() -> int:
  """Memory of the accelerator; 0 where there is none, or it does not say."""
  stats = jax.local_devices()[0].memory_stats() or {}
  return stats.get('bytes_limit', 0)


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
