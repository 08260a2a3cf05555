"""Compiles a strategy and the stages that propose its candidates.

Most strategies are one stage: measure the pool, select. A `prefilter` adds a
stage before it, which chooses the examples that it measures.
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
  """A strategy with a compiled measurement of the pool.

  Attributes:
    strategy: the compiled strategy.
    measure: `(key, learner state, where or None) -> (measured, seen)`, over the
      pool; see `Strategy.select`. On several devices the measurements stay on
      the devices that made them, as `kernels.Sharded`.
    before: the previous stage, which proposes candidates; None if there is
      none.
    num_candidates: number of candidates proposed; 0 without a previous stage.
  """

  strategy: Strategy
  measure: Callable[..., tuple[PyTree, jax.Array]]
  before: CompiledStrategy | None = None
  num_candidates: int = 0

  def select(self, key, state, measured, seen, pool, k) -> Any:
    """Calls `Strategy.select`, after gathering the measurements if need be.

    Args:
      key: see `Strategy.select`.
      state: state of the strategy.
      measured: measurements from `measure`.
      seen: mask from `measure`.
      pool: the labelled set.
      k: number of queries.

    Returns:
      The result of the strategy, on the first device.
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
  """Compiles a strategy and the stages before it.

  Args:
    strategy: the last stage.
    learner: the learner whose predictions are measured.
    inputs: inputs of the pool.
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
      # Either one array of points, or the two of Factors.
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
  """Returns the initial state of a strategy and of the stages before it.

  Args:
    strategy: the last stage.
    facts: facts of the task.

  Returns:
    The state from `init` for a single stage; otherwise a pair of the states of
    the earlier stages, in the same form, and of the last stage.
  """
  own = strategy.init(facts)
  if strategy.prefilter is None:
    return own
  return initial_state(strategy.prefilter[0], facts), own


def check_candidates(strategy: Strategy, k: int) -> None:
  """Rejects stages that propose fewer candidates than there are queries.

  Args:
    strategy: the last stage.
    k: queries per round.

  Raises:
    ValueError: a stage proposes fewer than k.
  """
  while strategy.prefilter is not None:
    strategy, num_candidates = strategy.prefilter
    if num_candidates < k:
      raise ValueError(
        f'the prefilter proposes {num_candidates} candidates; it must propose '
        f'at least the queries per round, {k}.'
      )
