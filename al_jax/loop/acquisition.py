"""Acquires labels in two halves: propose queries, then tell their answers.

In between, a run may be saved and its process may end. `ask` serves oracles
that answer at once; answers that take days go to `tell`, in parts if need be.
"""

from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from al_jax import keys, made
from al_jax import pool as pool_lib
from al_jax.interfaces import Answers, Oracle, Question
from al_jax.kernels import _padding
from al_jax.loop import answers as answers_lib
from al_jax.loop import contracts, passing
from al_jax.loop.passing import Passed
from al_jax.loop.program import Program
from al_jax.loop.run_state import RunState
from al_jax.loop.stopwatch import Stopwatch


class Proposal(NamedTuple):
  """Queries that a strategy chose, and the cost of the choice.

  Attributes:
    picks: int32[k], pool indices in order of choice, those of made examples
      starting at N; fewer than requested if the pool runs out.
    values: float[k], the score that each was chosen by, see `Strategy.score`.
    seconds_measure: seconds of the pass over the pool.
    seconds_select: seconds of the decision.
    origins: int32[k], the pool index that each made example started from; -1 if
      it started from the prior of a generator. None if all are from the pool.
    passed: the examples of a stream that passed in this round. If None, the
      pool is not a stream.
  """

  picks: np.ndarray
  values: np.ndarray
  seconds_measure: float
  seconds_select: float
  origins: np.ndarray | None = None
  passed: Passed | None = None


# The proposal of a round after which nothing is queried.
NOTHING = Proposal(np.zeros(0, np.int32), np.zeros(0), 0.0, 0.0)


def with_pending(state: RunState, picks: np.ndarray) -> RunState:
  """Returns the state with these queries pending, in place of any others.

  Args:
    state: state of a run.
    picks: int[K], pool indices; those of made examples start at N.

  Returns:
    The new state.

  Raises:
    ValueError: the queries are invalid, see `answers.check_queries`.
  """
  answers_lib.check_queries(state.pool, picks, len(state.pending))
  pending = np.full_like(state.pending, -1)
  pending[: len(picks)] = picks
  return state.replace(pending=pending)


def propose(
  program: Program, state: RunState, k: int, *, seed: int, round: int
) -> tuple[RunState, Proposal]:
  """Chooses queries at the end of a round and marks them as pending.

  Args:
    program: the compiled system.
    state: state after the round's training.
    k: maximum number of queries.
    seed: seed of the run.
    round: the round that has ended.

  Returns:
    The state with the queries pending, and the Proposal.

  Raises:
    FloatingPointError: a score is not finite.
    RuntimeError: the strategy breaks its contract.
  """
  if program.stream is not None:
    state, proposal = _of_stream(program, state, k, seed=seed, round=round)
  elif program.synthesis is not None:
    state, proposal = _made(program, state, k, seed=seed, round=round)
  else:
    state, proposal = _of_pool(program, state, k, seed=seed, round=round)
  return with_pending(state, proposal.picks), proposal


def _of_pool(program, state, k, *, seed, round):
  """Chooses queries from the pool, without marking them as pending."""
  strategy_state, proposal = _choose(
    program, program.strategy, state, k, seed=seed, round=round
  )
  return state.replace(strategy=strategy_state), proposal


def _of_stream(program, state, k, *, seed, round):
  """Chooses queries from the next examples of a stream."""
  state, passed = passing.propose(program, state, k, seed=seed, round=round)
  proposal = Proposal(
    passed.picks,
    passed.values,
    passed.seconds_measure,
    passed.seconds_select,
    passed=passed,
  )
  return state, proposal


def _made(program, state, k, *, seed, round):
  """Makes queries and writes them to the state, not yet as pending."""
  options, candidates = program.synthesis
  num_examples, starts = program.system.facts.num_examples, NOTHING
  padded = np.full(min(2 * k, num_examples), -1, np.int32)
  if options.begins_in_pool:
    # Twice as many as needed, because some may end up alike.
    state, starts = _of_pool(
      program, state, len(padded), seed=seed, round=round
    )
    padded[: len(starts.picks)] = starts.picks
  stopwatch = Stopwatch()
  key = keys.for_round(seed, round, keys.SYNTHESISE)
  found = candidates(key, state.learner, padded)
  if not np.all(np.isfinite(found.values)):
    raise FloatingPointError(
      f'round {round}, seed {seed}: system {program.system.name!r} made an '
      'example whose score is not finite.'
    )
  found = found.best(k, state.pool, program.system.facts, options.min_distance)
  if len(found.values) < k:
    logging.warning(
      'round %d, seed %d: system %r proposes %d of %d queries: the other made '
      'examples are closer to these than synthesis.min_distance.',
      *(round, seed, program.system.name, len(found.values), k),
    )
  pool, positions = made.add(state.pool, found.inputs)
  return state.replace(pool=pool), Proposal(
    positions,
    found.values,
    starts.seconds_measure,
    starts.seconds_select + stopwatch.lap(),
    found.origins,
  )


def tell(
  program: Program,
  state: RunState,
  indices: np.ndarray,
  answers: Answers,
  *,
  round: int,
  size: int | None = None,
  close: bool = False,
) -> RunState:
  """Writes the answers to some or all of the pending queries.

  Args:
    program: the compiled system.
    state: state with queries pending.
    indices: int[K], the answered queries, as pool indices.
    answers: the answers, in the same order.
    round: the round at whose end they were proposed; -1 for the first set.
    size: length that answers are padded to, so that a different number of them
      compiles nothing new. If None, the label budget.
    close: whether to drop the queries that are still pending after this call,
      which makes them eligible again.

  Returns:
    The state in which the answered queries are paid for and no longer pending.

  Raises:
    ValueError: `answers.checked` rejects the answers, or there are more labels
      than the system has room for. Nothing is paid for then.
  """
  facts = program.system.facts
  indices, answers = answers_lib.checked(facts, state.pending, indices, answers)
  pending = np.where(np.isin(state.pending, indices), -1, state.pending)
  if close:
    pending = np.full_like(pending, -1)
  state = state.replace(pending=pending)
  if not len(indices):
    return state
  size = len(pending) if size is None else size
  padding = max(size - len(indices), 0)
  filled = np.pad(indices, (0, padding), constant_values=-1)
  targets, annotator = jax.tree.map(
    lambda part: _padded(part, padding), answers
  )
  pool = program.reveal(state.pool, filled, targets, annotator, round=round + 1)
  answers_lib.check_capacity(facts, pool)
  paid = np.count_nonzero(answers.annotator != pool_lib.MACHINE)
  return state.replace(pool=pool, paid=state.paid + int(paid))


def ask(
  program: Program,
  oracle: Oracle,
  state: RunState,
  size: int,
  *,
  seed: int,
  round: int,
) -> RunState:
  """Has an oracle answer all pending queries.

  Args:
    program: the compiled system.
    oracle: the source of the answers.
    state: state with queries pending.
    size: see `tell`.
    seed: seed of the run.
    round: see `tell`.

  Returns:
    The state with nothing pending.
  """
  indices = state.pending[state.pending >= 0]
  key = keys.for_run(seed, keys.ORACLE)
  inputs = predicted = None
  if np.any(indices >= state.pool.num_examples):
    inputs = made.inputs_of(state.pool, indices)
  if round >= 0 and getattr(oracle, 'reads_predictions', False):
    predicted, _ = program.predict(state.learner, indices)
  question = Question(indices, inputs, predicted)
  paid, answers = oracle.ask(key, state.paid, question)
  if not paid >= state.paid:
    raise ValueError(
      f'the oracle says that {paid} have been paid for; there were already '
      f'{state.paid} before this query.'
    )
  state = tell(program, state, indices, answers, round=round, size=size)
  return state.replace(paid=int(paid))


def _choose(program, compiled, state, k, *, seed, round, depth=0):
  """Runs the stages before a strategy, then the strategy itself.

  Returns the new state of the strategy, and the Proposal.
  """
  strategy, pool = compiled.strategy, state.pool
  own, before = state.strategy, None
  where, seconds_measure, seconds_select = None, 0.0, 0.0
  if compiled.before is not None:
    before, own = own
    before, candidates = _choose(
      program,
      compiled.before,
      state.replace(strategy=before),
      compiled.num_candidates,
      seed=seed,
      round=round,
      depth=depth + 1,
    )
    seconds_measure = candidates.seconds_measure
    seconds_select = candidates.seconds_select
    padded = np.full(compiled.num_candidates, -1, np.int32)
    padded[: len(candidates.picks)] = candidates.picks
    where = _candidates_and_asked(padded, pool)

  def key(purpose):
    # Depth 0 keeps the keys of a strategy without earlier stages.
    found = keys.for_round(seed, round, purpose)
    return jax.random.fold_in(found, depth) if depth else found

  stopwatch = Stopwatch()
  if strategy.where is not None:
    of_its_own = contracts.checked_where(
      program, strategy.where(key(keys.WHERE), own, pool), round
    )
    where = of_its_own if where is None else where & of_its_own
  measured, seen = compiled.measure(key(keys.MEASURE), state.learner, where)
  contracts.check_measured(program, measured, pool, seen, round)
  seconds_measure += stopwatch.lap()
  own, selection = contracts.checked_selection(
    program,
    compiled.select(key(keys.SELECT), own, measured, seen, pool, k),
    round,
  )
  picks = contracts.checked_picks(
    program, selection.indices, k, pool, seen, round
  )
  seconds_select += stopwatch.lap()
  after = own if compiled.before is None else (before, own)
  values = np.asarray(selection.values)[: len(picks)]
  return after, Proposal(picks, values, seconds_measure, seconds_select)


def _padded(rows, number):
  """Returns the rows with `number` rows of zeros appended."""
  return np.pad(rows, [(0, number)] + [(0, 0)] * (rows.ndim - 1))


@jax.jit
def _candidates_and_asked(candidates, pool):
  asked = ~pool_lib.eligible(pool)
  candidates = _padding.past_end(candidates, pool.num_examples)
  return asked.at[candidates].set(True, mode='drop')
