"""A network in training: its weights, their initialisation, its optimizer."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import PyTree
from al_jax.training import optimizers

WEIGHTS = ('same', 'new', 'warm')


@flax.struct.dataclass
class Network:
  """The weights of a network, and the state of its optimizer.

  Attributes:
    initial: variables that a cold start returns to.
    variables: `'params'` and optionally `'statistics'`.
    optimizer: state of the optimizer.
  """

  initial: PyTree
  variables: PyTree
  optimizer: PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
  """The initialisation and the optimizer of a network.

  Attributes:
    init: `(key) -> variables`.
    optimizer: optimizer of the weights.
    weights: initial weights of a round, one of `WEIGHTS`.
  """

  init: Callable[[jax.Array], PyTree]
  optimizer: optimizers.Optimizer
  weights: str = 'same'

  def first(self, key: jax.Array) -> Network:
    """Makes the network before any round."""
    variables = self.init(key)
    return self._fresh(variables, variables)

  def begin(self, key: jax.Array, network: Network) -> Network:
    """Begins a round.

    Args:
      key: key of new weights; consumed only if `weights` is `'new'`.
      network: network at the end of the previous round.

    Returns:
      The network with the initial weights of the round and a fresh optimizer
      state.
    """
    initial = network.initial
    if self.weights == 'new':
      initial = self.init(key)
    is_warm = self.weights == 'warm'
    return self._fresh(initial, network.variables if is_warm else initial)

  def moved(
    self,
    network: Network,
    gradients: PyTree,
    statistics: PyTree,
    share: jax.Array,
    count: jax.Array,
  ) -> Network:
    """Takes an optimizer step.

    Args:
      network: network before the step.
      gradients: gradients of the loss with respect to `'params'`.
      statistics: new `'statistics'`; ignored if the network has none.
      share: share of the round that is over, in [0, 1).
      count: int32, number of examples in an epoch.

    Returns:
      The network after the step.
    """
    params = network.variables['params']
    updates, optimizer = self.optimizer.update(
      gradients, network.optimizer, params, share, count
    )
    variables = {
      **network.variables,
      'params': jax.tree.map(jnp.add, params, updates),
    }
    if 'statistics' in variables:
      variables['statistics'] = statistics
    return network.replace(variables=variables, optimizer=optimizer)

  def _fresh(self, initial, variables):
    memory = self.optimizer.init(variables['params'])
    return Network(initial, variables, memory)


def trainer(
  init: Callable[[jax.Array], PyTree],
  *,
  optimizer: Mapping[str, Any] | None,
  weights: str = 'same',
) -> Trainer:
  """Makes a Trainer from options, which are checked.

  Args:
    init: `(key) -> variables`.
    optimizer: keyword arguments of `training.optimizers.build`.
    weights: `'same'`, the same initial weights in every round; `'new'`, newly
      drawn ones in each round; `'warm'`, the weights of the previous round. The
      optimizer state is always fresh.

  Returns:
    A Trainer.

  Raises:
    ValueError: an option is unknown, or a value is not allowed.
  """
  errors.check_name('weights', weights, WEIGHTS)
  built = errors.made_of('optimizer', optimizer, optimizers.build)
  return Trainer(init, built, weights)


def is_finite(variables: PyTree) -> jax.Array:
  """Tells whether all variables of a network are finite: bool."""
  return jnp.all(
    jnp.array(
      [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(variables)]
    )
  )
