"""Interface of strategies: a map over examples, then a choice among them."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import numpy as np

from al_jax.interfaces.base import Facts, Measure, PyTree, StrategyState

if TYPE_CHECKING:
  from al_jax.kernels import Selection
  from al_jax.pool import PoolState


class InitStrategy(Protocol):
  """Makes the state of a strategy before the first round."""

  def __call__(self, facts: Facts) -> StrategyState:
    """Returns the state; `()` for nearly all strategies."""


class Select(Protocol):
  """Chooses queries from the whole pool."""

  def __call__(
    self,
    key: jax.Array,
    state: StrategyState,
    measured: PyTree,
    seen: jax.Array,
    pool: PoolState,
    k: int,
  ) -> tuple[StrategyState, Selection]:
    """Chooses k queries from `pool.eligible(pool) & seen`.

    Args:
      key: Random key of the choice.
      state: State of the strategy.
      measured: Pytree of [N, ...]; `()` if `measure` is None.
      seen: Rows of `measured` that were measured, bool[N]. No other row may be
        read: it holds zeros. All True if `measure` is None.
      pool: Labelled set.
      k: Number of queries; static.

    Returns:
      The next state, and the Selection. It has fewer than k queries only if
      fewer are eligible.
    """


class StrategyWhere(Protocol):
  """Chooses the examples to measure."""

  def __call__(
    self, key: jax.Array, state: StrategyState, pool: PoolState
  ) -> jax.Array:
    """Returns bool[N]."""


class Strategy(NamedTuple):
  """Strategy: a map over examples, then a choice among them.

  Neither function sees an answer that has not been paid for: no argument can
  contain one.

  Attributes:
    init: See `InitStrategy`.
    measure: See `Measure`. If None, nothing is measured.
    select: See `Select`.
    where: Examples to measure, see `StrategyWhere`. If None, all.
    prefilter: `(strategy, m)`: that strategy first proposes m candidates, and
      this one measures only those and the examples that were queried before. If
      None, all. See `strategies.chain`.
    needs: Requirements by name, each with the reason to show if it is not met,
      or `''`. `'classes'`: predictions that are the logits of classes;
      `'embedding'`; `'dropout'`; `'extras.NAME'`, an output of the model;
      `'answers'` to the queries of earlier rounds, which only a run has.
    uniform: Whether every example that `select` may pick is equally likely to
      be its next pick.
    score: Meaning of `Selection.values`, as a phrase for people: `'entropy of
      the prediction'`. If empty, they are not shown.
    is_doubt: Whether scores are 1 - the largest probability, so that they give
      the confidence of the model.
    takes_tiles: Whether `select` takes a `kernels.Tiled` in place of
      `measured`; it is not jitted then. `measure` then returns points, and
      reads neither its key nor the index.
    takes_sharded: Whether, on several devices, `select` takes `measured` as
      `kernels.Sharded`, and everything else on every device. If False, it gets
      arrays on the first device.
  """

  init: InitStrategy
  measure: Measure | None
  select: Select
  where: StrategyWhere | None = None
  prefilter: tuple[Strategy, int] | None = None
  needs: Mapping[str, str] = types.MappingProxyType({})
  uniform: bool = False
  score: str = ''
  is_doubt: bool = False
  takes_tiles: bool = False
  takes_sharded: bool = False


def result_problem(found: Any) -> str:
  """Describes how a value differs from the result of a `Select`; '' if valid.

  Args:
    found: Value that a select returned.
  """
  is_pair = isinstance(found, tuple) and len(found) == 2
  if is_pair and hasattr(found[1], 'indices'):
    return ''
  what = type(found).__name__
  if isinstance(found, tuple):
    what = f'({", ".join(type(each).__name__ for each in found)})'
  return f'returned {what}; it must return (state, al_jax.kernels.Selection)'


def picks_problem(
  indices: np.ndarray, k: int, eligible: np.ndarray, seen: np.ndarray
) -> str:
  """Describes how picks break the contract of a `Select`; '' if they do not.

  Args:
    indices: Indices of the Selection, on the host.
    k: Number of queries wanted.
    eligible: Examples that were never queried, bool[N].
    seen: Examples that were measured, bool[N].
  """
  if indices.ndim != 1 or indices.dtype.kind not in 'iu' or len(indices) > k:
    return (
      f'selected {indices.dtype}{list(indices.shape)}; it must select at most '
      f'{k} pool indices, int[k]'
    )
  shown = indices.tolist() if k <= 20 else f'{indices.tolist()[:20]} and so on'
  picks = indices[indices >= 0]
  if np.any(indices < -1):
    return f'selected {indices.min()}; padding must be -1: {shown}'
  if np.any(indices[len(picks) :] != -1):
    return f'selected -1 before a pick; padding must come last: {shown}'
  if np.any(picks >= len(eligible)):
    return f'picked beyond the pool of {len(eligible)}: {shown}'
  if len(np.unique(picks)) < len(picks):
    return f'picked an example twice: {shown}'
  if not np.all(eligible[picks]):
    asked = picks[~eligible[picks]][0]
    return f'picked {asked}, which was queried before: {shown}'
  if not np.all(seen[picks]):
    return f'picked {picks[~seen[picks]][0]}, which was not measured: {shown}'
  due = min(k, np.count_nonzero(eligible & seen))
  if len(picks) < due:
    return f'picked {len(picks)}; it must pick {due} of the eligible: {shown}'
  return ''
