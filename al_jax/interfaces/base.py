"""Types that all interfaces share."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax

from al_jax.tasks import Task

# A pytree of arrays (or of their shapes), whatever its structure.
PyTree = Any
# Opaque to the library: only the functions that made a state read it.
LearnerState = PyTree
StrategyState = PyTree


class Facts(NamedTuple):
  """Facts about a task that are known before any label is paid for.

  Attributes:
    num_examples: N, the size of the pool.
    task: Task to predict.
    label_budget: Most labels that a run can ever hold, which is the fixed
      capacity of every buffer of labelled examples.
    example: One input as a pytree of `jax.ShapeDtypeStruct`, without the batch
      axis.
    mean: Mean in raw units, subtracted from the inputs on device, broadcast
      against one example.
    std: Standard deviation in raw units, which divides the inputs on device,
      broadcast against one example. Raw inputs are uint8 or float32.
    made_capacity: M, the most examples outside the pool that can be made.
  """

  num_examples: int
  task: Task
  label_budget: int
  example: PyTree
  mean: PyTree
  std: PyTree
  made_capacity: int = 0


class Batch(NamedTuple):
  """Batch of examples.

  Attributes:
    index: Pool indices, int32[B]; padding rows have -1.
    inputs: Pytree of [B, ...], raw (uint8 or float32); zeros in padding rows.
  """

  index: jax.Array
  inputs: PyTree


class Applied(Protocol):
  """Evaluates a model whose weights are bound, for measurements."""

  def __call__(
    self, inputs: PyTree, *, keys: jax.Array | None = None
  ) -> 'ModelOutput':
    """Evaluates a batch.

    Args:
      inputs: Pytree of [B, ...], raw.
      keys: keys[S]: S dropout samples on a new leading axis, whose masks the
        batch shares. If None, there is no dropout.

    Returns:
      ModelOutput.
    """


class Measure(Protocol):
  """Measures the examples of a batch, each row alike and independently."""

  def __call__(self, key: jax.Array, apply: Applied, batch: Batch) -> PyTree:
    """Measures a batch.

    Args:
      key: Random key, the same for every chunk of the pool. Draws that the pool
        shares (dropout masks) use it, draws of an example use
        `fold_in(key, index)`.
      apply: Model.
      batch: Examples.

    Returns:
      Pytree of [B, ...]: a score, an embedding, samples.
    """


class ModelOutput(NamedTuple):
  """Outputs of a model for a batch.

  Under jit, unused outputs cost nothing.

  Attributes:
    predictions: Pytree with the structure of the task: logits [..., C]; values
      [..., D] in units of scale; a dict of these.
    embedding: Inputs of the last dense layer, [..., D]. None if the model has
      no embedding.
    extras: Further outputs by name (hidden layers, a predicted loss, ...).
  """

  predictions: PyTree
  embedding: jax.Array | None
  extras: Mapping[str, jax.Array]
