"""A learner of two networks, in two phases: what the seams must carry."""

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import errors, keys, loop, models, oracle, strategies
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
      'classifier': networks.is_finite(state.task.network.variables),
      'critic': networks.is_finite(state.critic.variables),
    }

  def pictures(key, state, pool):
    kernel = jax.nn.sigmoid(state.critic.variables['params']['kernel'])
    labelled = jnp.sum(pool_lib.trainable(pool)).astype(jnp.uint8)
    return {
      'noise': jax.random.uniform(key, (3, 4, 5, 3)),
      'critic': kernel.reshape(2, 4, 4),
      'labelled': jnp.full((1, 2, 3, 1), labelled),
    }

  phases = Phase(plan_task, step_task), Phase(plan_critic, step_critic)
  return Learner(init, start, phases, apply, finite, pictures=pictures)


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


class Looking:
  """An observer that keeps the pictures of each round."""

  def __init__(self):
    self.rounds, self.images = [], []

  def on_pictures(self, pictures):
    assert (pictures.system, pictures.seed) == ('two networks', 0)
    self.rounds.append(pictures.round)
    self.images.append(jax.tree.map(np.asarray, dict(pictures.images)))


def test_each_round_gives_its_pictures_once(compiled, answers, tmp_path):
  looking = Looking()
  with checkpoint.Checkpointer(tmp_path / 'saves') as saves:
    rows = run(compiled, answers, checkpointer=saves, observers=[looking])
    _, (state,), _ = saves.restore([run_state.template(compiled)])
  assert results(rows) == results(run(compiled, answers))
  assert looking.rounds == [0, 1]
  for row, images in zip(rows, looking.images, strict=True):
    key = keys.for_round(0, row.round, keys.PICTURES)
    np.testing.assert_array_equal(
      images['noise'], jax.random.uniform(key, (3, 4, 5, 3))
    )
    assert np.all(images['labelled'] == row.trainable)
  kernel = np.asarray(state.learner.critic.variables['params']['kernel'])
  np.testing.assert_allclose(
    looking.images[1]['critic'].ravel(), 1 / (1 + np.exp(-kernel)), rtol=1e-6
  )


def test_a_stopped_run_gives_the_same_pictures_once(
  compiled, answers, tmp_path
):
  whole, stopped = Looking(), Looking()
  run(compiled, answers, observers=[whole])
  stopped_at_every_save(
    compiled, answers, PROTOCOL, tmp_path / 'stopped', observers=[stopped]
  )
  assert stopped.rounds == whole.rounds
  jax.tree.map(np.testing.assert_array_equal, stopped.images, whole.images)


def test_pictures_nobody_looks_at_are_not_made(compiled, answers):
  for nothing in (None, lambda key, state, pool: None):
    looking = Looking()
    without = compiled._replace(pictures=nothing)
    run(without, answers, observers=[looking])
    assert not looking.rounds

  def made(*arguments):
    raise AssertionError

  run(compiled._replace(pictures=made), answers)


@pytest.mark.parametrize(
  ('images', 'problem'),
  [
    ([np.zeros((1, 2, 2), np.float32)], 'are list; they must be a mapping'),
    (
      {'a/b': np.zeros((1, 2, 2), np.uint8)},
      "have the name 'a/b'; a name consists",
    ),
    ({'x': np.zeros((2, 2), np.uint8)}, r"'x' are uint8\[2, 2\]; .* height"),
    ({'x': np.zeros((1, 2, 2, 4), np.uint8)}, r'\[1, 2, 2, 4\]; .* 1 or 3'),
    ({'x': np.zeros((1, 2, 2), np.int32)}, 'must be uint8 or float32'),
    ({'x': np.zeros((101, 2, 2), np.uint8)}, 'from 1 to 100 of them'),
    ({'x': np.zeros((0, 2, 2), np.uint8)}, 'from 1 to 100 of them'),
    ({'x': np.full((1, 2, 2), 1.5, np.float32)}, 'a value outside 0 to 1'),
    ({'x': np.full((1, 2, 2), np.nan, np.float32)}, 'is not finite'),
  ],
)
def test_pictures_that_nobody_can_show_are_refused(
  compiled, answers, images, problem
):
  broken = compiled._replace(pictures=lambda key, state, pool: images)
  with pytest.raises(
    errors.ContractError,
    match=f"round 0, seed 0: the pictures of system 'two networks' .*{problem}",
  ):
    run(broken, answers, observers=[Looking()])


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
