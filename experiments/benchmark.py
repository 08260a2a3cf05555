"""Measures speed in one run, and prints a table.

    python -m experiments.benchmark training    # 5 minutes on 2 cores
    python -m experiments.benchmark watching    # 2 minutes, MNIST
    python -m experiments.benchmark labelling   # a minute
    python -m experiments.benchmark kernels     # 10 minutes
    python -m experiments.benchmark covering    # 10 minutes, CIFAR-10
    python -m experiments.benchmark calls       # 1 minute
    python -m experiments.benchmark imagenet    # under a minute, 4 GB
    python -m experiments.benchmark tiled       # half an hour, 11 GB of disk
    python -m experiments.benchmark gpu         # under 8 minutes on one GPU

`training` needs the extra `benchmark` (PyTorch), and uses MNIST if TFDS has it,
otherwise scikit-learn's digits. `watching` is the cost of a run's observers,
also a row of `training`. `labelling` is the time people wait for the next
batch. `kernels` runs without the extra and MNIST: rows name a missing package.
`covering` times k-center on random points, on features and on patches of
pictures, and counts the pairs of points it compares. `calls` compares the first
call of each kernel with a later one, plainly and under a jit. `imagenet` is one
selection of 1,000 from 200,000 points. `tiled` selects from files of up to
20,000,000 points, which are larger than the memory it may use. `gpu` measures
an accelerator; its flags are in `experiments/benchmarks/gpu.py --help`.

Measurements to be compared alternate, and a ratio is the median of the ratios
of pairs. Even so the machine should be idle: PyTorch's threads wait for each
other, and beside other work its step took up to 50 times as long as alone.
"""

from absl import app

from experiments.benchmarks import suites

if __name__ == '__main__':
  app.run(suites.main)
