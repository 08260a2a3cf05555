"""Measures one accelerator: `python experiments/benchmarks/gpu.py --help`."""

import pathlib
import sys

if __name__ == '__main__':
  # Replaces this file's folder, whose modules must not shadow others.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[2])
  from experiments.benchmarks.accelerator import command

  command.main(sys.argv[1:])
