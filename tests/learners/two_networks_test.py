"""A learner of two networks, in two phases: what the seams must carry."""

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import keys, loop, models, oracle, strategies
from al_jax import pool as pool_lib
from al_jax._system import System
from al_jax.interfaces import Learner, Phase, Progress
from al_jax.learners import supervised
from al_jax.loop import program, protocol, run_state
from al_jax.storage import checkpoint, records
from al_jax.training import forward, networks, objectives, plans
from tests.factories import a_task, stopped_at_every_save

CRITIC_STEPS, BATCH = 12, 16
PROTOCOL = protocol.Protocol(
  rounds=2, labels_per_round=10, first_size=20, save_every_steps=3
)


@flax.struct.dataclass
class TwoNetworks:
  """A classifier, and a critic that tells what is labelled by its embedding."""

  task: Any
  critic: networks.Network
  labelled: plans.Epochs
  unlabelled: plans.Epochs
  taken: jax.Array


def two_networks(model, facts, *, critic_weight=1.0):
  """Trains the classifier as `supervised`, then the critic for a few steps."""
  inner = supervised(model, facts, batch_size=BATCH, stop={'epochs': 3})
  (task_phase,) = inner.phases
  width = 32
  trainer = networks.trainer(
    lambda key: {
      'params': {
        'kernel': 0.1 * jax.random.normal(key, (width,)),
        'bias': jnp.zeros(()),
      }
    },
    optimizer={
      'name': 'sgd',
      'learning_rate': 0.05,
      'schedule': 'cosine',
    },
    weights='warm',
  )

  def init(key):
    task_key, critic_key = jax.random.split(key)
    return TwoNetworks(
      task=inner.init(task_key),
      critic=trainer.first(critic_key),
      labelled=plans.empty(facts.label_budget, BATCH),
      unlabelled=plans.empty(facts.num_examples, BATCH),
      taken=jnp.zeros((), jnp.int32),
    )

  def start(key, state, pool):
    task_key, critic_key, *order_keys = jax.random.split(key, 4)
    members = pool_lib.labelled_indices(pool, facts.label_budget)
    others = pool_lib.unlabelled_indices(pool)
    return TwoNetworks(
      task=inner.start(task_key, state.task, pool),
      critic=trainer.begin(critic_key, state.critic),
      labelled=plans.begin(order_keys[0], *members, BATCH),
      unlabelled=plans.begin(order_keys[1], *others, BATCH),
      taken=jnp.zeros((), jnp.int32),
    )

  def progress(state):
    is_task = ~state.task.course.finished
    return Progress(
      done=~is_task & (state.taken >= CRITIC_STEPS),
      due={},
      step=state.task.course.step + state.taken,
      metrics=state.task.course.metrics,
      phase=jnp.where(is_task, 0, 1),
    )

  def plan_task(state, pool):
    return task_phase.plan(state.task, pool)

  def step_task(state, batches, pool):
    # A step of another phase changes nothing: the course is finished then.
    state = state.replace(task=task_phase.step(state.task, batches, pool)[0])
    return state, progress(state)

  def plan_critic(state, pool):
    del pool
    return {
      'critic_labelled': plans.full_batch(state.labelled, BATCH),
      'critic_unlabelled': plans.full_batch(state.unlabelled, BATCH),
    }

  def step_critic(state, batches, pool):
    del pool
    seen = [
      inner.apply(state.task, batches[name].inputs).embedding
      for name in ('critic_labelled', 'critic_unlabelled')
    ]
    is_labelled = jnp.repeat(jnp.array([1.0, 0.0]), BATCH)
    seen = jax.lax.stop_gradient(jnp.concatenate(seen))

    def loss(params):
      logits = seen @ params['kernel'] + params['bias']
      signs = 1 - 2 * is_labelled
      real = jnp.ones(2 * BATCH, jnp.bool_)
      losses = jax.nn.softplus(signs * logits)
      return critic_weight * objectives.masked_mean(losses, real)

    gradients = jax.grad(loss)(state.critic.variables['params'])
    share = state.taken / CRITIC_STEPS
    moved = state.replace(
      critic=trainer.moved(
        state.critic, gradients, {}, share, jnp.int32(2 * BATCH)
      ),
      labelled=plans.advance(state.task.course.key, state.labelled, BATCH),
      unlabelled=plans.advance(state.task.course.key, state.unlabelled, BATCH),
      taken=state.taken + 1,
    )
    frozen = ~state.task.course.finished | (state.taken >= CRITIC_STEPS)
    state = jax.tree.map(lambda a, b: jnp.where(frozen, a, b), state, moved)
    return state, progress(state)

  def apply(state, inputs, *, keys=None):
    return forward.apply(model, state.task.network.variables, inputs, keys=keys)

  def finite(state):
    return {
      'classifier': networks.is_finite(state.task.network),
      'critic': networks.is_finite(state.critic),
    }

  phases = Phase(plan_task, step_task), Phase(plan_critic, step_critic)
  return Learner(init, start, phases, apply, finite)


@pytest.fixture(scope='module')
def task():
  return a_task()


def a_program(task, *, num_lanes=1, **options):
  dataset, facts = task
  model = models.build('mlp', facts, widths=(32,))
  learner = two_networks(model, facts, **options)
  return program.compile_program(
    System('two networks', learner, strategies.random(), facts),
    program.sources_of(dataset),
    dataset.train.ids,
    num_lanes=num_lanes,
  )


@pytest.fixture(scope='module')
def compiled(task):
  return a_program(task)


@pytest.fixture(scope='module')
def answers(task):
  dataset, _ = task
  return oracle.SimulatedOracle(dataset.train.targets, dataset.task)


def results(rows):
  return [records.deterministic(row) for row in rows]


def run(compiled, answers, seeds=(0,), **options):
  return list(loop.run_rounds(compiled, answers, PROTOCOL, seeds, **options))


def test_both_phases_are_run_by_programs_compiled_once(compiled, answers):
  rows = run(compiled, answers)
  task_steps = [3 * math.ceil(row.labels / BATCH) for row in rows]
  assert [row.steps for row in rows] == [
    steps + CRITIC_STEPS for steps in task_steps
  ]
  # The first round compiles what all rounds need.
  assert rows[1].compilations == rows[0].compilations


def test_the_critic_moves_in_its_own_phase_alone(compiled, task):
  dataset, _ = task
  learner = compiled.system.learner
  pool = compiled.reveal(
    pool_lib.create(len(dataset.train)),
    np.arange(20, dtype=np.int32),
    dataset.train.targets[:20],
    pool_lib.ORACLE,
    round=0,
  )
  key = jax.random.key(1)
  state = learner.start(key, learner.init(keys.for_run(0, 1)), pool)
  phase, critic = 0, state.critic.variables['params']['kernel']
  for _ in range(100):
    state, progress = compiled.fit.advance[phase](state, pool, 2)
    moved = state.critic.variables['params']['kernel']
    assert np.array_equal(moved, critic) == (phase == 0)
    phase, critic = int(progress.phase), moved
    if bool(progress.done):
      break
  assert bool(progress.done)
  # A step of a round that is over, in either phase, is a fixed point.
  for advance in compiled.fit.advance:
    again, _ = advance(state, pool, 3)
    jax.tree.map(
      np.testing.assert_array_equal,
      (again.critic, again.task.network),
      (state.critic, state.task.network),
    )


def test_a_stop_in_either_phase_goes_on_bit_for_bit(
  compiled, answers, tmp_path
):
  whole = run(compiled, answers)
  found, stops = stopped_at_every_save(
    compiled, answers, PROTOCOL, tmp_path / 'stopped'
  )
  # Saved at every third step: in both phases of both rounds.
  assert stops > 6
  assert results(found) == results(whole)


def test_two_lanes_are_two_runs(task, compiled, answers):
  together = run(a_program(task, num_lanes=2), answers, (0, 1))
  for seed in (0, 1):
    alone = run(compiled, answers, (seed,))
    of_lane = [row for row in together if row.seed == seed]
    assert [row.steps for row in of_lane] == [row.steps for row in alone]
    assert [row.picks for row in of_lane] == [row.picks for row in alone]
    for one, other in zip(of_lane, alone, strict=True):
      np.testing.assert_allclose(
        one.test['log_loss'], other.test['log_loss'], rtol=1e-3
      )


def test_the_network_that_diverges_is_named(task, answers, tmp_path):
  diverging = a_program(task, critic_weight=float('inf'))
  with checkpoint.Checkpointer(tmp_path / 'saves') as saves:
    with pytest.raises(
      FloatingPointError,
      match=r'round 0, seed 0: a weight of the critic .* after \d+ steps',
    ):
      run(diverging, answers, checkpointer=saves)
    # What was saved last is good.
    _, (state,), _ = saves.restore([run_state.template(diverging)])
    finite = diverging.system.learner.finite(state.learner)
  assert all(finite.values())
