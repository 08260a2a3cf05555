"""Learners that train on examples which are not in the pool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import made, models
from al_jax import pool as pool_lib
from al_jax._system import System
from al_jax.interfaces import Answers
from al_jax.learners import LEARNERS, beyond_pool
from al_jax.loop import acquisition, beginning, program, protocol, run_state
from al_jax.oracle import SimulatedOracle
from al_jax.storage import checkpoint
from al_jax.strategies import random
from al_jax.training import fit as fit_lib
from tests.factories import TINY_TARGETS, a_task
from tests.learners.two_networks_test import two_networks

EXTRA, LABELLED = 12, 30
KEY = jax.random.key(3)
# Learners of images take the same batches, and compile for long.
KINDS = {**LEARNERS, 'two_networks': two_networks}
del KINDS['vaal'], KINDS['bgadl']
ACCEPTED = ('supervised', 'joint', 'learning_loss', 'two_networks')


@pytest.fixture(scope='module')
def task():
  """Digits, of which the last few are made and not in the pool."""
  dataset, _ = a_task()
  return dataset, program.facts_of(dataset, LABELLED + EXTRA)


def split_off(dataset, facts):
  """Facts of a pool without the last examples, and its sources."""
  few = len(dataset.train) - EXTRA
  pool_facts = facts._replace(num_examples=few, made_capacity=EXTRA)
  sources = program.sources_of(dataset)
  inputs = sources['pool'].inputs[:few]
  return pool_facts, {
    **sources,
    'pool': sources['pool']._replace(inputs=inputs),
  }


def of_kind(kind):
  options = {}
  if kind != 'two_networks':
    options = {'batch_size': 16, 'stop': {'epochs': 3}}
  if kind == 'sraal':
    options |= TINY_TARGETS

  def build(facts):
    model = models.build('mlp', facts, widths=(32,))
    return KINDS[kind](model, facts, **options)

  return build


def answered(pool, dataset, indices):
  targets = jnp.asarray(dataset.train.targets[indices])
  return pool_lib.reveal(
    pool, jnp.asarray(indices), targets, pool_lib.ORACLE, round=0
  )


def trained(learner, fns, pool):
  state = learner.init(jax.random.key(0))
  *_, (state, progress) = fit_lib.fit(fns, [KEY], [KEY], [state], [pool])
  assert progress.step[0] > 0
  return state


def leaves(state):
  def on_host(leaf):
    if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)

  return [on_host(leaf) for leaf in jax.tree.leaves(state)]


def assert_equal(found, wanted):
  for a, b in zip(leaves(found), leaves(wanted), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('kind', ACCEPTED)
def test_made_examples_train_as_if_they_were_in_the_pool(task, kind):
  dataset, facts = task
  few = len(dataset.train) - EXTRA
  labelled = np.concatenate([np.arange(LABELLED), few + np.arange(EXTRA)])
  whole = of_kind(kind)(facts)
  fns = fit_lib.compile_fit(whole, facts, program.sources_of(dataset))
  wanted = trained(whole, fns, answered(pool_lib.of(facts), dataset, labelled))

  pool_facts, sources = split_off(dataset, facts)
  learner = beyond_pool(of_kind(kind), pool_facts)
  fns = fit_lib.compile_fit(learner, pool_facts, sources)
  empty = pool_lib.of(pool_facts)
  pool, positions = made.add(empty, dataset.train.inputs[few:])
  np.testing.assert_array_equal(positions, few + np.arange(EXTRA))
  pool = answered(pool, dataset, labelled)
  assert int(pool_lib.num_trainable(pool)) == len(labelled)
  assert_equal(trained(learner, fns, pool), wanted)

  # What was made and not answered changes nothing.
  without = answered(empty, dataset, labelled[:LABELLED])
  written, _ = made.add(without, np.full_like(dataset.train.inputs[:5], 255))
  found, wanted = (trained(learner, fns, pool) for pool in (written, without))
  assert_equal(found, wanted)


@pytest.mark.parametrize('kind', sorted(set(KINDS) - set(ACCEPTED)))
def test_learners_that_look_over_the_pool_are_refused(task, kind):
  dataset, facts = task
  pool_facts, _ = split_off(dataset, facts)
  said = 'has no generator .* looks over the pool for its survey'
  with pytest.raises(ValueError, match=said):
    beyond_pool(of_kind(kind), pool_facts)


def test_a_learner_without_room_is_refused(task):
  _, facts = task
  with pytest.raises(ValueError, match='made_capacity is 0'):
    beyond_pool(of_kind('supervised'), facts)


def test_a_learner_that_would_leave_them_out_is_refused(task):
  dataset, facts = task
  pool_facts, _ = split_off(dataset, facts)
  plain = System('plain', of_kind('supervised')(facts), random(), pool_facts)
  with pytest.raises(
    ValueError, match=r"of system 'plain' trains only on the pool"
  ):
    plain.check_predictions()


def test_more_than_there_is_room_for_is_refused(task):
  dataset, facts = task
  pool_facts, _ = split_off(dataset, facts)
  pool, _ = made.add(pool_lib.of(pool_facts), dataset.train.inputs[:8])
  with pytest.raises(ValueError, match='made_capacity is 12, and 8 are made'):
    made.add(pool, dataset.train.inputs[:5])
  with pytest.raises(ValueError, match=r'made examples are float32\[8, 8, 1\]'):
    made.add(pool, dataset.train.inputs[:1].astype(np.float32))
  with pytest.raises(ValueError, match='made_capacity is 0'):
    made.add(pool_lib.of(facts), dataset.train.inputs[:1])


@pytest.fixture(scope='module')
def compiled(task):
  dataset, facts = task
  pool_facts, sources = split_off(dataset, facts)
  learner = beyond_pool(of_kind('supervised'), pool_facts)
  system = System('beyond', learner, random(), pool_facts)
  ids = dataset.train.ids[: pool_facts.num_examples]
  return program.compile_program(system, sources, ids)


class Watching(SimulatedOracle):
  """An oracle that keeps what it was asked."""

  def check(self, facts):
    """It knows more examples than the pool has."""

  def ask(self, key, paid, question):
    """Keeps the question."""
    self.question = question
    return super().ask(key, paid, question)


def begun(dataset, compiled):
  """An oracle that is watched, and a run with its first set answered."""
  answers = Watching(dataset.train.targets, dataset.task)
  how = protocol.Protocol(first_size=20, labels_per_round=5)
  return answers, beginning.begin(compiled, answers, how, seed=0)


def test_made_queries_are_asked_told_saved_and_restored(
  task, compiled, tmp_path
):
  dataset, _ = task
  few = compiled.system.facts.num_examples
  answers, state = begun(dataset, compiled)
  pool, positions = made.add(state.pool, dataset.train.inputs[few:][:3])
  picks = np.concatenate([[few - 1], positions])
  state = acquisition.with_pending(state.replace(pool=pool), picks)

  def saved_and_restored(state, name):
    with checkpoint.Checkpointer(tmp_path / name) as saves:
      runs = [run_state.Run(0, state)]
      run_state.save(saves, 0, runs, {}, fitting=False, replaceable=False)
      saves.wait()
      _, [restored], _ = saves.restore([run_state.template(compiled)])
    assert_equal(restored, state)
    return restored.on_device()

  state = saved_and_restored(state, 'asked')
  state = acquisition.ask(compiled, answers, state, 5, seed=0, round=0)
  np.testing.assert_array_equal(
    answers.question.inputs[1:], dataset.train.inputs[few:][:3]
  )
  state = saved_and_restored(state, 'told')
  assert state.paid == 24
  assert not np.any(state.pending >= 0)
  found = made.joined(state.pool)
  np.testing.assert_array_equal(
    found.targets[picks], dataset.train.targets[picks]
  )
  np.testing.assert_array_equal(found.acquired_order[picks], 20 + np.arange(4))
  assert not np.any(pool_lib.trainable(found)[few + 3 :])


def test_queries_that_cannot_be_asked_are_refused(task, compiled):
  dataset, _ = task
  few = compiled.system.facts.num_examples
  _, state = begun(dataset, compiled)
  pool, positions = made.add(state.pool, dataset.train.inputs[few:][:2])
  state = state.replace(pool=pool)
  asked = np.flatnonzero(np.asarray(pool_lib.trainable(pool)))
  for picks, message in (
    (positions + 1, f'example {few + 2} is to be queried; there are {few + 2}'),
    ([-1], 'example -1 is to be queried'),
    (asked[:1], f'example {asked[0]} was queried before'),
    (positions[[0, 0]], f'example {few} is queried twice'),
    (np.arange(43), 'there is room for 42, the label budget'),
  ):
    with pytest.raises(ValueError, match=message):
      acquisition.with_pending(state, np.asarray(picks))
  plain = SimulatedOracle(dataset.train.targets[:few], dataset.task)
  state = acquisition.with_pending(state, positions)
  with pytest.raises(ValueError, match='need an oracle of your own'):
    acquisition.ask(compiled, plain, state, 5, seed=0, round=0)


def test_answers_beyond_the_label_budget_are_an_error(task, compiled):
  state = run_state.RunState(
    learner=(),
    strategy=(),
    pool=pool_lib.of(compiled.system.facts),
    paid=0,
    pending=np.arange(60, dtype=np.int32),
  )
  by_machine = Answers(
    np.zeros(60, np.int32), np.full(60, pool_lib.MACHINE, np.int8)
  )
  with pytest.raises(ValueError, match=r'60 labels .* a label budget of 42'):
    acquisition.tell(compiled, state, np.arange(60), by_machine, round=0)
  some = Answers(*(part[:10] for part in by_machine))
  state = acquisition.tell(compiled, state, np.arange(10), some, round=0)
  assert state.paid == 0
