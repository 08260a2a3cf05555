"""Measures training speed: steps, rounds of a growing labelled set, whole runs.

Run as `python -m experiments.benchmark training`.

Everything is timed as in a run: `fit` with the functions of `compile_fit`, the
loop with its checkpoints and files, and a command in its own process.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from al_jax import data, loop
from al_jax.loop import program
from al_jax.loop.stopwatch import Stopwatch
from al_jax.runner.observers import RecordsFile
from al_jax.storage import checkpoint
from experiments.benchmarks import convolutions, steps, unlabelled, watching
from experiments.benchmarks.rounds import Trainer, labelled
from experiments.benchmarks.steps import CNN, MLP
from experiments.benchmarks.table import Row

_ROOT = pathlib.Path(__file__).resolve().parents[2]
# Seconds of an early version of this library for `whole_run`, on 2 cores.
_PROTOTYPE_SECONDS = 22.0
# An overhead per round below this meets the target at any ratio.
_OVERHEAD_SECONDS = 0.05


def measure() -> Iterator[Row]:
  """Yields every measurement of training."""
  dataset = steps.load_images()
  yield steps.step_beside_torch(dataset, MLP)
  yield steps.step_beside_torch(dataset, CNN)
  yield growing_beside_recompiling()
  yield steps.call_beside_loop(dataset, CNN.model)
  yield steps.call_beside_loop(
    steps.as_colour(dataset),
    {'name': 'resnet18', 'width': 16},
    batch_size=32,
  )
  yield unlabelled.epoch_beside_supervised(
    dataset, MLP.model, num_examples=min(10_000, len(dataset.train))
  )
  yield unlabelled.epoch_beside_supervised(
    dataset,
    {'name': 'cnn13', 'width': 16},
    num_examples=min(4_000, len(dataset.train)),
  )
  yield from convolutions.measure()
  with tempfile.TemporaryDirectory() as folder:
    yield overhead(dataset, pathlib.Path(folder))
  yield watching.watched(dataset)
  if dataset.name.startswith('mnist'):
    yield whole_run()


def growing_beside_recompiling(
  *, repeats: int = 3, sizes: Sequence[int] = tuple(range(100, 1001, 100))
) -> Row:
  """Compares rounds of a growing labelled set, compiled once or each round.

  Each measurement runs in a new process without a compilation cache.
  """

  def from_cold(recompile):
    options = {'recompile': recompile, 'sizes': list(sizes)}
    environment = dict(os.environ)
    environment.pop('JAX_COMPILATION_CACHE_DIR', None)
    done = subprocess.run(
      [sys.executable, '-m', __spec__.name, json.dumps(options)],
      cwd=_ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      check=True,
      text=True,
    )
    return float(done.stdout.split()[-1])

  pairs = np.array(
    [(from_cold(False), from_cold(True)) for _ in range(repeats)]
  )
  seconds, against = np.median(pairs, axis=0).tolist()
  return Row(
    f'{len(sizes)} rounds of mlp, {sizes[0]} to {sizes[-1]} labels, cold',
    seconds,
    against,
    'compiled anew each round',
    float(np.median(pairs[:, 0] / pairs[:, 1])),
    at_most=0.25,
  )


def growing_rounds(
  dataset: data.Dataset,
  *,
  recompile: bool,
  sizes: Sequence[int],
  epochs: int = 10,
) -> float:
  """Times rounds of a growing labelled set, including compilations.

  Args:
    dataset: pictures.
    recompile: whether to build the system anew for the number of labels of each
      round, as growing arrays would require. If False, it is built once, for
      the labels of the last round.
    sizes: number of labels of each round.
    epochs: epochs per round.

  Returns:
    Seconds, without those for imports and data, which are the same for both.
  """
  all_sources = program.sources_of(dataset)
  pools = [labelled(dataset, size, sizes[-1]) for size in sizes]
  clock = Stopwatch()
  if not recompile:
    training = Trainer(
      dataset, all_sources, MLP.model, label_budget=sizes[-1], epochs=epochs
    )
    training.rounds(pools)
    return clock.lap()
  for size, pool in zip(sizes, pools, strict=True):
    training = Trainer(
      dataset, all_sources, MLP.model, label_budget=size, epochs=epochs
    )
    training.rounds([pool])
  return clock.lap()


def overhead(
  dataset: data.Dataset,
  folder: pathlib.Path,
  *,
  rounds: int = 10,
  labels_per_round: int = 100,
) -> Row:
  """Times the parts of a round besides training, evaluating and querying.

  Args:
    dataset: the pool.
    folder: folder for the checkpoints and the records.
    rounds: rounds of margin with an MLP; the first, which compiles, does not
      count.
    labels_per_round: labels per round, and of the first set.

  Returns:
    A Row with medians over rounds, compared with those of whole rounds.
  """
  run = watching.margin(dataset, rounds, labels_per_round)
  kept = RecordsFile(folder / 'records.jsonl', ['margin'])
  whole, beside = [], []
  with checkpoint.Checkpointer(folder / 'checkpoints') as saves:
    clock = Stopwatch()
    for record in loop.run_rounds(*run, checkpointer=saves, observers=[kept]):
      whole.append(clock.lap())
      beside.append(
        whole[-1]
        - record.seconds_fit
        - record.seconds_evaluate
        - record.seconds_measure
        - record.seconds_select
      )
  return Row(
    f'{dataset.name}: records, checkpoint and files of a round',
    float(np.median(beside[1:])),
    float(np.median(whole[1:])),
    'the whole round',
    float(np.median(np.divide(beside[1:], whole[1:]))),
    at_most=0.05,
    enough=_OVERHEAD_SECONDS,
  )


def whole_run(*flags: str, config: str = 'configs/mnist.py') -> Row:
  """Times a whole command without a compilation cache.

  It is compared with the time of an early version of this library.

  Args:
    *flags: overrides of the config.
    config: config file; its system is set to margin.

  Returns:
    A Row that names the number of programs compiled for the first seed and for
    the later seeds.
  """
  with tempfile.TemporaryDirectory() as folder:
    clock = Stopwatch()
    subprocess.run(
      [
        *(sys.executable, '-m', 'experiments.run', f'--config={config}'),
        *('--config.systems=margin', *flags),
        *(f'--workdir={folder}', '--quiet', '--nocompilation_cache'),
      ],
      cwd=_ROOT,
      stdout=subprocess.DEVNULL,
      check=True,
    )
    seconds = clock.lap()
    with open(pathlib.Path(folder) / 'records.csv', encoding='utf-8') as file:
      rows = list(csv.DictReader(file))
  seeds = sorted({int(row['seed']) for row in rows})
  compiled = [
    max(int(row['compilations']) for row in rows if int(row['seed']) == seed)
    for seed in seeds
  ]
  return Row(
    f'margin, {len(rows)} rounds, {len(seeds)} seeds, cold; '
    f'compiled {compiled[0]} + {sum(compiled[1:])}',
    seconds,
    _PROTOTYPE_SECONDS,
    'an early version',
    seconds / _PROTOTYPE_SECONDS,
    at_most=1.0,
  )


if __name__ == '__main__':
  # Runs as a process of `growing_beside_recompiling`.
  print(growing_rounds(steps.load_images(), **json.loads(sys.argv[1])))
