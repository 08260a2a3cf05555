"""Runs a suite of measurements and prints its table."""

import importlib
import os
import sys

from absl import app

from al_jax import errors
from experiments.benchmarks import table

# Modules whose `measure` yields rows, by suite. Imported when needed, because
# only some need PyTorch.
SUITES = {
  'training': 'experiments.benchmarks.training',
  'convolutions': 'experiments.benchmarks.convolutions',
  'labelling': 'experiments.benchmarks.labelling',
  'watching': 'experiments.benchmarks.watching',
  'loss_prediction': 'experiments.benchmarks.loss_prediction',
  'adversarial': 'experiments.benchmarks.adversarial',
  'backbones': 'experiments.benchmarks.backbones',
  'bgadl': 'experiments.benchmarks.bgadl',
  'kernels': 'experiments.benchmarks.kernels.suite',
  'covering': 'experiments.benchmarks.kernels.covering',
  'calls': 'experiments.benchmarks.kernels.calls',
  'imagenet': 'experiments.benchmarks.large',
  'tiled': 'experiments.benchmarks.tiled',
  'gpu': 'experiments.benchmarks.accelerator.command',
}


def main(argv: list[str]) -> None:
  """Measures the suite that the command line names.

  Args:
    argv: program and name of a suite.

  Raises:
    app.UsageError: the name is missing or unknown.
    SystemExit: the suite needs PyTorch, which is not installed.
  """
  if len(argv) != 2:
    raise app.UsageError(f'name one of: {", ".join(SUITES)}')
  name = argv[1]
  if name not in SUITES:
    raise app.UsageError(str(errors.unknown_name('benchmark', name, SUITES)))
  suite = _imported(name)
  load, cores = os.getloadavg()[0], os.cpu_count()
  if load > 0.5 * cores:
    print(
      f'The machine is busy (load {load:.1f} on {cores} cores): ratios to '
      'PyTorch will look too good, and all seconds will be too long.',
      file=sys.stderr,
    )
  print(table.HEADER)
  for row in suite.measure():
    print(table.line(row), flush=True)


def _imported(name):
  """Imports the module of a suite."""
  try:
    return importlib.import_module(SUITES[name])
  except ModuleNotFoundError as missing:
    if missing.name != 'torch':
      raise
    sys.exit(
      f'The benchmark {name} needs PyTorch, which is not installed: '
      "pip install -e '.[benchmark]'"
    )
