"""Pictures to select from without TFDS: MNIST as one file."""

import pathlib

import numpy as np

from al_jax import data
from al_jax.data import Dataset


def make_file(path: pathlib.Path) -> None:
  """Writes MNIST, as TFDS has it, into one file.

  Args:
    path: path of the file, 12 MB.
  """
  mnist = data.load('tfds:mnist')
  np.savez_compressed(
    path,
    train_inputs=mnist.train.inputs,
    train_targets=mnist.train.targets,
    test_inputs=mnist.test.inputs,
    test_targets=mnist.test.targets,
  )


def load(path: pathlib.Path | None, *, most: int | None = None) -> Dataset:
  """Loads the first available of MNIST, scikit-learn's digits, random pictures.

  Args:
    path: path of the file that `make_file` wrote. If None, there is none.
    most: maximum number of examples in the pool. If None, all.

  Returns:
    A Dataset with ten classes.
  """
  if path is not None:
    with np.load(path) as found:
      inputs, targets = found['train_inputs'], found['train_targets']
      test = found['test_inputs'], found['test_targets']
    return Dataset.from_arrays(
      inputs[:most], targets[:most], test=test, name='mnist'
    )
  try:
    digits = data.load('digits')
  except ModuleNotFoundError:
    return _drawn(most or 2_000)
  few = digits.train.take(np.arange(len(digits.train))[:most])
  return Dataset.from_arrays(few.inputs, few.targets, name='digits')


def _drawn(number):
  """Draws noise around ten random pictures."""
  rng = np.random.default_rng(0)
  targets = np.arange(number) % 10
  inputs = rng.normal(size=(10, 8, 8, 1))[targets]
  inputs = inputs + rng.normal(size=inputs.shape)
  return Dataset.from_arrays(inputs.astype(np.float32), targets, name='drawn')
