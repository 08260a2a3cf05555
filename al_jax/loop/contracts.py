"""Contracts of a round's parts; breaking one stops the run."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from al_jax import errors, interfaces, kernels, keys, placement, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import (
  Oracle,
  Progress,
  PyTree,
  StrategyState,
)
from al_jax.kernels import Selection
from al_jax.loop import stages
from al_jax.loop.program import Program
from al_jax.loop.protocol import FIRST_SETS, Protocol
from al_jax.loop.run_state import Run
from al_jax.pool import PoolState


def check_run(
  program: Program,
  oracle: Oracle | None,
  protocol: Protocol,
  seeds: Sequence[int],
  *,
  features: np.ndarray | None = None,
) -> None:
  """Rejects parts that do not fit together, before any work.

  Args:
    program: the compiled system.
    oracle: the source of the answers. If None, they come from elsewhere.
    protocol: the protocol.
    seeds: one seed per lane.
    features: see `beginning.propose_first`.

  Raises:
    ValueError: names the first two parts that do not fit.
  """
  facts = program.system.facts
  for seed in seeds:
    keys.for_run(seed, keys.INITIALISE)  # raises if a key cannot hold it
  if len(seeds) != program.fit.num_lanes or len(set(seeds)) < len(seeds):
    raise ValueError(
      f'seeds are {list(seeds)}; the program has num_lanes='
      f'{program.fit.num_lanes} and needs as many different seeds. Call '
      'run_rounds for each, or compile_program with num_lanes.'
    )
  if oracle is not None:
    oracle.check(facts)
  draws_balanced = hasattr(oracle, 'balanced_first_set')
  if protocol.first_set == 'balanced' and not draws_balanced:
    others = [repr(name) for name in FIRST_SETS if name != 'balanced']
    raise ValueError(
      "first_set is 'balanced', which needs an oracle that knows the classes "
      f'of the pool; without one it must be one of {", ".join(others)}.'
    )
  _check_stop_rules(program, protocol)
  protocol.check(
    facts.num_examples, has_validation=program.validate is not None
  )
  if program.stream is not None:
    program.stream.options.check_protocol(protocol)
  if features is not None:
    protocol.checked_features(features, facts.num_examples)
  elif protocol.first_set == 'k_center':
    program.system.need_embedding("first_set 'k_center' without features")
  stages.check_candidates(
    program.system.strategy,
    min(protocol.labels_per_round, facts.num_examples),
  )
  if min(protocol.budget, facts.num_examples) > facts.label_budget:
    raise ValueError(
      f'the protocol may pay for {protocol.budget} labels; the system was '
      f'built for {facts.label_budget}.'
    )


def _check_stop_rules(program, protocol):
  """Rejects a target accuracy that is never measured."""
  task = program.system.facts.task
  for name in ('target_accuracy', 'test_accuracy'):
    value = getattr(protocol, name)
    if value is not None and task.headline != tasks.Classes.headline:
      raise ValueError(
        f'{name} is {value}; it needs a task whose headline is accuracy, but '
        f'that of {task.describe()} is {task.headline.name}.'
      )
  if protocol.test_accuracy is not None and program.evaluate is None:
    raise ValueError(
      f'test_accuracy is {protocol.test_accuracy}; it needs a test split, and '
      'the data set has none.'
    )


def check_finite(
  program: Program,
  runs: Sequence[Run],
  progress: Progress,
  finite: Mapping[str, np.ndarray],
) -> None:
  """Checks the networks of all lanes, before any of them is saved.

  Args:
    program: the compiled system.
    runs: one run per lane.
    progress: progress on the host, with a leading lane axis.
    finite: maps each network to whether it is finite, per lane.

  Raises:
    FloatingPointError: a network has a weight that is not finite.
  """
  for lane, run in enumerate(runs):
    # All of them: a network that is not finite spoils those that use it.
    bad = [
      network
      for network, is_finite in finite.items()
      if not np.atleast_1d(is_finite)[lane]
    ]
    if run.ended is None and bad:
      raise FloatingPointError(
        f'round {run.round}, seed {run.seed}: a weight of the '
        f'{" and of the ".join(bad)} of system {program.system.name!r} is not '
        f'finite after {progress.step[lane]} steps; a lower learning rate or '
        'clip_norm may help.'
      )


def check_trained(
  program: Program, runs: Sequence[Run], progress: Progress
) -> None:
  """Checks the lanes whose training of this round has ended.

  Logs the learner's warnings.

  Args:
    program: the compiled system.
    runs: one run per lane.
    progress: progress on the host, with a leading lane axis.

  Raises:
    FloatingPointError: a training loss is not finite.
  """
  loss = progress.metrics.get('loss')
  warnings = program.system.learner.warnings
  for lane, run in enumerate(runs):
    if run.ended is not None or not progress.done[lane]:
      continue
    # The loss is NaN after no steps.
    if loss is not None and progress.step[lane] != 0:
      _check_loss(program, run, loss[lane], progress.step[lane])
    for metric, sentence in warnings.items():
      if progress.metrics[metric][lane] > 0:
        logging.warning(
          'round %d, seed %d: system %r %s',
          run.round,
          run.seed,
          program.system.name,
          sentence,
        )


def _check_loss(program, run, loss, step):
  if not np.isfinite(loss):
    raise FloatingPointError(
      f'round {run.round}, seed {run.seed}: the training loss of system '
      f'{program.system.name!r} is {loss} after {step} steps; a lower learning '
      'rate or clip_norm may help.'
    )


def checked_where(program: Program, where: Any, round: int) -> Any:
  """Returns the mask of the examples that a strategy measures.

  Args:
    program: the compiled system.
    where: return value of the strategy's `where`.
    round: the round, for the message.

  Raises:
    RuntimeError: the mask is not bool[N].
  """
  shape, dtype = np.shape(where), getattr(where, 'dtype', type(where).__name__)
  size = program.system.facts.num_examples
  if shape != (size,) or dtype != np.bool_:
    raise errors.ContractError(
      f'round {round}: the where of system {program.system.name!r} returned '
      f'{dtype}{list(shape)}; it must return bool[{size}].'
    )
  return where


def check_measured(
  program: Program,
  measured: PyTree,
  pool: PoolState,
  seen: jax.Array,
  round: int,
) -> None:
  """Checks that every eligible example seen has finite measurements.

  Args:
    program: the compiled system.
    measured: pytree of [N, ...], or Sharded.
    pool: the labelled set.
    seen: bool[N], the examples that were measured.
    round: the round, for the message.

  Raises:
    FloatingPointError: names the first example with a measurement that is not
      finite.
  """
  mask = pool_lib.eligible(pool) & seen
  if isinstance(measured, kernels.Tiled):
    bad = _first_bad_in_files(program, measured, mask)
  else:
    if isinstance(measured, kernels.Sharded):
      mask = placement.of(measured).everywhere(mask)
    bad = int(program.first_bad(measured, mask))
  if bad < pool.num_examples:
    raise FloatingPointError(
      f'round {round}: system {program.system.name!r} measured a value that is '
      f'not finite for example {bad} (id {program.ids[bad]}).'
    )


def _first_bad_in_files(program, measured, mask):
  for start, rows in measured.parts():
    of_part = mask[start : start + len(rows[0])]
    bad = int(program.first_bad(rows, of_part))
    if bad < len(of_part):
      return start + bad
  return len(mask)


def checked_selection(
  program: Program, found: Any, round: int
) -> tuple[StrategyState, Selection]:
  """Returns the pair that a `select` must return.

  Args:
    program: the compiled system.
    found: return value of `select`.
    round: the round, for the message.

  Raises:
    RuntimeError: it is not a pair of a state and a Selection.
  """
  problem = interfaces.result_problem(found)
  if problem:
    raise errors.ContractError(
      f'round {round}: the select of system {program.system.name!r} {problem}.'
    )
  return found


def checked_picks(
  program: Program,
  indices: Any,
  k: int,
  pool: PoolState,
  seen: jax.Array,
  round: int,
) -> np.ndarray:
  """Returns the selected indices without their padding.

  Args:
    program: the compiled system.
    indices: indices of a Selection.
    k: number of queries requested.
    pool: the labelled set before these queries.
    seen: bool[N], the examples that were measured.
    round: the round, for the message.

  Raises:
    RuntimeError: the indices are not distinct, or one of them is not a pool
      index, was not measured, or was queried before.
  """
  indices = np.asarray(indices)
  eligible = np.asarray(pool_lib.eligible(pool))
  problem = interfaces.picks_problem(indices, k, eligible, np.asarray(seen))
  if problem:
    raise errors.ContractError(
      f'round {round}: system {program.system.name!r} {problem}.'
    )
  return indices[indices >= 0].astype(np.int32)
