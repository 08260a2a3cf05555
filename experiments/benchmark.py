"""Speed: measures everything in one run, and prints a table.

    python -m experiments.benchmark training
    python -m experiments.benchmark kernels
    python -m experiments.benchmark imagenet

`training` takes about five minutes on 2 cores, and needs the extra `benchmark`
(PyTorch). MNIST is used where TFDS has it, otherwise scikit-learn's digits.
`kernels` takes about ten minutes; of the packages in that extra, or of MNIST,
it needs none: the row says what is missing. `imagenet` is one selection of
1,000 from 200,000 points, in under a minute and 4 GB.

What is compared is measured in turns, and a ratio is the median of the ratios
of pairs. Even so the machine should be idle: PyTorch's threads wait for each
other, and beside other work its step took up to 50 times as long as alone.
"""

import importlib
import os
import pathlib
import sys

# Also as a script: these modules are no part of the package.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import app

from al_jax import errors
from experiments.benchmarks import table as benchmark_table

# name -> the module whose `measure` yields rows, imported when it is needed:
# PyTorch is only for the training.
SUITES = {
  'training': 'experiments.benchmarks.training',
  'kernels': 'experiments.benchmarks.kernels',
  'imagenet': 'experiments.benchmarks.large',
}


def main(argv: list[str]) -> None:
  """Measures what the command line names."""
  if len(argv) != 2:
    raise app.UsageError(f'name one of: {", ".join(SUITES)}')
  name = argv[1]
  if name not in SUITES:
    raise app.UsageError(str(errors.unknown_name('benchmark', name, SUITES)))
  load, cores = os.getloadavg()[0], os.cpu_count()
  if load > 0.5 * cores:
    print(
      f'The machine is busy (load {load:.1f} on {cores} cores): the ratios to '
      'PyTorch will be too good, and all seconds too long.',
      file=sys.stderr,
    )
  print(benchmark_table.HEADER)
  for row in importlib.import_module(SUITES[name]).measure():
    print(benchmark_table.line(row), flush=True)


if __name__ == '__main__':
  app.run(main)
