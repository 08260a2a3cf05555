"""Asking: the strategy's choice, checked, paid for, and revealed."""

from typing import NamedTuple

import jax
import numpy as np

from al_jax import kernels, keys
from al_jax import pool as pool_lib
from al_jax.kernels import _padding
from al_jax.loop import contracts, stages
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import RunState
from al_jax.loop.stopwatch import Stopwatch
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
    first = np.asarray(kernels.uniform(key, eligible, size).indices)
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
    program, program.strategy, state, k, seed=seed, round=round
  )
  state = state.replace(strategy=strategy_state)
  state, answers = _ask(
    program, oracle, state, picks, k, seed=seed, round=round + 1
  )
  return state, Acquired(picks, answers, seconds_measure, seconds_select)


def _choose(program, compiled, state, k, *, seed, round, depth=0):
  """What a strategy chooses, after the stages before it.

  Returns the strategy's state after, the picks without padding, and the seconds
  that were spent measuring and selecting.
  """
  strategy, pool = compiled.strategy, state.pool
  own, before = state.strategy, None
  where, seconds_measure, seconds_select = None, 0.0, 0.0
  if compiled.before is not None:
    before, own = own
    before, candidates, seconds_measure, seconds_select = _choose(
      program,
      compiled.before,
      state.replace(strategy=before),
      compiled.num_candidates,
      seed=seed,
      round=round,
      depth=depth + 1,
    )
    padded = np.full(compiled.num_candidates, -1, np.int32)
    padded[: len(candidates)] = candidates
    where = _candidates_and_asked(padded, pool)

  def key(purpose):
    # The last stage draws as it does without others before it.
    found = keys.for_round(seed, round, purpose)
    return jax.random.fold_in(found, depth) if depth else found

  stopwatch = Stopwatch()
  if strategy.where is not None:
    of_its_own = strategy.where(key(keys.WHERE), own, pool)
    where = of_its_own if where is None else where & of_its_own
  measured = compiled.measure(key(keys.MEASURE), state.learner, where)
  contracts.check_measured(program, measured, pool, where, round)
  seconds_measure += stopwatch.lap()
  own, selection = contracts.checked_selection(
    program,
    strategy.select(key(keys.SELECT), own, measured, pool, k),
    round,
  )
  picks = contracts.checked_picks(program, selection.indices, k, pool, round)
  seconds_select += stopwatch.lap()
  after = own if compiled.before is None else (before, own)
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
