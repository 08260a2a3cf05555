"""Everything that a run is, and how it is saved and restored."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import numpy as np

from al_jax import files
from al_jax import pool as pool_lib
from al_jax.interfaces import LearnerState, StrategyState
from al_jax.loop import stages
from al_jax.loop.program import Program
from al_jax.loop.stream import StreamState
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
    paid: queries paid for so far.
    pending: int32[label budget] on the host, pool indices of queries that were
      proposed and not answered, in order; -1 elsewhere.
    stream: how far a stream has passed. If None, the pool is not a stream.
  """

  learner: LearnerState
  strategy: StrategyState
  pool: PoolState
  paid: int
  pending: np.ndarray
  stream: StreamState | None = None

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
      stream=jax.device_put(self.stream, device),
    )


def answered(state: RunState) -> int:
  """Counts what a label budget is of: queries paid for, or to a machine."""
  by_machine = np.asarray(state.pool.annotator) == pool_lib.MACHINE
  return state.paid + int(np.count_nonzero(by_machine))


# A round trains, is trained, and has proposed queries.
STAGES = ('training', 'trained', 'proposed')


@dataclasses.dataclass
class Run:
  """One seed's run, as the loop carries it.

  Attributes:
    seed: of every random choice.
    state: the arrays.
    round: the round under way; -1: the first set is pending.
    stage: where the round is, one of `STAGES`.
    seconds_fit: spent on this round's training so far.
    trained: what the training came to: `steps` and `metrics`; None before.
    draft: the record of the round, but for the answers; None before there are
      queries.
    records: of the rounds that are over.
    ending: why this round is the last; None if it is not, or not yet known.
    ended: why the run is over; None while it is not.
  """

  seed: int
  state: RunState
  round: int = -1
  stage: str = 'proposed'
  seconds_fit: float = 0.0
  trained: Mapping[str, Any] | None = None
  draft: RoundRecord | None = None
  records: list[RoundRecord] = dataclasses.field(default_factory=list)
  ending: str | None = None
  ended: str | None = None


def identity_of(
  program: Program, given: Mapping[str, Any] | None
) -> dict[str, Any]:
  """What a checkpoint must have in common with a run that goes on from it.

  Args:
    program: of the run.
    given: what the caller tells runs apart by, in terms of JSON.

  Returns:
    That, the name of the system, and the parts of it that are yours, if any.
  """
  own = {'own': program.system.own} if program.system.own else {}
  return files.json_value(
    {'system': program.system.name, **own, **(given or {})}
  )


def save(
  checkpointer: Checkpointer | None,
  serial: int,
  runs: Sequence[Run],
  identity: Mapping[str, Any],
  *,
  fitting: bool,
  replaceable: bool,
) -> int:
  """Saves everything that a run needs to go on.

  Args:
    checkpointer: where to; None to keep nothing.
    serial: of the save before.
    runs: of every lane.
    identity: of the run.
    fitting: the round under way is in the middle of its training.
    replaceable: a newer save may take its place before it is written.

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
        'stage': run.stage,
        'seconds_fit': run.seconds_fit,
        'trained': run.trained,
        'draft': None if run.draft is None else run.draft.to_json(),
        'records': [record.to_json() for record in run.records],
        'ending': run.ending,
        'ended': run.ended,
      }
      for run in runs
    ],
  }
  states = [run.state for run in runs]
  checkpointer.save(serial + 1, states, metadata, replaceable=replaceable)
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
    draft = saved.pop('draft')
    if draft is not None:
      draft = RoundRecord.from_json(draft)
    state = state.on_device()
    runs.append(Run(state=state, draft=draft, records=records, **saved))
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
    pool=jax.eval_shape(lambda: pool_lib.of(facts)),
    paid=0,
    pending=np.full(facts.label_budget, -1, np.int32),
    stream=None
    if program.stream is None
    else jax.eval_shape(lambda: program.stream.options.start(0)),
  )
