"""Networks as pure functions; `variables` is an opaque pytree.

It has `'params'`, which are trained, and may have `'statistics'`, which are not
(BatchNorm).
"""

from typing import NamedTuple, Protocol

import jax

from al_jax.interfaces.base import ModelOutput, PyTree


class InitVariables(Protocol):
  """Makes the initial variables of a network."""

  def __call__(self, key: jax.Array) -> PyTree:
    """Returns variables drawn with a key."""


class ApplyModel(Protocol):
  """Evaluates a model."""

  def __call__(
    self, variables: PyTree, inputs: PyTree, *, key: jax.Array | None = None
  ) -> ModelOutput:
    """Evaluates a batch.

    Args:
      variables: Variables of the model.
      inputs: Pytree of [B, ...], raw.
      key: Dropout key, whose mask the batch shares: one key is one sampled
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
      variables: Variables of the model.
      inputs: Pytree of [B, ...], raw.
      key: Dropout key.
      real: bool[B], False in padding rows, which do not change the statistics.
        If None, all rows are real.

    Returns:
      ModelOutput; and the new statistics, `{}` if there are none.
    """


class ApplyNet(Protocol):
  """Evaluates a network that is not a model, in training or not."""

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
      variables: Variables of the network.
      *inputs: Pytrees of [B, ...].
      key: Dropout key. In training each example has its own mask, otherwise the
        batch shares one. If None, there is no dropout.
      training: Whether BatchNorm normalises by the batch and the statistics are
        updated.
      real: bool[B], False in padding rows. If None, all rows are real.

    Returns:
      The output of the network; and its statistics, `{}` if it has none.
    """


class ModelFns(NamedTuple):
  """Model as pure functions.

  Attributes:
    init: See `InitVariables`.
    apply: See `ApplyModel`.
    train: See `TrainModel`.
  """

  init: InitVariables
  apply: ApplyModel
  train: TrainModel


class NetFns(NamedTuple):
  """Network that is not a model: an encoder, a decoder, a critic.

  Attributes:
    init: See `InitVariables`.
    apply: See `ApplyNet`.
  """

  init: InitVariables
  apply: ApplyNet
