import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import loop, oracle, tasks
from al_jax import pool as pool_lib
from al_jax.loop import beginning, run_state
from al_jax.loop.protocol import Protocol
from al_jax.storage import checkpoint, records
from tests.factories import a_task
from tests.loop.runs import PROTOCOL, an_oracle, compiled, run


@pytest.fixture(scope='module')
def task():
  return a_task(label_budget=60)


ONE_ROUND = dataclasses.replace(PROTOCOL, rounds=1)
# NaN: it must be equal to itself after it was written down.
IDENTITY = {'config': {'rate': 0.1, 'cap': np.nan}, 'data': 'digits'}


@pytest.fixture(scope='module')
def saved(task, margin, tmp_path_factory):
  """The checkpoints of a run of one round."""
  folder = tmp_path_factory.mktemp('saved') / 'run'
  with checkpoint.Checkpointer(folder) as checkpointer:
    run(task, margin, ONE_ROUND, checkpointer=checkpointer, identity=IDENTITY)
  return folder


@pytest.fixture(scope='module')
def margin(task):
  return compiled(task, 'margin')


def deterministic(rows):
  return [records.deterministic(row) for row in rows]


def test_r_rounds_are_r_records_and_one_acquisition_less(task, margin):
  rows, ended = run(task, margin)
  assert ended == {0: 'all rounds are over'}
  assert [row.labels for row in rows] == [20, 30, 40, 50]
  assert [len(row.picks) for row in rows] == [10, 10, 10, 0]
  assert len({pick for row in rows for pick in row.picks}) == 30
  dataset, _ = task
  for row in rows:
    targets = dataset.train.targets[row.picks]
    assert row.pick_classes == np.bincount(targets, minlength=10).tolist()
    assert row.pick_ids == dataset.train.ids[row.picks].tolist()
    assert 0 < row.test['accuracy'] <= 1
    assert row.steps == 8 * -(-row.labels // 16)


def test_the_picks_are_those_with_the_smallest_margin(task, margin, tmp_path):
  """From the weights in the checkpoint, in plain NumPy."""
  dataset, _ = task
  protocol = dataclasses.replace(PROTOCOL, rounds=2)
  with checkpoint.Checkpointer(tmp_path / 'run') as checkpointer:
    rows, _ = run(task, margin, protocol, checkpointer=checkpointer)
  whole, _ = run(task, margin)
  with checkpoint.Checkpointer(tmp_path / 'run') as checkpointer:
    _, [state], _ = checkpointer.restore([run_state.template(margin)])
  inputs = jnp.asarray(dataset.train.inputs)
  logits = margin.system.learner.apply(state.learner, inputs).predictions
  probs = np.sort(np.asarray(jax.nn.softmax(logits)), axis=-1)
  gaps = probs[:, -1] - probs[:, -2]
  gaps[~np.asarray(pool_lib.eligible(state.pool))] = np.inf
  # The weights are of round 1, whose picks the longer run has.
  assert len(rows) == 2
  assert whole[1].picks == np.argsort(gaps)[:10].tolist()


def test_nothing_is_compiled_after_the_first_acquisition(task, margin):
  rows, _ = run(task, compiled(task, 'entropy'))
  assert rows[0].compilations > 0
  assert len({row.compilations for row in rows}) == 1
  more, _ = run(task, margin, seeds=[0])
  second_seed, _ = run(task, margin, seeds=[1])
  assert {row.compilations for row in second_seed} == {0}
  assert deterministic(more) != deterministic(second_seed)


def test_seeds_in_one_program_agree_with_seeds_alone(task, margin):
  two = compiled(task, 'margin', num_lanes=2)
  together, ended = run(task, two, seeds=[3, 5])
  assert set(ended) == {3, 5}
  for seed in (3, 5):
    alone, _ = run(task, margin, seeds=[seed])
    lane = [row for row in together if row.seed == seed]
    assert [row.picks for row in lane] == [row.picks for row in alone]
    for a, b in zip(lane, alone, strict=True):
      assert a.test['accuracy'] == pytest.approx(b.test['accuracy'], abs=0.02)


def test_labels_that_are_never_revealed_change_nothing(task, margin):
  dataset, _ = task
  clean, _ = run(task, margin)
  first, _ = first_set_of(task, margin)
  revealed = sorted({*first, *(pick for row in clean for pick in row.picks)})
  assert len(revealed) == 50
  poison = (dataset.train.targets + 3) % 10
  poison[revealed] = dataset.train.targets[revealed]
  poisoned, _ = run(
    task, margin, answers=oracle.SimulatedOracle(poison, tasks.numbered(10))
  )
  assert deterministic(clean) == deterministic(poisoned)


def first_set_of(task, compiled_program):
  """What seed 0 asks before round 0, by asking everybody else's label."""
  state = beginning.begin(compiled_program, an_oracle(task), PROTOCOL, 0)
  serial = np.asarray(state.pool.acquired_order).tolist()
  return [serial.index(number) for number in range(20)], state


@pytest.mark.parametrize('stop_after', [1, 2, 5, 9, 11])
def test_an_interrupted_run_goes_on_bit_for_bit(
  task, margin, tmp_path, stop_after
):
  whole, _ = run(task, margin)
  looked = []

  def should_stop():
    looked.append(1)
    return len(looked) > stop_after

  with (
    checkpoint.Checkpointer(tmp_path / 'run') as checkpointer,
    pytest.raises(loop.Interrupted),
  ):
    run(task, margin, checkpointer=checkpointer, should_stop=should_stop)
  with checkpoint.Checkpointer(tmp_path / 'run') as checkpointer:
    resumed, ended = run(task, margin, checkpointer=checkpointer)
  assert deterministic(resumed) == deterministic(whole)
  assert ended == {0: 'all rounds are over'}


def test_a_run_that_is_over_gives_its_records_and_does_nothing(
  task, margin, tmp_path
):
  with checkpoint.Checkpointer(tmp_path / 'run') as checkpointer:
    whole, _ = run(task, margin, checkpointer=checkpointer)
  with checkpoint.Checkpointer(tmp_path / 'run') as checkpointer:
    again, ended = run(task, margin, checkpointer=checkpointer)
  assert again == whole
  assert ended == {0: 'all rounds are over'}


def test_a_checkpoint_of_other_seeds_is_refused(task, margin, tmp_path):
  with checkpoint.Checkpointer(tmp_path / 'run') as checkpointer:
    run(task, margin, checkpointer=checkpointer)
  with (
    checkpoint.Checkpointer(tmp_path / 'run') as checkpointer,
    pytest.raises(ValueError, match=r'seeds \[0\]; the run has seeds \[1\]'),
  ):
    run(task, margin, seeds=[1], checkpointer=checkpointer)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'config': {'rate': 0.2}}, 'config.rate: 0.1 -> 0.2'),
    ({'data': 'other'}, "data: 'digits' -> 'other'"),
    (None, r"data: 'digits' -> \(absent\)"),
  ],
)
def test_a_checkpoint_of_another_run_is_refused_with_the_difference(
  task, margin, saved, change, message
):
  identity = None if change is None else {**IDENTITY, **change}
  with (
    checkpoint.Checkpointer(saved) as checkpointer,
    pytest.raises(ValueError, match=message),
  ):
    run(task, margin, ONE_ROUND, checkpointer=checkpointer, identity=identity)


def test_a_checkpoint_of_another_system_is_refused(task, saved):
  with (
    checkpoint.Checkpointer(saved) as checkpointer,
    pytest.raises(ValueError, match="system: 'margin' -> 'random'"),
  ):
    run(
      task,
      compiled(task, 'random'),
      ONE_ROUND,
      checkpointer=checkpointer,
      identity=IDENTITY,
    )


def test_the_checkpoint_of_the_same_run_is_gone_on_from(task, margin, saved):
  with checkpoint.Checkpointer(saved) as checkpointer:
    assert run_state.is_over(checkpointer.latest_metadata())
    rows, _ = run(
      task, margin, ONE_ROUND, checkpointer=checkpointer, identity=IDENTITY
    )
  assert len(rows) == 1
  assert not run_state.is_over(None)
  assert not run_state.is_over({'runs': [{'ended': 'x'}, {'ended': None}]})


def test_the_label_budget_ends_a_run_and_is_kept(task, margin):
  protocol = dataclasses.replace(PROTOCOL, label_budget=34)
  rows, ended = run(task, margin, protocol)
  assert [row.labels for row in rows] == [20, 30, 34]
  assert ended == {0: 'label budget spent'}


def test_the_pool_may_run_out_in_the_middle_of_a_batch():
  small = a_task(label_budget=200, size=85)  # 40 of these are for validation
  dataset, _ = small
  protocol = Protocol(rounds=20, labels_per_round=20, first_size=20)
  rows, ended = run(small, compiled(small, 'margin'), protocol)
  assert [row.labels for row in rows] == [20, 40, 45]
  assert len(rows[1].picks) == 5
  assert len(rows) < 20
  assert ended == {0: 'pool exhausted'}
  assert len(dataset.train) == 45


def test_more_than_there_is_may_be_asked_for(task):
  many = 10**12
  protocol = Protocol(
    rounds=many, labels_per_round=many, first_size=20, save_every_steps=many
  )
  huge = compiled(
    a_task(label_budget=protocol.budget),
    'margin',
    subset_size=many,
    learner={'batch_size': many, 'stop': {'epochs': 2}},
    chunk_size=many,
  )
  rows, ended = run(task, huge, protocol)
  assert [row.labels for row in rows] == [20, 160]
  assert ended == {0: 'pool exhausted'}


@pytest.mark.parametrize(
  ('field', 'split'),
  [('target_accuracy', 'validation'), ('test_accuracy', 'test')],
)
def test_an_accuracy_ends_a_run(field, split, task, margin):
  protocol = dataclasses.replace(PROTOCOL, **{field: 0.05})
  rows, ended = run(task, margin, protocol)
  assert len(rows) == 1
  assert rows[0].picks == []
  assert ended == {0: f'{split} accuracy reached 0.05'}


def test_the_test_split_does_not_end_a_run_at_its_target(task, margin):
  poor = margin._replace(
    validate=lambda key, learner: ({'accuracy': np.float32(0.04)}, None)
  )
  protocol = dataclasses.replace(PROTOCOL, rounds=2, target_accuracy=0.05)
  rows, ended = run(task, poor, protocol)
  assert [row.test['accuracy'] > 0.05 for row in rows] == [True, True]
  assert ended == {0: 'all rounds are over'}


def test_a_target_is_refused_without_a_validation_split(task, margin):
  protocol = dataclasses.replace(PROTOCOL, target_accuracy=0.05)
  with pytest.raises(ValueError, match='the data set has none'):
    run(task, margin._replace(validate=None), protocol)


def test_the_time_ends_a_run(task, margin):
  rows, ended = run(
    task, margin, dataclasses.replace(PROTOCOL, max_seconds=1e-6)
  )
  assert len(rows) == 1
  assert 'seconds spent' in ended[0]


def test_a_run_may_begin_without_any_label(task, margin):
  protocol = Protocol(
    rounds=2, labels_per_round=10, first_set='none', first_size=0
  )
  rows, _ = run(task, margin, protocol)
  assert [row.labels for row in rows] == [0, 10]
  assert rows[0].steps == 0
  assert len(rows[0].picks) == 10


def test_a_balanced_first_set_has_every_class(task, margin):
  protocol = dataclasses.replace(PROTOCOL, first_set='balanced', rounds=1)
  state = beginning.begin(margin, an_oracle(task), protocol, 0)
  known = np.asarray(pool_lib.trainable(state.pool))
  counts = np.bincount(np.asarray(state.pool.targets)[known], minlength=10)
  assert counts.tolist() == [2] * 10
  assert state.paid == 20


def test_abstentions_cost_and_are_not_trained_on(task, margin):
  rows, _ = run(task, margin, answers=an_oracle(task, abstain=0.5))
  assert [row.labels for row in rows] == [20, 30, 40, 50]
  assert rows[-1].trainable < 40
  assert sum(rows[0].pick_classes) < 10


def test_a_subset_is_all_that_a_round_looks_at(task):
  rows, _ = run(task, compiled(task, 'margin', subset_size=12))
  whole, _ = run(task, compiled(task, 'margin'))
  assert [len(row.picks) for row in rows] == [10, 10, 10, 0]
  assert rows[0].picks != whole[0].picks


def test_the_records_agree_with_an_evaluation_by_hand(task, margin, tmp_path):
  dataset, _ = task
  with checkpoint.Checkpointer(tmp_path / 'run') as checkpointer:
    rows, _ = run(task, margin, checkpointer=checkpointer)
    _, [state], _ = checkpointer.restore([run_state.template(margin)])
  for split, recorded in (
    (dataset.test, rows[-1].test),
    (dataset.validation, rows[-1].validation),
  ):
    inputs, targets = jnp.asarray(split.inputs), jnp.asarray(split.targets)
    logits = margin.system.learner.apply(state.learner, inputs).predictions
    by_hand, _ = dataset.task.summarise(
      dataset.task.measure(logits, targets), targets
    )
    assert set(recorded) == set(by_hand)
    for name, value in by_hand.items():
      assert recorded[name] == pytest.approx(float(value), abs=1e-5)


def test_without_a_validation_split_none_is_recorded(task):
  dataset, _ = task
  whole = dataclasses.replace(dataset, validation=None)
  rows, _ = run(task, compiled((whole, task[1]), 'random'), ONE_ROUND)
  assert rows[0].validation == {}
