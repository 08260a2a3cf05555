"""Runs a strategy once, with arrays in place of a model."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, keys, pool, tasks
from al_jax.interfaces import (
  Facts,
  Strategy,
  picks_problem,
  result_problem,
)
from al_jax.kernels import Selection
from al_jax.strategies.offline import measuring
from al_jax.strategies.offline.measuring import Arrays


class _Keys(NamedTuple):
  """Keys of one stage, the same as in the first round of a run."""

  where: jax.Array
  measure: jax.Array
  select: jax.Array


class NotFiniteError(ValueError):
  """Raised for a measurement that is not finite; carries the pool index."""


def choose(
  strategy: Strategy,
  arrays: Arrays,
  labeled: np.ndarray,
  k: int,
  seed: int,
  *,
  program: Callable | None = None,
  in_parts: bool = False,
) -> Selection:
  """Runs the stages before a strategy, then the strategy itself.

  Args:
    strategy: last stage.
    arrays: arrays by the names in `given.FORMS`.
    labeled: bool[N].
    k: number of queries, at most the number of unlabeled examples.
    seed: seed of every random choice.
    program: compiled `stage` of the strategy. If None, the strategy's own
      functions are called as a run calls them.
    in_parts: whether the arrays stay on the host and are read in parts; only
      without a program.

  Returns:
    A Selection on the host, without padding.

  Raises:
    NotFiniteError: If a measurement is not finite.
    LacksError: If the measure reads an output that select does not have.
    TooLargeError: If arrays are read in parts and the measurements do not fit
      in memory.
    ContractError: If the picks break the contract of a strategy.
    ValueError: If there are too few candidates, or the number of samples is
      wrong.
  """
  run_stage = functools.partial(stage, in_parts=in_parts)
  if program is None:
    program = functools.partial(run_stage, strategy)
  return _choose(strategy, arrays, labeled, k, seed, 0, program, run_stage)


def _choose(strategy, arrays, labeled, k, seed, depth, program, run_stage):
  seen = None
  if strategy.prefilter is not None:
    first, size = strategy.prefilter
    size = min(size, np.count_nonzero(~labeled))
    if size < k:
      raise ValueError(
        f'the prefilter proposes {size} candidates; it must be at least k, {k}.'
      )
    candidates = _choose(
      first,
      arrays,
      labeled,
      size,
      seed,
      depth + 1,
      functools.partial(run_stage, first),
      run_stage,
    )
    seen = labeled.copy()
    seen[candidates.indices] = True
  of_stage = _keys(seed, depth)
  if strategy.where is not None:
    facts = _facts(arrays, labeled)
    where = np.asarray(
      strategy.where(of_stage.where, strategy.init(facts), _pool(labeled))
    )
    seen = where if seen is None else seen & where
  found, bad = program(of_stage, arrays, labeled, seen, k=k)
  if int(bad) < len(labeled):
    raise NotFiniteError(int(bad))
  seen = np.ones_like(labeled) if seen is None else seen
  return _checked(found, k, ~labeled, seen)


def _checked(found, k, eligible, seen):
  """Returns the picks on the host, without padding."""
  indices = np.asarray(found.indices)
  problem = picks_problem(indices, k, eligible, seen)
  if problem:
    raise errors.ContractError(problem)
  return Selection(
    indices[indices >= 0].astype(np.int64),
    np.asarray(found.values)[: len(indices)][indices >= 0],
  )


def _keys(seed, depth):
  """Derives the keys of a stage; depth 0 is the last stage."""

  def of(purpose):
    found = keys.for_round(seed, 0, purpose)
    return jax.random.fold_in(found, depth) if depth else found

  return _Keys(of(keys.WHERE), of(keys.MEASURE), of(keys.SELECT))


def stage(
  strategy: Strategy,
  of_stage: _Keys,
  arrays: Arrays,
  labeled: np.ndarray,
  seen: np.ndarray | None,
  *,
  k: int,
  in_parts: bool = False,
) -> tuple[Selection, jax.Array]:
  """Measures the examples and selects queries, for one stage.

  Args:
    strategy: strategy whose `prefilter` and `where` are applied already.
    of_stage: keys of the stage.
    arrays: arrays by the names in `given.FORMS`.
    labeled: bool[N].
    seen: bool[N], measured examples. If None, all.
    k: number of queries.
    in_parts: see `choose`.

  Returns:
    The Selection, and the first eligible example with a measurement that is not
    finite, or N.
  """
  state = strategy.init(_facts(arrays, labeled))
  measured, bad = (), len(labeled)
  if strategy.measure is not None:
    measured, bad = measuring.measured(
      strategy, of_stage.measure, arrays, labeled, seen, in_parts=in_parts
    )
  seen = jnp.ones(len(labeled), bool) if seen is None else jnp.asarray(seen)
  found = strategy.select(
    of_stage.select, state, measured, seen, _pool(labeled), k
  )
  problem = result_problem(found)
  if problem:
    raise errors.ContractError(problem)
  return found[1], bad


@jax.jit
def _pool(labeled):
  """Makes the labelled set; the labels themselves are not known."""
  empty = pool.create(len(labeled))
  order = jnp.cumsum(labeled, dtype=jnp.int32) - 1
  return empty.replace(
    acquired_round=jnp.where(labeled, 0, empty.acquired_round),
    acquired_order=jnp.where(labeled, order, empty.acquired_order),
    annotator=jnp.where(labeled, pool.ORACLE, empty.annotator).astype(jnp.int8),
  )


def _facts(arrays: Arrays, labeled: Any) -> Facts:
  """Makes the facts that a strategy reads; the task is inferred from arrays."""
  predicted = arrays.get('logits', arrays.get('samples'))
  task = tasks.Vector(1)
  if predicted is not None:
    task = tasks.numbered(predicted.shape[-1])
  example = {
    name: jax.ShapeDtypeStruct(
      array.shape[:1] + array.shape[2:]
      if name == 'samples'
      else array.shape[1:],
      array.dtype,
    )
    for name, array in arrays.items()
  }
  size = len(labeled)
  zero, one = (dict.fromkeys(example, number) for number in (0.0, 1.0))
  return Facts(size, task, size, example, zero, one)
