"""Runs a strategy under test on a small pool."""

import dataclasses
import functools
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import inference
from al_jax import pool as pool_lib
from al_jax.interfaces import (
  Batch,
  Facts,
  PyTree,
  Strategy,
  picks_problem,
  result_problem,
)
from al_jax.interfaces.base import Applied
from al_jax.pool import PoolState
from al_jax.testing import linear, report
from al_jax.testing.report import Broken


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
  """A strategy under test, and its data.

  Attributes:
    strategy: The strategy under test.
    facts: Facts of the task.
    apply: Network for `measure`.
    inputs: Inputs of the pool, float32 [N, ...].
    k: Number of queries.
  """

  strategy: Strategy
  facts: Facts
  apply: Applied
  inputs: np.ndarray
  k: int

  @property
  def asked(self) -> list[int]:
    """Pool indices of three earlier queries, one of them without a label."""
    return [3, 17, 5]

  @functools.cached_property
  def pool(self) -> PoolState:
    """The labelled set after these queries."""
    return self.pool_with(
      self.asked, [pool_lib.ORACLE, pool_lib.MACHINE, pool_lib.ABSTAINED]
    )

  def pool_with(
    self, asked: Collection[int], annotator: Any = pool_lib.ORACLE
  ) -> PoolState:
    """Makes a labelled set."""
    return linear.pool_with(
      list(asked),
      num_examples=len(self.inputs),
      annotator=annotator,
      task=self.facts.task,
    )

  @functools.cached_property
  def _look(self):
    return jax.jit(
      lambda key, batch: self.strategy.measure(key, self.apply, batch)
    )

  @functools.cached_property
  def measured(self) -> PyTree:
    """The measurements of `inputs`."""
    return self.measure(self.inputs)

  def measure(
    self, inputs: np.ndarray, *, size: int | None = None, filler: float = 0.0
  ) -> PyTree:
    """Measures a pool in batches.

    Args:
      inputs: Inputs of the pool, [N, ...].
      size: Number of rows per batch. If None, N.
      filler: Value of the inputs of padding rows.

    Returns:
      Pytree of [N, ...]; `()` if the strategy measures nothing.
    """
    if self.strategy.measure is None:
      return ()
    number, found = len(inputs), []
    for begin in range(0, number, size or number):
      index = np.arange(begin, begin + (size or number), dtype=np.int32)
      rows = inputs[np.minimum(index, number - 1)].copy()
      rows[index >= number] = filler
      index[index >= number] = -1
      measured = self._look(linear.KEY, Batch(index, rows))
      try:
        inference.check_rows(measured, len(index))
      except ValueError as error:
        raise Broken(str(error).rstrip('.')) from error
      found.append(measured)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts)[:number], *found)

  def select(
    self,
    measured: PyTree,
    *,
    pool: PoolState | None = None,
    seen: np.ndarray | None = None,
    state: Any = None,
    key: jax.Array = linear.KEY,
    k: int | None = None,
  ) -> tuple[Any, Any]:
    """Calls `select`, by default with the initial state and the whole pool."""
    state = self.strategy.init(self.facts) if state is None else state
    seen = np.ones(len(self.inputs), bool) if seen is None else seen
    found = self.strategy.select(
      key, state, measured, jnp.asarray(seen), pool or self.pool, k or self.k
    )
    problem = result_problem(found)
    if problem:
      raise Broken(f'select {problem}')
    return found

  def picks(self, measured: PyTree, where: str, **given: Any) -> np.ndarray:
    """Calls `select` and returns its picks; raises Broken if not allowed."""
    try:
      _, selection = self.select(measured, **given)
    except Broken:
      raise
    except Exception as error:
      text = report.error_text(error)
      raise Broken(f'{where} select raised {text}'.lstrip()) from error
    indices = np.asarray(selection.indices)
    pool, seen = given.get('pool', self.pool), given.get('seen')
    problem = picks_problem(
      indices,
      given.get('k', self.k),
      np.asarray(pool_lib.eligible(pool)),
      np.ones(len(self.inputs), bool) if seen is None else seen,
    )
    if problem:
      raise Broken(f'{where} select {problem}'.lstrip())
    return indices
