"""Steps of training: with one seed, and with several in one call.

As in a run, `compile_fit` makes the steps, and one call loops over many of them
on the device. Pictures and labels are random.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import systems, xla
from al_jax.data import Dataset
from al_jax.loop import program
from al_jax.loop.stopwatch import Stopwatch
from al_jax.training import fit as fit_lib
from experiments.benchmarks.rounds import labelled, on_device
from experiments.benchmarks.table import Row

# An epoch count that no measurement reaches.
_ENDLESS = 1_000_000


class Sizes(NamedTuple):
  """Sizes of the measurements.

  Attributes:
    pool: pictures of 32x32 pixels in the pool.
    labels: labelled pictures, a multiple of `batch`.
    batch: examples per step.
    steps: steps per measurement.
    seeds: seeds that share a call.
    models: options of `models.build` for each model.
    repeats: measurements after the first call.
  """

  pool: int = 10_000
  labels: int = 5_120
  batch: int = 128
  steps: int = 100
  seeds: int = 5
  models: tuple[Mapping[str, Any], ...] = (
    {'name': 'resnet18'},
    {'name': 'cnn13'},
  )
  repeats: int = 3


# For a test on a CPU.
SMALL = Sizes(
  pool=32,
  labels=16,
  batch=8,
  steps=2,
  seeds=2,
  models=({'name': 'mlp', 'widths': (8,)},),
  repeats=1,
)


class Measured(NamedTuple):
  """Measurements of one program.

  Attributes:
    compiling: seconds of the first call, which takes one step.
    seconds: median seconds per step.
    operations: operations of a step in products and convolutions.
  """

  compiling: float
  seconds: float
  operations: int


def measure(precision: str, sizes: Sizes) -> Iterator[Row]:
  """Times a step of each network.

  Args:
    precision: precision of products and convolutions, as JAX names it.
    sizes: sizes of the measurements.

  Yields:
    Rows.
  """
  dataset = drawn_pictures(sizes.pool)
  for model in sizes.models:
    yield from _of_model(dataset, model, precision, sizes)


def drawn_pictures(number: int) -> Dataset:
  """Returns random pictures of CIFAR's size with random labels."""
  rng = np.random.default_rng(0)
  pictures = rng.integers(0, 256, (number, 32, 32, 3), np.uint8)
  labels = np.arange(number) % 10
  return Dataset.from_arrays(pictures, labels, test=None, name='drawn')


def _of_model(dataset, model, precision, sizes):
  """Yields the rows of one seed and of several."""
  with jax.default_matmul_precision(precision):
    one = measured(dataset, model, 1, sizes)
  yield _row(model, precision, one, 1, sizes)
  with jax.default_matmul_precision(precision):
    several = measured(dataset, model, sizes.seeds, sizes)
  against = sizes.seeds * one.seconds
  yield _row(model, precision, several, sizes.seeds, sizes)._replace(
    against=against,
    which_is='one seed after another',
    ratio=several.seconds / against,
  )


def _row(model, precision, found, seeds, sizes):
  images = seeds * sizes.batch / found.seconds
  rate = found.operations * seeds / found.seconds
  plural = '' if seeds == 1 else 's'
  return Row(
    f'{model["name"]}, batch {sizes.batch}, {seeds} seed{plural}, {precision}',
    found.seconds,
    compiling=found.compiling,
    note=f'{images:,.0f} images/s, {rate / 1e12:.2f} TFLOP/s',
  )


def measured(
  dataset: Dataset, model: Mapping[str, Any], seeds: int, sizes: Sizes
) -> Measured:
  """Times steps of a supervised run.

  Args:
    dataset: pictures.
    model: options of `models.build`.
    seeds: number of seeds that share a call.
    sizes: sizes of the measurement.

  Returns:
    The measurements.
  """
  facts = program.facts_of(dataset, sizes.labels)
  learner = {'batch_size': sizes.batch, 'stop': {'epochs': _ENDLESS}}
  built = systems.build('random', facts, model=model, learner=learner).learner
  all_sources = program.sources_of(dataset)
  fns = fit_lib.compile_fit(built, facts, all_sources, num_lanes=seeds)
  keys = [jax.random.key(seed) for seed in range(seeds)]
  pool = labelled(dataset, sizes.labels)
  init = jax.jit(built.init)
  states = fns.pack([on_device(init(key)) for key in keys])
  pools = fns.pack([pool] * seeds)
  state = jax.block_until_ready(fns.start(fns.pack(keys), states, pools))

  def seconds_of(num_steps):
    clock = Stopwatch()
    nonlocal state
    state, progress = fns.advance[0](state, pools, num_steps)
    jax.block_until_ready((state, progress))
    return clock.lap()

  compiling = seconds_of(1)
  seconds_of(1)
  found = [seconds_of(sizes.steps) for _ in range(sizes.repeats)]
  step = fit_lib.step_from(built.phases[0])
  inputs = {name: source.inputs for name, source in all_sources.items()}
  operations = xla.matrix_operations(
    step, jax.eval_shape(init, keys[0]), pool, inputs
  )
  return Measured(compiling, float(np.median(found)) / sizes.steps, operations)
