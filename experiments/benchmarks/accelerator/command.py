"""Measures one accelerator in under 8 minutes, without ml_collections and TFDS.

    python experiments/benchmarks/gpu.py --make_mnist=mnist.npz  # needs TFDS
    python experiments/benchmarks/gpu.py --mnist=mnist.npz --out=runs/gpu
    python experiments/benchmarks/gpu.py --sections=kernels,steps

Sections in order of value: rates of the machine; BADGE's selection at
ImageNet's size; training steps, with one seed and with five; the picks of eight
systems compared with the CPU's; the table of `python -m experiments.benchmark
kernels`; steps at the highest precision. A section that fails, or that does not
fit into `--seconds`, says so in one sentence and the next one begins. A second
call can measure the rest: name it in `--sections`.

Rows are printed as they come. OUT/gpu.md and OUT/gpu.json are written after
every row, so that a killed run leaves its measurements. All arrays are random,
except the pictures: MNIST is one file of 12 MB, and without it they are
scikit-learn's digits. `python -m experiments.benchmark gpu` does the same with
the flags at their defaults.
"""

import argparse
import contextlib
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from experiments.benchmarks import table
from experiments.benchmarks.accelerator import report
from experiments.benchmarks.accelerator import sections as sections_lib
from experiments.benchmarks.accelerator.sections import Section
from experiments.benchmarks.table import Row

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_SECONDS = 480.0
# The longest that `picks` waits for the other process, over all systems.
_WAIT_SECONDS = 120.0


class Benchmark:
  """The sections of the benchmark, which share the rates of the machine."""

  def __init__(self, *, is_small: bool, mnist: pathlib.Path | None):
    """Stores the flags.

    Args:
      is_small: whether to use sizes for a test on a CPU.
      mnist: path of the file with MNIST. If None, there is none.
    """
    self._is_small, self._mnist = is_small, mnist

  def sections(self) -> list[Section]:
    """Lists the sections in order of value, with their time limits."""
    first = [
      Section('machine', 0, 60, self._rates),
      Section('badge', 30, 110, self._badge),
      Section('steps: default', 40, 90, lambda: self._steps('default')),
      Section('picks', 40, 100, self._picks),
    ]
    # The kernels have their own tests.
    last = [] if self._is_small else self._kernels()
    exactly = Section('steps: highest', 40, 90, lambda: self._steps('highest'))
    return [*first, *last, exactly]

  @functools.cached_property
  def _measured_machine(self):
    from experiments.benchmarks import timing

    options = {'scaled': 2**29}
    if self._is_small:
      options = {'repeats': 1, 'long_enough': 1e-4, 'scaled': 2**16}
    return timing.measure_machine(**options)

  def _rates(self) -> Iterator[Row]:
    from experiments.benchmarks.accelerator import precision

    yield from self._measured_machine[1]
    yield precision.of_products(256 if self._is_small else 8_192)

  def _badge(self) -> Iterator[Row]:
    from experiments.benchmarks.accelerator import imagenet

    machine = self._measured_machine[0]
    if self._is_small:
      sizes = imagenet.IMAGENET._replace(
        num_points=2_000, num_features=16, num_classes=8, k=40
      )
      return imagenet.measure(machine, sizes, blocks=(64,))
    return imagenet.measure(machine, blocks=(512, 2_048))

  def _steps(self, precision) -> Iterator[Row]:
    from experiments.benchmarks.accelerator import training

    sizes = training.SMALL if self._is_small else training.Sizes()
    return training.measure(precision, sizes)

  def _picks(self) -> Iterator[Row]:
    from experiments.benchmarks.accelerator import picks

    dataset, sizes = self._runs()
    until = time.monotonic() + _WAIT_SECONDS
    with tempfile.TemporaryDirectory() as name, self._on_cpu(name) as process:
      yield from picks.measure(
        dataset,
        sizes,
        pathlib.Path(name),
        lambda: process.poll() is None and time.monotonic() < until,
      )

  def _runs(self):
    from experiments.benchmarks.accelerator import picks, pictures

    if self._is_small:
      return pictures.load(self._mnist, most=120), picks.SMALL
    return pictures.load(self._mnist), picks.Sizes()

  def answer(self, folder: pathlib.Path) -> None:
    """Runs as the other process of the section `picks`."""
    from experiments.benchmarks.accelerator import picks

    picks.answer(*self._runs(), folder)

  @contextlib.contextmanager
  def _on_cpu(self, folder):
    """Runs this program in its own process, on the CPU."""
    command = [sys.executable, 'experiments/benchmarks/gpu.py']
    command += [f'--answer={folder}'] + ['--small'] * self._is_small
    if self._mnist is not None:
      command.append(f'--mnist={self._mnist.resolve()}')
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    process = subprocess.Popen(command, env=environment, cwd=_ROOT)
    try:
      yield process
    finally:
      process.kill()
      process.wait()

  def _kernels(self) -> list[Section]:
    """Splits the table of kernels into parts, which may fail separately."""
    try:
      from experiments.benchmarks.kernels import suite
    except ModuleNotFoundError as missing:
      problem = missing

      def fails():
        raise problem

      return [Section('kernels', 0, 0, fails)]

    def part(name):
      return suite.PARTS[name](self._measured_machine[0])

    return [
      Section(f'kernels: {name}', 10, 60, functools.partial(part, name))
      for name in suite.PARTS
    ]


def measure() -> Iterator[Row]:
  """Measures every section, with the flags at their defaults."""
  for _, row in _measured(_flags([]), report.environment()):
    yield row


def _measured(flags, environment) -> Iterator[tuple[str, Row]]:
  benchmark = Benchmark(is_small=flags.small, mnist=flags.mnist)
  wanted = [
    section
    for section in benchmark.sections()
    if not flags.sections or section.name.partition(':')[0] in flags.sections
  ]
  kept = report.Report(pathlib.Path(flags.out), environment)
  for name, row in sections_lib.run(wanted, flags.seconds):
    kept.add(name, row)
    yield name, row


def _print_all(flags):
  """Prints the environment, and rows as they come."""
  environment = report.environment()
  for name, value in environment.items():
    print(f'{name}: {value}')
  print(table.HEADER, flush=True)
  previous = None
  for section, row in _measured(flags, environment):
    if section != previous:
      print(f'[{section}]')
    print(report.line(row), flush=True)
    previous = section


def _flags(arguments: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--seconds', type=float, default=_SECONDS)
  parser.add_argument('--out', default=os.environ.get('OUT') or 'runs/gpu')
  parser.add_argument('--sections', type=lambda names: names.split(','))
  parser.add_argument('--mnist', type=pathlib.Path)
  parser.add_argument('--make_mnist', type=pathlib.Path)
  parser.add_argument('--small', action='store_true')
  parser.add_argument('--answer', type=pathlib.Path, help=argparse.SUPPRESS)
  return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
  """Runs the command.

  Args:
    arguments: flags of the command line.
  """
  flags = _flags(arguments)
  if flags.make_mnist is not None:
    from experiments.benchmarks.accelerator import pictures

    pictures.make_file(flags.make_mnist)
  elif flags.answer is not None:
    Benchmark(is_small=flags.small, mnist=flags.mnist).answer(flags.answer)
  else:
    _print_all(flags)
