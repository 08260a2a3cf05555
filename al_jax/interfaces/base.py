"""What the seams have in common."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax

from al_jax.tasks import Task

# A pytree of arrays (or of their shapes), whatever its structure.
PyTree = Any
# Opaque to the library: only the functions that made one look inside.
LearnerState = PyTree
StrategyState = PyTree


class Facts(NamedTuple):
  """What may be known of a task before any label is paid for.

  Attributes:
    num_examples: N, the size of the pool.
    task: what is predicted.
    label_budget: the most labels that a run can ever hold: the fixed capacity
      of every buffer of labelled examples.
    example: one input as a pytree of `jax.ShapeDtypeStruct`, without the batch
      axis.
    mean: subtracted from the inputs on device, broadcast against one example.
    std: divides the inputs on device, likewise. Raw inputs are uint8 or
      float32; `mean` and `std` are in raw units.
    made_capacity: M, how many examples can be made that are not in the pool.
  """

  num_examples: int
  task: Task
  label_budget: int
  example: PyTree
  mean: PyTree
  std: PyTree
  made_capacity: int = 0


class Batch(NamedTuple):
  """Examples as they flow through apply, measure and the step.

  Attributes:
    index: int32[B], positions in the pool; padding rows have -1.
    inputs: pytree of [B, ...], raw (uint8 or float32); zeros in padding rows.
  """

  index: jax.Array
  inputs: PyTree


class Applied(Protocol):
  """A model whose weights are given: what a measurement looks through."""

  def __call__(
    self, inputs: PyTree, *, keys: jax.Array | None = None
  ) -> 'ModelOutput':
    """Evaluates a batch.

    Args:
      inputs: pytree of [B, ...], raw.
      keys: keys[S]: S dropout samples on a new leading axis, whose masks the
        batch shares. If None, there is no dropout.

    Returns:
      ModelOutput.
    """


class Measure(Protocol):
  """Measures the examples of a batch; rows must be treated alike and apart."""

  def __call__(self, key: jax.Array, apply: Applied, batch: Batch) -> PyTree:
    """Measures a batch.

    Args:
      key: the same for every chunk of the pool. Draws that the pool shares
        (dropout masks) come from it, draws of an example from
        `fold_in(key, index)`.
      apply: the model.
      batch: examples.

    Returns:
      Pytree of [B, ...]: a score, an embedding, samples.
    """


class ModelOutput(NamedTuple):
  """Everything that a model says about a batch.

  Under jit, outputs that nobody reads cost nothing.

  Attributes:
    predictions: pytree with the structure of the task: logits [..., C]; values
      [..., D] in units of scale; a dict of these.
    embedding: [..., D], the input of the last dense layer. None: the model
      gives none.
    extras: named further outputs (hidden layers, a predicted loss, ...).
  """

  predictions: PyTree
  embedding: jax.Array | None
  extras: Mapping[str, jax.Array]
