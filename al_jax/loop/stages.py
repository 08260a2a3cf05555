"""A strategy and those that propose its candidates, compiled.

Most strategies are one stage: measure the pool, select. One with a `prefilter`
has another before it, which chooses whom it measures.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import inference, kernels, placement, sources
from al_jax.interfaces import (
  Facts,
  Learner,
  PyTree,
  Strategy,
  StrategyState,
)


class CompiledStrategy(NamedTuple):
  """A strategy whose look over the pool is compiled.

  Attributes:
    strategy: what was compiled.
    measure: `(key, learner state, where or None) -> (measured, seen)`, over the
      pool; see `Strategy.select`. On several devices what is measured stays on
      the devices that measured it, as `kernels.Sharded`.
    before: the previous stage, which proposes candidates; None if there is
      none.
    num_candidates: number of candidates that it proposes; 0 without one.
  """

  strategy: Strategy
  measure: Callable[..., tuple[PyTree, jax.Array]]
  before: CompiledStrategy | None = None
  num_candidates: int = 0

  def select(self, key, state, measured, seen, pool, k) -> Any:
    """Calls `Strategy.select`; what is measured is gathered here if it must be.

    Args:
      key: see `Strategy.select`, as the others.
      state: of the strategy.
      measured: of `measure`.
      seen: of `measure`.
      pool: the labelled set.
      k: number of queries.

    Returns:
      What the strategy returns, on the first device.
    """
    select = self.strategy.select
    is_sharded = isinstance(measured, kernels.Sharded)
    if not (self.strategy.takes_sharded and is_sharded):
      measured = placement.gathered(measured)
      return select(key, state, measured, seen, pool, k)
    over = placement.of(measured)
    key, state, seen, pool = over.everywhere((key, state, seen, pool))
    return over.on_first(select(key, state, measured, seen, pool, k))


def compile_strategy(
  strategy: Strategy, learner: Learner, inputs: PyTree, *, chunk_size: int
) -> CompiledStrategy:
  """Makes the compiled functions of a strategy and of those before it.

  Args:
    strategy: the last stage.
    learner: whose predictions are measured.
    inputs: of the pool.
    chunk_size: rows per forward pass.

  Returns:
    The last stage.
  """

  def measure(args, batch):
    key, state = args
    apply = functools.partial(learner.apply, state)
    return strategy.measure(key, apply, batch)

  everything = jnp.ones(sources.length(inputs), jnp.bool_)

  def look(key, state, where):
    if strategy.measure is None:
      return (), everything
    measured = map_pool((key, state), inputs, where)
    leaves = jax.tree.leaves(measured)
    if leaves and isinstance(leaves[0], np.ndarray):
      # One array of points, or the two of Factors.
      measured = kernels.Tiled(*leaves)
    return measured, everything if where is None else jnp.asarray(where)

  map_pool = inference.make_pool_map(
    measure,
    chunk_size=chunk_size,
    may_map=strategy.takes_tiles,
    keep_sharded=True,
  )
  before, num_candidates = None, 0
  if strategy.prefilter is not None:
    first, num_candidates = strategy.prefilter
    before = compile_strategy(first, learner, inputs, chunk_size=chunk_size)
  return CompiledStrategy(
    strategy,
    look,
    before,
    num_candidates,
  )


def initial_state(strategy: Strategy, facts: Facts) -> StrategyState:
  """The state of a strategy; after that of the stage before, if there is one.

  Args:
    strategy: the last stage.
    facts: of the task.

  Returns:
    A pytree: of one stage what its `init` gives, of several nested pairs.
  """
  own = strategy.init(facts)
  if strategy.prefilter is None:
    return own
  return initial_state(strategy.prefilter[0], facts), own


def check_candidates(strategy: Strategy, k: int) -> None:
  """Refuses stages that propose fewer candidates than are asked about.

  Args:
    strategy: the last stage.
    k: questions per round.

  Raises:
    ValueError: there are fewer.
  """
  while strategy.prefilter is not None:
    strategy, num_candidates = strategy.prefilter
    if num_candidates < k:
      raise ValueError(
        f'the prefilter proposes {num_candidates} candidates; it must be at '
        f'least the questions per round, {k}.'
      )
