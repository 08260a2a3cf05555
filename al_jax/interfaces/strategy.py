"""What to ask: a map over examples, then a decision over the set."""

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
    """Returns the state; `()` for nearly all."""


class Select(Protocol):
  """Chooses queries among the whole pool."""

  def __call__(
    self,
    key: jax.Array,
    state: StrategyState,
    measured: PyTree,
    seen: jax.Array,
    pool: PoolState,
    k: int,
  ) -> tuple[StrategyState, Selection]:
    """Chooses k queries among `pool.eligible(pool) & seen`.

    Args:
      key: of the choice.
      state: of the strategy.
      measured: pytree of [N, ...]; `()` if `measure` is None.
      seen: bool[N], which rows of `measured` were measured: no other row may be
        read, it holds zeros. All if `measure` is None.
      pool: the labelled set.
      k: number of queries, static.

    Returns:
      The state after, and the Selection: fewer than k only if fewer are
      eligible.
    """


class StrategyWhere(Protocol):
  """Says which examples are measured."""

  def __call__(
    self, key: jax.Array, state: StrategyState, pool: PoolState
  ) -> jax.Array:
    """Returns bool[N]."""


class Strategy(NamedTuple):
  """What to ask: a map over examples, then a decision over the set.

  Neither function sees an answer that has not been paid for: what they are
  given cannot contain one.

  Attributes:
    init: see `InitStrategy`.
    measure: see `Measure`. If None, it looks at nothing.
    select: see `Select`.
    where: the examples to measure, see `StrategyWhere`. If None, all.
    prefilter: `(strategy, m)`: that strategy is asked first, for m candidates,
      and this one measures only those and the examples that were asked about
      before. If None, all. See `strategies.chain`.
    needs: what it cannot do without, each with the reason to tell where it is
      lacking, or `''`. `'classes'`: predictions that are the logits of classes;
      `'embedding'`; `'dropout'`; `'extras.NAME'`, an output of the model;
      `'answers'` to the queries of earlier rounds, which only a run has.
    uniform: every example that `select` may pick is as likely as any other to
      be its next pick.
    score: the meaning of `Selection.values`, as a phrase for people: `'entropy
      of the prediction'`. If empty, they are not shown.
    is_doubt: its scores are 1 - the largest probability, so that they say how
      confident the model is.
    takes_tiles: `select` takes a `kernels.Tiled` in the place of `measured`,
      and is not jitted then; `measure` returns points, and reads neither its
      key nor the index.
    takes_sharded: on several devices `select` is given what was measured as
      `kernels.Sharded`, and everything else on every device. If False, it is
      given arrays on the first device.
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
  """Describes how a value is not what a `Select` returns; '' if it is.

  Args:
    found: the value that a select returned.
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
    indices: of the Selection, on the host.
    k: number of queries wanted.
    eligible: bool[N], the examples that were never queried.
    seen: bool[N], the examples that were measured.
  """
  if indices.ndim != 1 or indices.dtype.kind not in 'iu' or len(indices) > k:
    return (
      f'selected {indices.dtype}{list(indices.shape)} where at most {k} '
      'positions are due, int[k]'
    )
  shown = indices.tolist() if k <= 20 else f'{indices.tolist()[:20]} and so on'
  picks = indices[indices >= 0]
  if np.any(indices < -1):
    return (
      f'selected {indices.min()}; what is no pool index must be -1: {shown}'
    )
  if np.any(indices[len(picks) :] != -1):
    return f'selected -1 before a pick; -1 pads at the end: {shown}'
  if np.any(picks >= len(eligible)):
    return f'picked beyond the pool of {len(eligible)}: {shown}'
  if len(np.unique(picks)) < len(picks):
    return f'picked an example twice: {shown}'
  if not np.all(eligible[picks]):
    asked = picks[~eligible[picks]][0]
    return f'picked {asked}, which was asked about before: {shown}'
  if not np.all(seen[picks]):
    return f'picked {picks[~seen[picks]][0]}, which was not measured: {shown}'
  due = min(k, np.count_nonzero(eligible & seen))
  if len(picks) < due:
    return f'picked {len(picks)}; {due} are due, so many are eligible: {shown}'
  return ''
