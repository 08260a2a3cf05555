"""Passes examples of a stream until a round has its queries."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import keys
from al_jax import pool as pool_lib
from al_jax.interfaces import Oracle
from al_jax.loop import contracts
from al_jax.loop.program import Program
from al_jax.loop.run_state import RunState
from al_jax.loop.stopwatch import Stopwatch


class Passed(NamedTuple):
  """Consecutive examples of a stream that have passed.

  Attributes:
    begin: pool index of the first example.
    predicted: int32[n], the class predicted for each example before the model
      learns from any of them.
    picks: int32[k], pool indices of the queries.
    values: float[k], the score that each was chosen by.
    seconds_measure: seconds of the forward passes.
    seconds_select: seconds of the decisions.
  """

  begin: int
  predicted: np.ndarray
  picks: np.ndarray
  values: np.ndarray
  seconds_measure: float
  seconds_select: float


def propose(
  program: Program, state: RunState, k: int, *, seed: int, round: int
) -> tuple[RunState, Passed]:
  """Passes examples until k are queried or the stream is over.

  Args:
    program: the compiled system; its pool is a stream.
    state: state after the round's training.
    k: number of queries.
    seed: seed of the run.
    round: the round that has ended.

  Returns:
    The state at the new position, and the examples that passed.

  Raises:
    FloatingPointError: a score is not finite.
    RuntimeError: the strategy breaks its contract.
  """
  empty = np.zeros(0, np.int32)
  found = [Passed(int(state.stream.position), empty, empty, np.zeros(0), 0, 0)]
  pieces = _pieces if program.stream.options.batch_window is None else _windows
  for after, piece in pieces(program, state, k, seed=seed, round=round):
    state = after
    found.append(piece)
  begins, *rows, seconds_measure, seconds_select = zip(*found, strict=True)
  return state, Passed(
    begins[0],
    *(np.concatenate(of) for of in rows),
    sum(seconds_measure),
    sum(seconds_select),
  )


def _pieces(
  program, state, k, *, seed, round
) -> Iterator[tuple[RunState, Passed]]:
  """Looks ahead, and decides on one example after another."""
  stream = program.stream
  measure_key = keys.for_round(seed, round, keys.MEASURE)
  decide_key = keys.for_run(seed, keys.STREAM)
  stopwatch, left = Stopwatch(), k
  while left > 0 and not stream.is_over(state.stream):
    position = int(state.stream.position)
    begin, size = stream.ahead(position)
    where = _between(program, begin, begin + size)
    scores, classes = stream.look(measure_key, state.learner, where)
    contracts.check_measured(program, scores, state.pool, where, round)
    scores, classes = _ahead(scores, begin, size), _ahead(classes, begin, size)
    seconds = stopwatch.lap()
    after, asked = stream.decide(
      decide_key, state.stream, np.int32(begin), scores, np.int32(left)
    )
    state = state.replace(stream=after)
    asked = np.flatnonzero(np.asarray(asked))
    end = int(after.position) - begin
    left -= len(asked)
    yield (
      state,
      Passed(
        position,
        classes[position - begin : end],
        (asked + begin).astype(np.int32),
        scores[asked].astype(float),
        seconds,
        stopwatch.lap(),
      ),
    )


def _windows(
  program, state, k, *, seed, round
) -> Iterator[tuple[RunState, Passed]]:
  """Has the strategy choose from one window after another."""
  stream, options = program.stream, program.stream.options
  compiled, pool = program.strategy, state.pool
  stopwatch, left = Stopwatch(), k
  while left > 0 and not stream.is_over(state.stream):
    begin = int(state.stream.position)
    end = min(begin + options.batch_window, stream.num_examples)

    def key(purpose, begin=begin):
      return jax.random.fold_in(keys.for_round(seed, round, purpose), begin)

    window = _between(program, begin, end)
    _, classes = stream.look(key(keys.MEASURE), state.learner, window)
    # Earlier queries are measured too: strategies compare new examples to them.
    where = window | np.asarray(~pool_lib.eligible(pool))
    measured, seen = compiled.measure(key(keys.MEASURE), state.learner, where)
    # A strategy without measurements reports all examples as seen.
    seen &= where
    contracts.check_measured(program, measured, pool, seen, round)
    seconds = stopwatch.lap()
    count = min(options.picks_of(end - begin), left)
    picks, values, own = np.zeros(0, np.int32), np.zeros(0), state.strategy
    if count:
      own, selection = contracts.checked_selection(
        program,
        compiled.select(key(keys.SELECT), own, measured, seen, pool, count),
        round,
      )
      picks = contracts.checked_picks(
        program, selection.indices, count, pool, seen, round
      )
      values = np.asarray(selection.values, float)[: len(picks)]
    # Later windows of the round count these as queried.
    pool = _asked(pool, picks, round)
    position = jnp.full_like(state.stream.position, end)
    state = state.replace(
      strategy=own, stream=state.stream._replace(position=position)
    )
    left -= len(picks)
    yield (
      state,
      Passed(
        begin,
        np.asarray(classes)[begin:end],
        picks,
        values,
        seconds,
        stopwatch.lap(),
      ),
    )


def described(
  program: Program, oracle: Oracle | None, passed: Passed
) -> Mapping[str, float]:
  """Describes the examples that passed in a round, for its record.

  Args:
    program: the compiled system.
    oracle: the oracle, which may know the share of right predictions. If None,
      `prequential_accuracy` is left out.
    passed: the examples.

  Returns:
    `seen`, the number of examples so far; `passed`, the number in this round;
    `label_rate`, the queried share of these; and `prequential_accuracy`, the
    share of these that the model predicted right before it could learn from
    them.
  """
  count = len(passed.predicted)
  found = {
    'seen': passed.begin + count,
    'passed': count,
    'label_rate': len(passed.picks) / max(count, 1),
  }
  if hasattr(oracle, 'share_right'):
    labels = np.full(program.stream.num_examples, -1)
    labels[passed.begin : passed.begin + count] = passed.predicted
    found['prequential_accuracy'] = oracle.share_right(labels)
  return found


def _between(program, begin, end):
  """Returns bool[N]: True from `begin` up to `end`, exclusive."""
  positions = np.arange(program.stream.num_examples)
  return (positions >= begin) & (positions < end)


def _ahead(rows, begin, size):
  """Returns `size` rows starting at `begin`, zeros beyond the last."""
  found = np.asarray(rows)[begin : begin + size]
  return np.pad(found, (0, size - len(found)))


def _asked(pool, picks, round):
  """Returns the pool with these queried but not answered."""
  acquired = np.array(pool.acquired_round)
  acquired[picks] = round + 1
  return pool.replace(acquired_round=jnp.asarray(acquired))
