"""Networks as pure functions; `variables` is an opaque pytree.

It has `'params'`, which is trained, and may have `'statistics'`, which is not
(BatchNorm).
"""

from typing import NamedTuple, Protocol

import jax

from al_jax.interfaces.base import ModelOutput, PyTree


class InitVariables(Protocol):
  """Makes the first variables of a network."""

  def __call__(self, key: jax.Array) -> PyTree:
    """Returns variables drawn by a key."""


class ApplyModel(Protocol):
  """Evaluates a model."""

  def __call__(
    self, variables: PyTree, inputs: PyTree, *, key: jax.Array | None = None
  ) -> ModelOutput:
    """Evaluates a batch.

    Args:
      variables: of the model.
      inputs: pytree of [B, ...], raw.
      key: of dropout, whose mask the batch shares: one key is one sampled
        network, and nothing else changes. If None, there is no dropout.

    Returns:
      ModelOutput.
    """


class TrainModel(Protocol):
  """Passes a batch through a model in training."""

  def __call__(
    self,
    variables: PyTree,
    inputs: PyTree,
    key: jax.Array,
    *,
    real: jax.Array | None = None,
  ) -> tuple[ModelOutput, PyTree]:
    """Evaluates a batch, with a dropout mask for each example.

    Args:
      variables: of the model.
      inputs: pytree of [B, ...], raw.
      key: of dropout.
      real: bool[B], False in padding rows, which leave the statistics alone.
        If None, all rows are real.

    Returns:
      ModelOutput; and the new statistics, `{}` if there are none.
    """


class ApplyNet(Protocol):
  """Evaluates a network that is no model, or passes a batch through it."""

  def __call__(
    self,
    variables: PyTree,
    *inputs: PyTree,
    key: jax.Array | None = None,
    training: bool = False,
    real: jax.Array | None = None,
  ) -> tuple[PyTree, PyTree]:
    """Evaluates a batch.

    Args:
      variables: of the network.
      *inputs: pytrees of [B, ...].
      key: of dropout, with a mask per example in training and one that the
        batch shares otherwise. If None, there is no dropout.
      training: BatchNorm normalises by the batch, and the statistics are new.
      real: bool[B], False in padding rows. If None, all rows are real.

    Returns:
      What the network returns; and its statistics, `{}` if it has none.
    """


class ModelFns(NamedTuple):
  """A model as pure functions.

  Attributes:
    init: see `InitVariables`.
    apply: see `ApplyModel`.
    train: see `TrainModel`.
  """

  init: InitVariables
  apply: ApplyModel
  train: TrainModel


class NetFns(NamedTuple):
  """A network that is no model: an encoder, a decoder, a critic.

  Attributes:
    init: see `InitVariables`.
    apply: see `ApplyNet`.
  """

  init: InitVariables
  apply: ApplyNet
