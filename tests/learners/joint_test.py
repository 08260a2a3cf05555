import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.learners import joint, supervised
from al_jax.loop import program
from al_jax.models import build
from al_jax.training import fit as fit_lib
from tests.factories import a_pool, a_task, assert_descended, batches_of

KEY = jax.random.key(5)
OPTIONS = {
  'batch_size': 16,
  'stop': {'epochs': 8},
  'optimizer': {'learning_rate': 0.01},
}


@pytest.fixture(scope='module')
def task():
  return a_task()


def a_learner(facts, make=joint, *, dropout=0.0, **options):
  model = build('mlp', facts, widths=(32,), dropout=dropout)
  return make(model, facts, **{**OPTIONS, **options})


def run(learner, facts, dataset, pool):
  fns = fit_lib.compile_fit(learner, facts, program.sources_of(dataset))
  state = learner.init(jax.random.key(0))
  *_, (state, progress) = fit_lib.fit(fns, [KEY], [KEY], [state], [pool])
  return state, progress


def weights(training):
  return np.concatenate(
    [
      np.ravel(leaf)
      for leaf in jax.tree.leaves(training.network.variables['params'])
    ]
  )


def test_without_a_weight_it_is_supervised_bit_for_bit(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(20))
  alone, _ = run(
    a_learner(facts, supervised, dropout=0.2), facts, dataset, pool
  )
  both, progress = run(
    a_learner(facts, entropy_weight=0.0, dropout=0.2), facts, dataset, pool
  )
  np.testing.assert_array_equal(weights(both), weights(alone))
  assert progress.metrics['collapsed'] == 0


def test_a_step_descends_on_both_means(task):
  dataset, facts = task
  learner = a_learner(
    facts,
    entropy_weight=0.7,
    balance=0.3,
    unlabelled_batch_size=24,
    optimizer={'name': 'sgd', 'momentum': 0.0, 'learning_rate': 0.5},
  )
  pool = a_pool(dataset, np.arange(10))
  state = learner.start(KEY, learner.init(jax.random.key(0)), pool)
  index = learner.phases[0].plan(state, pool)
  known, others = np.asarray(index['labelled']), np.asarray(index['unlabelled'])
  assert sorted(known) == [-1] * 6 + list(range(10))
  assert len(set(others)) == 24
  assert others.min() >= 10
  rows = batches_of(learner, dataset, pool, state)
  after, _ = learner.phases[0].step(state, rows, pool)

  def loss(params):
    def log_probs(inputs):
      of = state.replace(
        network=state.network.replace(variables={'params': params})
      )
      return jax.nn.log_softmax(learner.apply(of, inputs).predictions)

    of_known = log_probs(rows['labelled'].inputs[:10])
    targets = dataset.train.targets[known[:10]]
    of_others = log_probs(rows['unlabelled'].inputs)
    mean = jnp.exp(of_others).mean(0)
    return (
      -of_known[jnp.arange(10), targets].mean()
      - 0.7 * (jnp.exp(of_others) * of_others).sum(1).mean()
      + 0.3 * (mean * jnp.log(mean)).sum()
    )

  before = state.network.variables['params']
  assert_descended(before, after.network.variables['params'], loss, 0.5)


def test_labelled_and_unlabelled_share_the_statistics_of_a_step(task):
  dataset, facts = task
  model = build('mlp', facts, widths=(32,), norm='batch')
  learner = joint(model, facts, **OPTIONS, unlabelled_batch_size=24)
  pool = a_pool(dataset, np.arange(16))
  state = learner.start(KEY, learner.init(jax.random.key(0)), pool)
  rows = batches_of(learner, dataset, pool, state)
  after, _ = learner.phases[0].step(state, rows, pool)
  both = np.concatenate([of.inputs for of in rows.values()])
  variables = state.network.variables
  _, expected = model.train(variables, both, KEY)
  found = after.network.variables['statistics']
  moved = jax.tree.leaves(
    jax.tree.map(
      lambda a, b: float(jnp.abs(a - b).max()), found, variables['statistics']
    )
  )
  assert max(moved) > 1e-3
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    found,
    expected,
  )


def test_it_trains_with_dropout_and_predicts_without(task):
  dataset, facts = task
  learner = a_learner(facts, dropout=0.5, entropy_weight=0.5)
  pool = a_pool(dataset, np.arange(16))
  state = learner.start(KEY, learner.init(jax.random.key(0)), pool)
  rows = batches_of(learner, dataset, pool, state)
  other = state.replace(course=state.course.replace(key=jax.random.key(99)))
  one, two = (
    learner.phases[0].step(of, rows, pool)[0] for of in (state, other)
  )
  assert not np.array_equal(weights(one), weights(two))
  inputs = jnp.asarray(dataset.train.inputs[:9])
  np.testing.assert_array_equal(
    learner.apply(state, inputs).predictions,
    learner.apply(other, inputs).predictions,
  )


def test_what_was_asked_about_leaves_the_unlabelled(task):
  dataset, facts = task
  learner = a_learner(facts)
  first, progress = run(learner, facts, dataset, a_pool(dataset, np.arange(20)))
  assert progress.done.tolist() == [True]
  pool = a_pool(dataset, np.arange(40))
  state = learner.start(jax.random.key(9), first, pool)
  step, taken = jax.jit(learner.phases[0].step), set()
  while not bool(state.course.finished):
    rows = batches_of(learner, dataset, pool, state)
    taken |= set(np.asarray(rows['unlabelled'].index).tolist())
    state, _ = step(state, rows, pool)
  assert taken - {-1} == set(range(40, 160))


def test_the_term_makes_predictions_confident(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(30))
  stop = {'epochs': 40}
  _, without = run(
    a_learner(facts, entropy_weight=1e-9, stop=stop), facts, dataset, pool
  )
  _, with_it = run(
    a_learner(facts, entropy_weight=0.5, stop=stop), facts, dataset, pool
  )
  assert (
    with_it.metrics['unlabelled_entropy']
    < 0.5 * without.metrics['unlabelled_entropy']
  )


def test_one_class_for_all_is_reported_and_balance_prevents_it(task):
  dataset, facts = task
  pool = a_pool(dataset, np.flatnonzero(dataset.train.targets < 2)[:2])
  stop = {'epochs': 300}
  _, alone = run(
    a_learner(facts, entropy_weight=50.0, stop=stop), facts, dataset, pool
  )
  assert alone.metrics['collapsed'] == 1
  assert alone.metrics['marginal_entropy'] < np.log(1.5)
  _, kept = run(
    a_learner(facts, entropy_weight=50.0, balance=60.0, stop=stop),
    facts,
    dataset,
    pool,
  )
  assert kept.metrics['collapsed'] == 0


@pytest.mark.parametrize('num_labelled', [1, 160])
def test_few_labels_and_none_left_unlabelled_are_no_special_case(
  num_labelled, task
):
  dataset, facts = task
  facts = facts._replace(label_budget=160)
  pool = a_pool(dataset, np.arange(num_labelled))
  state, progress = run(a_learner(facts), facts, dataset, pool)
  assert np.all(np.isfinite(weights(state)))
  assert all(np.isfinite(value) for value in progress.metrics.values())
  if num_labelled == 160:
    assert progress.metrics['unlabelled_entropy'] == 0
    alone, _ = run(a_learner(facts, supervised), facts, dataset, pool)
    np.testing.assert_allclose(weights(state), weights(alone), atol=1e-4)


def test_patience_goes_back_to_the_best_epoch(task):
  dataset, facts = task
  learner = a_learner(facts, stop={'epochs': 200, 'patience': 2})
  state, progress = run(learner, facts, dataset, a_pool(dataset, np.arange(9)))
  assert progress.done.tolist() == [True]
  np.testing.assert_array_equal(
    weights(state),
    np.concatenate(
      [
        np.ravel(leaf)
        for leaf in jax.tree.leaves(state.course.best.variables['params'])
      ]
    ),
  )


@pytest.mark.parametrize(
  ('option', 'value'),
  [('entropy_weight', -1), ('balance', np.nan), ('unlabelled_batch_size', 0)],
)
def test_bad_options_are_named(option, value, task):
  _, facts = task
  with pytest.raises(ValueError, match=option):
    a_learner(facts, **{option: value})
