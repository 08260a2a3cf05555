"""Everything that a run is, and how it is saved and restored."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax

from al_jax import files
from al_jax import pool as pool_lib
from al_jax.interfaces import LearnerState, StrategyState
from al_jax.loop import stages
from al_jax.loop.program import Program
from al_jax.pool import PoolState
from al_jax.storage import manifest
from al_jax.storage.checkpoint import Checkpointer
from al_jax.storage.records import RoundRecord


@flax.struct.dataclass
class RunState:
  """The arrays of one seed's run, and the oracle's account.

  Attributes:
    learner: opaque.
    strategy: opaque.
    pool: the labelled set.
    paid: questions paid for so far.
  """

  learner: LearnerState
  strategy: StrategyState
  pool: PoolState
  paid: int

  def on_device(self) -> 'RunState':
    """With its arrays bound to the device that trains.

    Arrays that are bound and arrays that are not are different arguments to a
    compiled function: a state that changed from one to the other after its
    first round would compile everything twice.
    """
    device = jax.local_devices()[0]
    return self.replace(
      learner=jax.device_put(self.learner, device),
      strategy=jax.device_put(self.strategy, device),
      pool=jax.device_put(self.pool, device),
    )


@dataclasses.dataclass
class Run:
  """One seed's run, as the loop carries it.

  Attributes:
    seed: of every random choice.
    state: the arrays.
    round: the round under way.
    seconds_fit: spent on this round's training so far.
    records: of the rounds that are over.
    ended: why the run is over; None while it is not.
  """

  seed: int
  state: RunState
  round: int = 0
  seconds_fit: float = 0.0
  records: list[RoundRecord] = dataclasses.field(default_factory=list)
  ended: str | None = None


def identity_of(
  program: Program, given: Mapping[str, Any] | None
) -> dict[str, Any]:
  """What a checkpoint must have in common with a run that goes on from it.

  Args:
    program: of the run.
    given: what the caller tells runs apart by, in terms of JSON.

  Returns:
    That, and the name of the system.
  """
  return files.json_value({'system': program.system.name, **(given or {})})


def save(
  checkpointer: Checkpointer | None,
  serial: int,
  runs: Sequence[Run],
  identity: Mapping[str, Any],
  *,
  fitting: bool,
) -> int:
  """Saves everything that a run needs to go on.

  Args:
    checkpointer: where to; None to keep nothing.
    serial: of the save before.
    runs: of every lane.
    identity: of the run.
    fitting: the round under way is in the middle of its training.

  Returns:
    The serial number of this save.
  """
  if checkpointer is None:
    return serial
  metadata = {
    'identity': identity,
    'fitting': fitting,
    'runs': [
      {
        'seed': run.seed,
        'round': run.round,
        'seconds_fit': run.seconds_fit,
        'records': [record.to_json() for record in run.records],
        'ended': run.ended,
      }
      for run in runs
    ],
  }
  states = [run.state for run in runs]
  # A save within a round may give way to a newer one, that of a round never.
  checkpointer.save(serial + 1, states, metadata, replaceable=fitting)
  return serial + 1


def restore(
  program: Program,
  checkpointer: Checkpointer | None,
  seeds: Sequence[int],
  identity: Mapping[str, Any],
  upgraded: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> tuple[list[Run] | None, bool, int]:
  """The runs of an earlier process.

  Args:
    program: whose states they are.
    checkpointer: where from; None for nothing.
    seeds: one per lane; the saved ones must be the same.
    identity: of the run; the saved one must be the same.
    upgraded: brings a saved identity of an earlier version up to date.

  Returns:
    The runs, or None if nothing was saved; whether a fit is under way; and the
    serial number of the save.

  Raises:
    ValueError: a checkpoint of another run, with the difference.
  """
  restored = None
  if checkpointer is not None:
    restored = checkpointer.restore([template(program)] * len(seeds))
  if restored is None:
    return None, False, 0
  serial, states, metadata = restored
  difference = manifest.config_difference(
    upgraded(metadata.get('identity', {})), identity
  )
  if difference:
    raise ValueError(
      f'the checkpoint in {checkpointer.folder} is of another run; choose '
      'another folder. The difference:\n  ' + '\n  '.join(difference)
    )
  found = [saved['seed'] for saved in metadata['runs']]
  if found != list(seeds):
    raise ValueError(
      f'the checkpoint is of seeds {found}; asked for {list(seeds)}.'
    )
  runs = []
  for state, saved in zip(states, metadata['runs'], strict=True):
    records = [RoundRecord.from_json(line) for line in saved.pop('records')]
    runs.append(Run(state=state.on_device(), records=records, **saved))
  return runs, metadata['fitting'], serial


def is_over(metadata: Mapping[str, Any] | None) -> bool:
  """Whether every run that metadata are of has ended."""
  if metadata is None:
    return False
  return all(saved['ended'] is not None for saved in metadata['runs'])


def template(program: Program) -> RunState:
  """Shapes of a RunState, to restore into."""
  facts = program.system.facts
  return RunState(
    learner=jax.eval_shape(program.init, jax.random.key(0)),
    strategy=stages.initial_state(program.system.strategy, facts),
    pool=jax.eval_shape(lambda: pool_lib.create(facts.num_examples)),
    paid=0,
  )
