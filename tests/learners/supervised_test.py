import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.interfaces import Batch
from al_jax.loop import program
from al_jax.training import fit as fit_lib
from tests.factories import a_pool, a_system, a_task

KEY = jax.random.key(5)


@pytest.fixture(scope='module')
def task():
  return a_task()


def started(system, pool, *, key=KEY, state=None):
  learner = system.learner
  if state is None:
    state = learner.init(jax.random.key(0))
  return learner.start(key, state, pool)


def run(system, dataset, pool, key=KEY):
  fns = fit_lib.compile_fit(
    system.learner, system.facts, program.sources_of(dataset)
  )
  state = system.learner.init(jax.random.key(0))
  *_, (state, progress) = fit_lib.fit(fns, [key], [key], [state], [pool])
  return state, progress


def params(state):
  return np.concatenate(
    [
      np.ravel(leaf)
      for leaf in jax.tree.leaves(state.network.variables['params'])
    ]
  )


def test_same_new_and_warm_begin_a_round_as_they_say(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(10))
  for weights, expected in (
    ('same', (True, True)),
    ('new', (False, False)),
    ('warm', (True, False)),
  ):
    system = a_system(facts=facts, learner={'weights': weights})
    fresh = system.learner.init(jax.random.key(0))
    first = started(system, pool, state=fresh)
    network = first.network
    variables = jax.tree.map(lambda leaf: leaf + 1.0, network.variables)
    moved = first.replace(network=network.replace(variables=variables))
    second = started(system, pool, state=moved, key=jax.random.key(6))
    found = tuple(
      bool(np.array_equal(params(state), params(fresh)))
      for state in (first, second)
    )
    assert found == expected, weights
    if weights == 'warm':
      np.testing.assert_array_equal(params(second), params(moved))
    if weights == 'new':
      assert not np.array_equal(params(first), params(second))


def test_without_labels_a_round_is_over_at_once(task):
  dataset, facts = task
  system = a_system(facts=facts)
  pool = a_pool(dataset, np.arange(0))
  state, progress = run(system, dataset, pool)
  assert progress.done.tolist() == [True]
  assert progress.step.tolist() == [0]
  fresh = system.learner.init(jax.random.key(0))
  np.testing.assert_array_equal(params(state), params(fresh))


def test_room_for_more_labels_changes_no_weight(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(20))
  small, _ = run(a_system(facts=facts), dataset, pool)
  roomy = facts._replace(label_budget=150)
  large, _ = run(a_system(facts=roomy), dataset, pool)
  np.testing.assert_array_equal(params(small), params(large))


def test_fewer_labels_than_a_batch_are_a_batch(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(5))
  narrow = a_system(facts=facts, learner={'batch_size': 5})
  wide = a_system(facts=facts, learner={'batch_size': 64})
  a, progress = run(narrow, dataset, pool)
  b, _ = run(wide, dataset, pool)
  assert progress.step.tolist() == [8]
  # The order within a batch changes the sum by rounding alone.
  np.testing.assert_allclose(params(a), params(b), atol=1e-5)


def test_the_training_accuracy_ends_a_round_at_the_end_of_an_epoch(task):
  dataset, facts = task
  system = a_system(
    facts=facts, learner={'stop': {'epochs': 500, 'train_accuracy': 0.9}}
  )
  _, progress = run(system, dataset, a_pool(dataset, np.arange(30)))
  assert progress.metrics['accuracy'][0] >= 0.9
  assert progress.step[0] % 2 == 0
  assert progress.step[0] < 1000


def test_steps_end_a_round_within_an_epoch(task):
  dataset, facts = task
  system = a_system(facts=facts, learner={'stop': {'epochs': 9, 'steps': 4}})
  _, progress = run(system, dataset, a_pool(dataset, np.arange(40)))
  assert progress.step.tolist() == [4]
  one_step = a_system(facts=facts, learner={'stop': {'epochs': 9, 'steps': 1}})
  _, progress = run(one_step, dataset, a_pool(dataset, np.arange(40)))
  assert np.isfinite(progress.metrics['loss'][0])


def test_a_step_is_gradient_descent_on_the_mean_loss(task):
  dataset, facts = task
  system = a_system(
    facts=facts,
    learner={
      'optimizer': {'name': 'sgd', 'momentum': 0.0, 'learning_rate': 0.5}
    },
  )
  pool = a_pool(dataset, np.arange(10))
  state = started(system, pool)
  index = system.learner.phases[0].plan(state, pool)['labelled']
  assert sorted(np.asarray(index)) == [-1] * 6 + list(range(10))
  rows = jnp.asarray(dataset.train.inputs[np.maximum(index, 0)])
  after, _ = system.learner.phases[0].step(
    state, {'labelled': Batch(index, rows)}, pool
  )

  def loss(params):
    network = state.network.replace(variables={'params': params})
    of = state.replace(network=network)
    logits = system.learner.apply(of, rows[:10]).predictions
    targets = jnp.asarray(dataset.train.targets[np.asarray(index[:10])])
    picked = jax.nn.log_softmax(logits)[jnp.arange(10), targets]
    return -picked.mean()

  gradients = jax.grad(loss)(state.network.variables['params'])
  jax.tree.map(
    lambda new, old, g: np.testing.assert_allclose(
      new, old - 0.5 * g, atol=1e-6
    ),
    after.network.variables['params'],
    state.network.variables['params'],
    gradients,
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'weights': 'hot'}, "weights 'hot' is not known"),
    ({'batch_size': 0}, 'batch_size is 0'),
  ],
)
def test_bad_options_are_refused(task, options, message):
  with pytest.raises(ValueError, match=message):
    a_system(facts=task[1], learner=options)
