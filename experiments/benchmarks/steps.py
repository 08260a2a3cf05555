"""Times a step of training: against PyTorch, and as a call against a loop.

The rows are in the table of `python -m experiments.benchmark training`. Steps
are timed as in a run: by `fit`, with the functions of `compile_fit`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import torch

from al_jax import data, sources
from al_jax.loop import program
from al_jax.loop.stopwatch import Stopwatch
from al_jax.training import fit as fit_lib
from experiments.benchmarks import torch_reference
from experiments.benchmarks.rounds import Trainer, labelled, on_device
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import in_turns


class Network(NamedTuple):
  """A network in both frameworks.

  Attributes:
    model: name and options for `models.build`.
    in_torch: function that makes the same network in PyTorch.
    epochs: number of epochs that take a second or less.
    at_most: target for the ratio to the time of PyTorch's step.
  """

  model: Mapping[str, Any]
  in_torch: Callable[[], torch.nn.Module]
  epochs: int
  at_most: float


MLP = Network({'name': 'mlp'}, torch_reference.mlp, 40, 1.1)
CNN = Network({'name': 'mnist_cnn'}, torch_reference.mnist_cnn, 3, 1.3)


def load_images() -> data.Dataset:
  """Loads MNIST if TFDS has it, else scikit-learn's digits, enlarged."""
  try:
    return data.load('tfds:mnist')
  except FileNotFoundError:
    return enlarged_digits()


def enlarged_digits() -> data.Dataset:
  """Loads scikit-learn's digits, enlarged to the 28x28 pixels of MNIST."""
  digits = data.load('digits')
  # Repeating 8 pixels 3 times and adding a margin of 2 makes 28.
  enlarged = {
    name: dataclasses.replace(
      split,
      inputs=np.pad(
        split.inputs.repeat(3, axis=1).repeat(3, axis=2),
        ((0, 0), (2, 2), (2, 2), (0, 0)),
      ),
    )
    for name, split in (('train', digits.train), ('test', digits.test))
  }
  return dataclasses.replace(digits, name='digits at 28x28', **enlarged)


def as_colour(dataset: data.Dataset, num_examples: int = 512) -> data.Dataset:
  """Converts a few examples to 32x32 pictures with three channels."""

  def changed(split):
    few = split.take(np.arange(min(num_examples, len(split))))
    padded = np.pad(few.inputs, ((0, 0), (2, 2), (2, 2), (0, 0)))
    return dataclasses.replace(few, inputs=padded.repeat(3, axis=3))

  return dataclasses.replace(
    dataset, train=changed(dataset.train), test=changed(dataset.test)
  )


def step_beside_torch(
  dataset: data.Dataset,
  network: Network,
  *,
  num_labels: int = 1000,
  batch_size: int = 64,
  repeats: int = 7,
) -> Row:
  """Times a step of Adam, from whole rounds of both frameworks.

  Args:
    dataset: data set of 28x28 pictures.
    network: network to train in both frameworks.
    num_labels: number of labelled examples.
    batch_size: number of examples per step.
    repeats: number of pairs of rounds.

  Returns:
    A Row; its seconds are those of a step.
  """
  training = Trainer(
    dataset,
    program.sources_of(dataset),
    network.model,
    label_budget=num_labels,
    batch_size=batch_size,
    epochs=network.epochs,
  )
  pool = labelled(dataset, num_labels)
  num_steps = network.epochs * -(-num_labels // batch_size)
  in_torch = torch_round(dataset, network, num_labels, batch_size)
  return row_beside_torch(
    f'{dataset.name}: a step of {network.model["name"]}',
    lambda: training.rounds([pool]),
    in_torch,
    num_steps,
    repeats=repeats,
    at_most=network.at_most,
  )


def row_beside_torch(
  what: str,
  ours: Callable[[], float],
  in_torch: Callable[[], float],
  num_steps: int,
  *,
  repeats: int,
  at_most: float,
) -> Row:
  """Times a round in both frameworks, in turns.

  Args:
    what: name of the row.
    ours: function that trains a round and returns the seconds.
    in_torch: function that does the same in PyTorch.
    num_steps: number of steps in a round.
    repeats: number of pairs of rounds.
    at_most: target for the ratio to PyTorch's time.

  Returns:
    A Row; its seconds are those of a step.
  """
  first, seconds, against, ratio = in_turns(ours, in_torch, repeats)
  return Row(
    what,
    seconds / num_steps,
    against / num_steps,
    "PyTorch's",
    ratio,
    compiling=first - seconds,
    at_most=at_most,
  )


def torch_round(
  dataset: data.Dataset, network: Network, num_labels: int, batch_size: int
) -> Callable[[], float]:
  """Makes the loop that a user of PyTorch writes, on tensors in memory.

  Args:
    dataset: data set of pictures.
    network: network to train.
    num_labels: number of examples to train on, from the first.
    batch_size: number of examples per step.

  Returns:
    A function that trains a new network and returns the seconds.
  """
  raw = dataset.train.inputs[:num_labels].astype(np.float32)
  scaled = (raw - dataset.mean) / dataset.std
  inputs = torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous()
  targets = torch.from_numpy(dataset.train.targets[:num_labels]).long()

  def train():
    step = torch_reference.train_step(network.in_torch())
    clock = Stopwatch()
    for _ in range(network.epochs):
      order = torch.randperm(num_labels)
      # al_jax reports these values too; both read them once per epoch.
      total_loss = num_correct = 0
      for begin in range(0, num_labels, batch_size):
        batch = order[begin : begin + batch_size]
        loss, correct = step(inputs[batch], targets[batch])
        total_loss += loss
        num_correct += correct
      float(total_loss), int(num_correct)
    return clock.lap()

  return train


def call_beside_loop(
  dataset: data.Dataset,
  model: Mapping[str, Any],
  *,
  batch_size: int = 64,
  num_steps: int = 8,
  repeats: int = 5,
) -> Row:
  """Times a step as its own call against one inside a loop on the device.

  On CPU, convolutions can be 10 to 50 times slower in the loop.

  Args:
    dataset: data set of pictures.
    model: name and options of a model with convolutions.
    batch_size: number of examples per step.
    num_steps: number of steps per measurement.
    repeats: number of pairs of measurements.

  Returns:
    A Row, whose name says which of both `compile_fit` has chosen.
  """
  all_sources = program.sources_of(dataset)
  inputs = {
    name: sources.on_first(source.inputs)
    for name, source in all_sources.items()
  }
  count = batch_size * num_steps
  pool = labelled(dataset, count)
  training = Trainer(
    dataset,
    all_sources,
    model,
    label_budget=count,
    batch_size=batch_size,
    epochs=100,
  )
  step = fit_lib.step_from(training.learner.phases[0])
  call = jax.jit(step)

  @jax.jit
  def steps(num_steps, state, pool, inputs):
    return jax.lax.fori_loop(
      0, num_steps, lambda _, state: step(state, pool, inputs)[0], state
    )

  key = jax.random.key(0)
  state = training.fns.start(key, on_device(training.init(key)), pool)

  def by_call():
    clock = Stopwatch()
    moved = state
    for _ in range(num_steps):
      moved, progress = call(moved, pool, inputs)
      jax.block_until_ready(progress)
    return clock.lap()

  def in_loop():
    clock = Stopwatch()
    jax.block_until_ready(steps(np.int32(num_steps), state, pool, inputs))
    return clock.lap()

  first, seconds, against, ratio = in_turns(by_call, in_loop, repeats)
  chosen = 'the loop' if training.fns.steps_in_loop else 'calls'
  return Row(
    f'a step of {model["name"]} as a call; fit uses {chosen}',
    seconds / num_steps,
    against / num_steps,
    'in a loop on the device',
    ratio,
    compiling=first - seconds,
  )
