"""The state of a run, and how it is saved and restored."""

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
    learner: opaque state of the learner.
    strategy: opaque state of the strategy.
    pool: the labelled set.
    paid: number of queries paid for so far.
    pending: int32[label budget] on the host, pool indices of the queries that
      were proposed and not answered, in order; -1 elsewhere.
    stream: position in the stream. If None, the pool is not a stream.
  """

  learner: LearnerState
  strategy: StrategyState
  pool: PoolState
  paid: int
  pending: np.ndarray
  stream: StreamState | None = None

  def on_device(self) -> 'RunState':
    """Returns the state with its arrays committed to the training device.

    Compiled functions distinguish committed arrays from others: a state that
    became committed after its first round would compile everything twice.
    """
    device = jax.local_devices()[0]
    return self.replace(
      learner=jax.device_put(self.learner, device),
      strategy=jax.device_put(self.strategy, device),
      pool=jax.device_put(self.pool, device),
      stream=jax.device_put(self.stream, device),
    )


def answered(state: RunState) -> int:
  """Counts labels against the budget: paid queries and answers of a machine."""
  by_machine = np.asarray(state.pool.annotator) == pool_lib.MACHINE
  return state.paid + int(np.count_nonzero(by_machine))


# A round is in training, is trained, or has proposed queries.
STAGES = ('training', 'trained', 'proposed')


@dataclasses.dataclass
class Run:
  """One seed's run, as the loop carries it.

  Attributes:
    seed: seed of every random choice.
    state: the arrays.
    round: the current round; -1 while the first set is pending.
    stage: stage of the round, one of `STAGES`.
    seconds_fit: seconds of this round's training so far.
    trained: results of the training, `steps` and `metrics`; None before its
      end.
    draft: record of the round without its answers; None before there are
      queries.
    records: records of the finished rounds.
    ending: the reason why this round is the last; None if it is not, or not yet
      known.
    ended: the reason why the run has ended; None if it has not.
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
  """Builds the identity that a checkpoint must share with a resumed run.

  Args:
    program: program of the run.
    given: identity given by the caller, in types that JSON has.

  Returns:
    The given identity, the name of the system, and the user's own parts of the
    system, if any.
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
  """Saves everything that is needed to resume.

  Args:
    checkpointer: where to save. If None, nothing is saved.
    serial: serial number of the previous save.
    runs: runs of all lanes.
    identity: identity of the run.
    fitting: whether the round is in the middle of its training.
    replaceable: whether a newer save may replace this one before it is written.

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
  """Restores the runs of an earlier process.

  Args:
    program: program of the runs.
    checkpointer: where to restore from. If None, nothing is restored.
    seeds: one seed per lane; the saved ones must be equal.
    identity: identity of the run; the saved one must be equal.
    upgraded: updates a saved identity of an earlier version.

  Returns:
    The runs, or None if nothing was saved; whether a fit is in progress; and
    the serial number of the save.

  Raises:
    ValueError: the checkpoint is of another run, or of other seeds.
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
      f'the checkpoint has seeds {found}; the run has seeds {list(seeds)}.'
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
  """Returns whether every run in the metadata of a checkpoint has ended."""
  if metadata is None:
    return False
  return all(saved['ended'] is not None for saved in metadata['runs'])


def template(program: Program) -> RunState:
  """Returns the shapes of a RunState, to restore into."""
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
