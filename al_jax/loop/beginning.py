"""Starts a run: its state before the first round, and the first set."""

import numpy as np

from al_jax import kernels, keys
from al_jax import pool as pool_lib
from al_jax.interfaces import Oracle
from al_jax.loop import acquisition, stages
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import RunState
from al_jax.pool import PoolState


def propose_first(
  program: Program,
  oracle: Oracle | None,
  protocol: Protocol,
  seed: int,
  *,
  features: np.ndarray | None = None,
  pool: PoolState | None = None,
) -> RunState:
  """Makes the state of a run before its first round, its first set pending.

  Args:
    program: the compiled system.
    oracle: the oracle that draws a balanced first set. If None, the first set
      cannot be balanced.
    protocol: the protocol, which says how to choose the first set.
    seed: seed of the run.
    features: number[N, ...], for a first set of k centers. If None, the
      embedding of the initial network.
    pool: the pool from which the first set is chosen. If None, a pool without
      labels.

  Returns:
    The state.
  """
  facts = program.system.facts
  state = RunState(
    learner=program.init(keys.for_run(seed, keys.INITIALISE)),
    strategy=stages.initial_state(program.system.strategy, facts),
    pool=pool_lib.of(facts) if pool is None else pool,
    paid=0,
    pending=np.full(facts.label_budget, -1, np.int32),
    stream=None
    if program.stream is None
    else program.stream.options.start(protocol.first_size),
  ).on_device()
  if protocol.first_set == 'none':
    return state
  key = keys.for_run(seed, keys.FIRST_SET)
  if protocol.first_set == 'balanced':
    first = oracle.balanced_first_set(key, protocol.first_size)
  else:
    first = _first_set(program, protocol, key, state, features)
  return acquisition.with_pending(state, first)


def _first_set(program, protocol, key, state, features):
  """Chooses a first set without access to any answer."""
  eligible, size = pool_lib.eligible(state.pool), protocol.first_size
  if protocol.first_set == 'first':
    return np.flatnonzero(eligible)[:size]
  if protocol.first_set == 'k_center':
    if features is None:
      features = np.asarray(program.embed(state.learner), np.float32)
    features = protocol.checked_features(features, len(eligible))
    return _centers(key, features, eligible, size)
  return np.asarray(kernels.uniform(key, eligible, size).indices)


def _centers(key, features, eligible, size):
  """Draws one example, then adds greedy k-center picks."""
  drawn = kernels.uniform(key, eligible, 1).indices
  if size == 1:
    return np.asarray(drawn)
  others = kernels.k_center(
    features,
    size - 1,
    eligible=eligible,
    centers=np.arange(len(features)) == np.asarray(drawn),
  )
  return np.concatenate([drawn, others.indices])


def begin(
  program: Program,
  oracle: Oracle,
  protocol: Protocol,
  seed: int,
  *,
  features: np.ndarray | None = None,
) -> RunState:
  """Makes the state of a run before its first round, its first set answered.

  Args:
    program: the compiled system.
    oracle: the source of the answers.
    protocol: the protocol, which says how to choose the first set.
    seed: seed of the run.
    features: see `propose_first`.

  Returns:
    The state.
  """
  state = propose_first(program, oracle, protocol, seed, features=features)
  return acquisition.ask(
    program, oracle, state, protocol.first_size, seed=seed, round=-1
  )
