"""A strategy that sees the hidden labels: for studies only, never a method."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

import al_jax
from al_jax.interfaces import Strategy
from al_jax.strategies import scored
from al_jax.training import forward


def true_loss_that_cheats(*, data: str | Mapping[str, Any]) -> Strategy:
  """Queries the largest true losses, by labels that have not been paid for.

  It shows the value of a perfect prediction of the loss.

  Args:
    data: data set of the run, as its config names it.

  Returns:
    A Strategy that measures losses [N].
  """
  dataset = al_jax.load(data)
  targets = jax.tree.map(jnp.asarray, dataset.train.targets)

  def measure(key, apply, batch):
    del key
    of_batch = forward.targets_of(targets, batch.index)
    return dataset.task.losses(apply(batch.inputs).predictions, of_batch)

  return scored(measure, score='true loss, which no method can see')
