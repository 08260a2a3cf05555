"""Measures the cost of training on unlabelled examples too.

In the table of `python -m experiments.benchmark training`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from al_jax import data
from al_jax.loop import program
from experiments.benchmarks.rounds import Trainer, labelled
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import in_turns


def epoch_beside_supervised(
  dataset: data.Dataset,
  model: Mapping[str, Any],
  *,
  num_examples: int,
  num_labels: int = 100,
  batch_size: int = 128,
  epochs: int = 2,
  repeats: int = 3,
) -> Row:
  """Compares an epoch of label propagation with one of supervised steps.

  Both train on batches of the same size, and on the same number of them if the
  pool is large enough. Before each epoch, label propagation also surveys the
  pool: features of all examples, graph, propagation and draw.

  Args:
    dataset: the pool.
    model: options of `models.build`.
    num_examples: size to which the pool is cut.
    num_labels: number of labelled examples of label propagation. The supervised
      epoch has as many as its steps take.
    batch_size: batch size of a step.
    epochs: epochs per measurement.
    repeats: number of pairs of measurements.

  Returns:
    A Row; its seconds are those of an epoch.
  """
  few = dataset.train.take(np.arange(num_examples))
  dataset = dataclasses.replace(dataset, train=few)
  all_sources = program.sources_of(dataset)
  spreading = Trainer(
    dataset,
    all_sources,
    model,
    system='propagation_random',
    label_budget=num_labels,
    batch_size=batch_size,
    epochs=epochs,
  )
  pool = labelled(dataset, num_labels)
  spreading.rounds([pool])
  num_steps = spreading.num_steps // epochs
  count = min(num_steps * batch_size, num_examples)
  plain = Trainer(
    dataset,
    all_sources,
    model,
    label_budget=count,
    batch_size=batch_size,
    epochs=epochs,
  )
  known = labelled(dataset, count)
  _, seconds, against, ratio = in_turns(
    lambda: spreading.rounds([pool]), lambda: plain.rounds([known]), repeats
  )
  return Row(
    f'an epoch of propagation, {model["name"]}, N {num_examples:,}',
    seconds / epochs,
    against / epochs,
    'a supervised epoch',
    ratio,
    note=(
      f'{num_steps} steps of {batch_size}; the other has '
      f'{-(-count // batch_size)}'
    ),
  )
