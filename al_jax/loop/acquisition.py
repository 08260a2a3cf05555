"""Asking: the strategy's choice, checked, paid for, and revealed."""

from typing import NamedTuple

import jax
import numpy as np

from al_jax import kernels, keys
from al_jax import pool as pool_lib
from al_jax.kernels import _padding
from al_jax.loop import stages
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import RunState
from al_jax.loop.stopwatch import Clock
from al_jax.oracle import Answers, Oracle


class Acquired(NamedTuple):
  """What a round asked, and what it learnt and cost.

  Attributes:
    picks: int32[k], positions in the pool in the order of asking; fewer than
      asked for when the pool runs out.
    answers: of the picks.
    seconds_measure: the pass over the pool.
    seconds_select: the decision.
  """

  picks: np.ndarray
  answers: Answers
  seconds_measure: float
  seconds_select: float


# Of a round after which nothing is asked.
NOTHING = Acquired(
  picks=np.zeros(0, np.int32),
  answers=Answers(np.zeros(0, np.int32), np.zeros(0, np.int8)),
  seconds_measure=0.0,
  seconds_select=0.0,
)


# Operation by operation the draw is forty small programs.
_uniform = jax.jit(kernels.uniform, static_argnames='k')


def begin(
  program: Program, oracle: Oracle, protocol: Protocol, seed: int
) -> RunState:
  """A run before its first round: the first set has been asked and paid for."""
  facts = program.system.facts
  state = RunState(
    learner=program.init(keys.for_run(seed, keys.INITIALISE)),
    strategy=stages.initial_state(program.system.strategy, facts),
    pool=pool_lib.create(facts.num_examples),
    paid=0,
  ).on_device()
  if protocol.first_set == 'none':
    return state
  key = keys.for_run(seed, keys.FIRST_SET)
  size = protocol.first_size
  if protocol.first_set == 'balanced':
    first = oracle.balanced_first_set(key, size)
  else:
    eligible = pool_lib.eligible(state.pool)
    first = np.asarray(_uniform(key, eligible, size).indices)
  return _ask(program, oracle, state, first, size, seed=seed, round=0)[0]


def acquire(
  program: Program,
  oracle: Oracle,
  state: RunState,
  k: int,
  *,
  seed: int,
  round: int,
) -> tuple[RunState, Acquired]:
  """Asks what the strategy chooses at the end of a round.

  Args:
    program: the compiled system.
    oracle: answers.
    state: after the round's training.
    k: how many questions may be asked.
    seed: of the run.
    round: the round that is over.

  Returns:
    The state after, and what was Acquired.

  Raises:
    FloatingPointError: a score that is not finite.
    RuntimeError: a strategy that breaks its contract.
  """
  strategy_state, picks, seconds_measure, seconds_select = _choose(
    program, program.stage, state, k, seed=seed, round=round
  )
  state = state.replace(strategy=strategy_state)
  state, answers = _ask(
    program, oracle, state, picks, k, seed=seed, round=round + 1
  )
  return state, Acquired(picks, answers, seconds_measure, seconds_select)


def _choose(program, stage, state, k, *, seed, round, depth=0):
  """What a stage chooses, after the stages before it.

  Returns the strategy's state after, the picks without padding, and the seconds
  that were spent measuring and selecting.
  """
  strategy, pool = stage.strategy, state.pool
  own, before = state.strategy, None
  where, seconds_measure, seconds_select = None, 0.0, 0.0
  if stage.before is not None:
    before, own = own
    before, candidates, seconds_measure, seconds_select = _choose(
      program,
      stage.before,
      state.replace(strategy=before),
      stage.num_candidates,
      seed=seed,
      round=round,
      depth=depth + 1,
    )
    padded = np.full(stage.num_candidates, -1, np.int32)
    padded[: len(candidates)] = candidates
    where = _candidates_and_asked(padded, pool)

  def key(purpose):
    # The last stage draws as it does without others before it.
    found = keys.for_round(seed, round, purpose)
    return jax.random.fold_in(found, depth) if depth else found

  clock = Clock()
  if strategy.where is not None:
    of_its_own = strategy.where(key(keys.WHERE), own, pool)
    where = of_its_own if where is None else where & of_its_own
  measured = stage.measure(key(keys.MEASURE), state.learner, where)
  _check_finite(program, measured, pool, where, round)
  seconds_measure += clock.lap()
  own, selection = _selected(
    program,
    strategy.select(key(keys.SELECT), own, measured, pool, k),
    round,
  )
  picks = _checked_picks(program, selection.indices, k, pool, round)
  seconds_select += clock.lap()
  after = own if stage.before is None else (before, own)
  return after, picks, seconds_measure, seconds_select


@jax.jit
def _candidates_and_asked(candidates, pool):
  asked = ~pool_lib.eligible(pool)
  candidates = _padding.past_end(candidates, pool.num_examples)
  return asked.at[candidates].set(True, mode='drop')


def _ask(program, oracle, state, picks, size, *, seed, round):
  """Pays for answers and reveals them to the training of `round`."""
  padded = np.full(size, -1, np.int32)
  padded[: len(picks)] = picks
  key = keys.for_run(seed, keys.ORACLE)
  paid, answers = oracle.ask(key, state.paid, padded)
  pool = program.reveal(
    state.pool, padded, answers.targets, answers.annotator, round=round
  )
  answers = jax.tree.map(lambda leaf: leaf[: len(picks)], answers)
  return state.replace(pool=pool, paid=paid), answers


def _check_finite(program, measured, pool, where, round):
  mask = pool_lib.eligible(pool)
  if where is not None:
    mask &= where
  bad = int(program.first_bad(measured, mask))
  if bad < pool.num_examples:
    raise FloatingPointError(
      f'round {round}: system {program.system.name!r} measured a value that is '
      f'not finite for example {bad} (id {program.ids[bad]}).'
    )


def _selected(program, found, round):
  """What a select returned, if it is what its contract says."""
  is_pair = isinstance(found, tuple) and len(found) == 2
  if not is_pair or not hasattr(found[1], 'indices'):
    what = type(found).__name__
    if isinstance(found, tuple):
      what = f'({", ".join(type(each).__name__ for each in found)})'
    raise RuntimeError(
      f'round {round}: the select of system {program.system.name!r} returned '
      f'{what}; it must return (state, Selection).'
    )
  return found


def _checked_picks(program, indices, k, pool, round):
  """The picks without padding: distinct, and never asked about before."""
  indices = np.asarray(indices)
  eligible = np.asarray(pool_lib.eligible(pool))
  problem = _problem(indices, k, eligible)
  if problem:
    raise RuntimeError(
      f'round {round}: system {program.system.name!r} {problem}.'
    )
  return indices[indices >= 0].astype(np.int32)


def _problem(indices, k, eligible):
  """In what indices break the contract of a selection; '' if in nothing."""
  if indices.ndim != 1 or indices.dtype.kind not in 'iu' or len(indices) > k:
    return (
      f'selected {indices.dtype}{list(indices.shape)} where at most {k} '
      'positions are due, int[k]'
    )
  shown = indices.tolist() if k <= 20 else f'{indices.tolist()[:20]} and so on'
  picks = indices[indices >= 0]
  if np.any(indices < -1) or np.any(indices[len(picks) :] != -1):
    return f'padded with something else than -1 at the end: {shown}'
  if np.any(picks >= len(eligible)):
    return f'picked beyond the pool of {len(eligible)}: {shown}'
  if len(np.unique(picks)) < len(picks) or not np.all(eligible[picks]):
    return (
      f'picked an example twice or one that was asked about before: {shown}'
    )
  if not len(picks) and np.any(eligible):
    return f'picked nothing; {np.count_nonzero(eligible)} are eligible'
  return ''
