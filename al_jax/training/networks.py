"""A network in training: what its weights begin from, and how they move."""

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
  """The weights of a network, and what its optimizer remembers.

  Attributes:
    initial: the variables that a cold start goes back to.
    variables: `'params'` and maybe `'statistics'`.
    optimizer: state of the optimizer.
  """

  initial: PyTree
  variables: PyTree
  optimizer: PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
  """What does not change from round to round.

  Attributes:
    init: `(key) -> variables`.
    optimizer: moves the weights.
    weights: what a round begins from, one of `WEIGHTS`.
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
      key: of new weights; consumed only if `weights` is `'new'`.
      network: at the end of the round before.

    Returns:
      The network with the weights that the round begins with, and an optimizer
      that remembers nothing.
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
    """Moves the weights by a step.

    Args:
      network: before the step.
      gradients: of the loss with respect to `'params'`.
      statistics: to take over, if the network has any.
      share: of the round that is over, in [0, 1).
      count: int32, number of examples of an epoch.

    Returns:
      The network after.
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
    optimizer: keywords of `training.optimizers.build`.
    weights: `'same'`, the same fresh initialisation every round; `'new'`,
      another one each round; `'warm'`, the weights of the round before. The
      optimizer is always new.

  Returns:
    A Trainer.

  Raises:
    ValueError: an unknown option, or a value that is not allowed.
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
