"""Measures one accelerator: `python experiments/benchmarks/gpu.py --help`."""

import pathlib
import sys

if __name__ == '__main__':
  # In place of the folder of this file, whose modules are not meant.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[2])
  from experiments.benchmarks.accelerator import command

  command.main(sys.argv[1:])
