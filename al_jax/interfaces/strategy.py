"""What to ask: a map over examples, then a decision over the set."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import jax

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
      `'embedding'`; `'dropout'`; `'extras.NAME'`, an output of the model.
    uniform: every example that `select` may pick is as likely as any other to
      be its next pick.
    score: the meaning of `Selection.values`, as a phrase for people: `'entropy
      of the prediction'`. If empty, they are not shown.
  """

  init: InitStrategy
  measure: Measure | None
  select: Select
  where: StrategyWhere | None = None
  prefilter: tuple[Strategy, int] | None = None
  needs: Mapping[str, str] = types.MappingProxyType({})
  uniform: bool = False
  score: str = ''
