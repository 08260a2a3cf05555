import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels, loop, oracle, strategies
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.loop import program, run_state, stages
from al_jax.loop.protocol import Protocol
from al_jax.storage import checkpoint, records
from tests.factories import a_system, a_task

PROTOCOL = Protocol(
  rounds=3, labels_per_round=10, first_size=20, save_every_steps=7
)


@pytest.fixture(scope='module')
def task():
  return a_task(label_budget=60)


def compiled(task, strategy):
  dataset, facts = task
  system = dataclasses.replace(
    a_system('margin', facts=facts), strategy=strategy
  )
  return program.compile_program(
    system, program.sources_of(dataset), dataset.train.ids, chunk_size=100
  )


def run(task, a_program, protocol=PROTOCOL, **options):
  dataset, _ = task
  answers = oracle.SimulatedOracle(dataset.train.targets, dataset.task)
  rows = loop.run_rounds(a_program, answers, protocol, [0], **options)
  return list(rows)


def deterministic(rows):
  return [records.deterministic(row) for row in rows]


class Stage:
  """A strategy by margin that notes what it was shown and what it chose."""

  def __init__(self, *, largest=True):
    self.rows = []
    self.rounds = []
    self.sign = 1 if largest else -1

  def strategy(self):
    return Strategy(
      init=lambda facts: jnp.zeros((), jnp.int32),
      measure=self._measure,
      select=self._select,
    )

  def _measure(self, key, apply, batch):
    jax.debug.callback(self._note, batch.index)
    return self.sign * kernels.margin(apply(batch.inputs).predictions)

  def _note(self, index):
    self.rows += [i for i in np.asarray(index).tolist() if i >= 0]

  def _select(self, key, state, scores, seen, pool, k):
    jax.effects_barrier()
    eligible = pool_lib.eligible(pool)
    selection = kernels.top_k(scores, k, eligible=eligible & seen, key=key)
    shown = np.flatnonzero(seen)
    assert sorted(self.rows) == shown.tolist()
    self.rows.clear()
    chosen = np.asarray(selection.indices)
    asked = np.flatnonzero(~np.asarray(eligible))
    self.rounds.append((set(shown), set(asked), chosen))
    return state + 1, selection


@pytest.mark.parametrize('in_front', [None, 60])
def test_each_stage_measures_the_candidates_and_what_was_asked(task, in_front):
  first, second, third = Stage(), Stage(largest=False), Stage()
  chained = strategies.chain(first.strategy(), 40, second.strategy())
  chained = strategies.chain(chained, 15, third.strategy())
  if in_front:
    chained = strategies.subset(chained, in_front)
  rows = run(task, compiled(task, chained))
  assert len(first.rounds) == len(second.rounds) == len(third.rounds) == 2
  for round in range(2):
    shown, asked, candidates = first.rounds[round]
    assert len(asked) == 20 + 10 * round
    assert len(shown - asked) == (in_front or 160 - len(asked))
    shown, _, fewer = second.rounds[round]
    assert len(candidates) == 40 and shown == asked | set(candidates)
    shown, _, picks = third.rounds[round]
    assert len(fewer) == 15 and shown == asked | set(fewer)
    assert set(fewer) <= set(candidates) and set(picks) <= set(fewer)
    assert rows[round].picks == picks.tolist()


def test_the_state_is_nested_pairs_and_every_stage_keeps_its_own(
  task, tmp_path
):
  chained = strategies.chain(
    strategies.chain(Stage().strategy(), 40, Stage().strategy()),
    15,
    Stage().strategy(),
  )
  assert stages.initial_state(chained, task[1]) == ((0, 0), 0)
  a_program = compiled(task, chained)
  with checkpoint.Checkpointer(tmp_path / 'run') as checkpointer:
    run(task, a_program, checkpointer=checkpointer)
    _, [state], _ = checkpointer.restore([run_state.template(a_program)])
  assert jax.device_get(state.strategy) == ((2, 2), 2)


def test_a_chain_of_the_same_strategy_is_that_strategy(task):
  alone = run(task, compiled(task, strategies.margin()))
  twice = strategies.chain(strategies.margin(), 30, strategies.margin())
  assert [row.picks for row in run(task, compiled(task, twice))] == [
    row.picks for row in alone
  ]


def test_fewer_candidates_than_questions_are_refused_before_any_work(task):
  stage = Stage()
  inner = strategies.chain(stage.strategy(), 9, strategies.margin())
  for chained in (inner, strategies.chain(inner, 50, strategies.margin())):
    a_program = compiled(task, chained)
    with pytest.raises(ValueError, match='proposes 9 candidates; it must'):
      run(task, a_program)
  assert not stage.rows and not stage.rounds


def test_a_pool_with_fewer_left_than_candidates_gives_what_is_left():
  small = a_task(label_budget=200, size=85)  # 40 of these are for validation
  chained = strategies.chain(strategies.margin(), 30, strategies.core_set())
  protocol = Protocol(rounds=9, labels_per_round=20, first_size=20)
  rows = run(small, compiled(small, chained), protocol)
  assert [len(row.picks) for row in rows] == [20, 5, 0]


def the_strategies():
  arms = (strategies.margin(), strategies.core_set())
  return {
    'chain': strategies.chain(strategies.margin(), 30, strategies.core_set()),
    'albl': strategies.albl(arms=arms),
    'albl_by_query': strategies.albl(
      arms=(strategies.random(), *arms), version='query'
    ),
    'chain_to_albl': strategies.chain(
      strategies.entropy(), 30, strategies.albl(arms=arms)
    ),
  }


@pytest.mark.parametrize('name', the_strategies())
def test_an_interrupted_run_goes_on_bit_for_bit(task, tmp_path, name):
  a_program = compiled(task, the_strategies()[name])
  whole = run(task, a_program)
  assert [len(row.picks) for row in whole] == [10, 10, 0]
  assert len({pick for row in whole for pick in row.picks}) == 20
  # In the middle of the second round's training, and between two rounds.
  for stop_after in (2, 4):
    looked = []

    def should_stop(looked=looked, stop_after=stop_after):
      looked.append(1)
      return len(looked) > stop_after

    path = tmp_path / str(stop_after)
    with (
      checkpoint.Checkpointer(path) as checkpointer,
      pytest.raises(loop.Interrupted),
    ):
      run(task, a_program, checkpointer=checkpointer, should_stop=should_stop)
    with checkpoint.Checkpointer(path) as checkpointer:
      resumed = run(task, a_program, checkpointer=checkpointer)
    assert deterministic(resumed) == deterministic(whole)


def test_another_first_stage_makes_other_picks(task):
  then = strategies.core_set()
  by_margin = strategies.chain(strategies.margin(), 30, then)
  rows = run(task, compiled(task, by_margin))
  whole = run(
    task, compiled(task, then), dataclasses.replace(PROTOCOL, rounds=2)
  )
  assert rows[0].picks != whole[0].picks
