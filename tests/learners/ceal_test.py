import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.learners import (
  ceal,
  joint,
  label_propagation,
  room_for_all,
  self_training,
  supervised,
)
from al_jax.learners.ceal import Threshold
from al_jax.loop import program
from al_jax.models import build
from al_jax.training import fit as fit_lib
from tests.factories import a_pool, a_task

KEYS = [jax.random.key(seed) for seed in range(5)]
OPTIONS = {
  'batch_size': 16,
  'stop': {'epochs': 8},
  'optimizer': {'learning_rate': 0.01},
}


@pytest.fixture(scope='module')
def task():
  return a_task()


def a_model(facts):
  return build('mlp', facts, widths=(32,))


def run(learner, facts, dataset, pools):
  """The state after each round, one per pool."""
  fns = fit_lib.compile_fit(learner, facts, program.sources_of(dataset))
  state, states = learner.init(jax.random.key(0)), []
  for key, pool in zip(KEYS, pools, strict=False):
    *_, (state, progress) = fit_lib.fit(fns, [key], [key], [state], [pool])
    assert progress.done.tolist() == [True]
    states.append(state)
  return states


def growing(dataset, *sizes):
  return [a_pool(dataset, np.arange(size)) for size in sizes]


def weights(state):
  return np.concatenate(
    [
      np.ravel(leaf)
      for leaf in jax.tree.leaves(state.network.variables['params'])
    ]
  )


def uncertainty(learner, state, dataset):
  logits = learner.apply(state, jnp.asarray(dataset.train.inputs)).predictions
  return np.asarray(kernels.entropy(logits)), np.argmax(logits, 1)


def test_labels_are_what_the_model_before_was_sure_of(task):
  dataset, facts = task
  threshold = 0.6
  learner = ceal(
    a_model(facts), facts, threshold=threshold, decay=0.0, **OPTIONS
  )
  pools = growing(dataset, 20, 30)
  first, second = run(learner, facts, dataset, pools)
  assert np.all(np.asarray(first.labels) == -1)
  entropies, classes = uncertainty(learner, first, dataset)
  sure = (entropies < threshold) & (np.arange(160) >= 30)
  assert 0 < sure.sum() < 130
  np.testing.assert_array_equal(second.labels, np.where(sure, classes, -1))
  # The round was trained on both kinds, from the same weights as any other.
  both = pools[1].replace(
    targets=jnp.where(sure, classes, pools[1].targets),
    annotator=jnp.where(sure, pool_lib.MACHINE, pools[1].annotator).astype(
      jnp.int8
    ),
  )
  plain = supervised(a_model(facts), room_for_all(facts), **OPTIONS)
  fns = fit_lib.compile_fit(
    plain, room_for_all(facts), program.sources_of(dataset)
  )
  *_, (alone, _) = fit_lib.fit(fns, [KEYS[1]], [KEYS[1]], [first.inner], [both])
  np.testing.assert_allclose(weights(second.inner), weights(alone), atol=1e-6)


@pytest.mark.parametrize(
  ('schedule', 'expected'),
  [
    ('cumulative', [0.5, 0.5, 0.4, 0.2]),
    ('linear', [0.5, 0.4, 0.3, 0.2]),
  ],
)
def test_the_threshold_falls_as_its_schedule_says(schedule, expected, task):
  dataset, facts = task
  learner = ceal(
    a_model(facts),
    facts,
    threshold=0.5,
    decay=0.1,
    schedule=schedule,
    **OPTIONS,
  )
  pools = growing(dataset, 20, 20, 20, 20, 20)
  before, *states = run(learner, facts, dataset, pools)
  for state, threshold in zip(states, expected, strict=True):
    entropies, _ = uncertainty(learner, before, dataset)
    sure = (entropies < threshold) & (np.arange(160) >= 20)
    np.testing.assert_array_equal(np.asarray(state.labels) >= 0, sure)
    before = state


def test_normalized_entropies_are_shares_of_log_c(task):
  dataset, facts = task
  pools = growing(dataset, 20, 20)
  make = functools.partial(ceal, a_model(facts), facts, **OPTIONS)
  nats = run(make(threshold=0.3 * float(np.log(10))), facts, dataset, pools)
  shares = run(make(threshold=0.3, normalized=True), facts, dataset, pools)
  np.testing.assert_array_equal(nats[-1].labels, shares[-1].labels)
  assert np.any(np.asarray(shares[-1].labels) >= 0)


def test_it_begins_with_the_weights_of_the_learner_within(task):
  """As all systems of a comparison do."""
  _, facts = task
  plain = supervised(a_model(facts), facts, **OPTIONS)
  trained = ceal(a_model(facts), facts, **OPTIONS)
  key = KEYS[3]
  np.testing.assert_array_equal(
    weights(trained.init(key).inner), weights(plain.init(key))
  )


def test_it_wraps_a_learner_that_looks_over_the_pool_itself(task):
  dataset, facts = task
  inner = label_propagation(
    a_model(facts),
    room_for_all(facts),
    neighbors=10,
    labelled_batch_size=8,
    batch_size=24,
    stop={'epochs': 3},
    optimizer={'learning_rate': 0.01},
  )
  learner = self_training(inner, facts, Threshold(threshold=1.5))
  pools = growing(dataset, 20, 30)
  _, state = run(learner, facts, dataset, pools)
  sure = np.asarray(state.labels) >= 0
  assert np.any(sure)
  found = np.asarray(learner.pseudo_labels(state, pools[1]))
  np.testing.assert_array_equal(found[sure], np.asarray(state.labels)[sure])
  # Beside these, what was propagated.
  assert np.count_nonzero(found >= 0) > np.count_nonzero(sure)
  assert np.all(found[:30] == -1)


def test_what_is_asked_about_gets_its_true_label(task):
  dataset, facts = task
  learner = ceal(a_model(facts), facts, threshold=2.0, decay=0.0, **OPTIONS)
  pools = growing(dataset, 20, 30)
  sure = run(learner, facts, dataset, pools)[-1]
  labels = np.asarray(sure.labels)
  wrong = (labels >= 0) & (labels != dataset.train.targets)
  assert wrong.any()
  asked = np.concatenate([np.arange(30), np.flatnonzero(wrong)[:5]])
  state = learner.start(KEYS[3], sure, a_pool(dataset, asked))
  found = np.asarray(learner.pseudo_labels(state, a_pool(dataset, asked)))
  assert np.all(found[asked] == -1)
  # In the round that follows they are trained on as what they are.
  pools = [*pools, a_pool(dataset, asked)]
  state = run(learner, facts, dataset, pools)[-1]
  assert np.all(np.asarray(state.labels)[asked] == -1)
  logits = learner.apply(state, jnp.asarray(dataset.train.inputs)).predictions
  right = np.argmax(logits, 1)[asked[30:]] == dataset.train.targets[asked[30:]]
  assert right.mean() > 0.5


def test_warm_weights_and_nothing_left_to_label(task):
  dataset, facts = task
  facts = facts._replace(label_budget=160)
  learner = ceal(
    a_model(facts), facts, threshold=2.0, weights='warm', **OPTIONS
  )
  states = run(learner, facts, dataset, growing(dataset, 20, 100, 160))
  assert np.any(np.asarray(states[1].labels) >= 0)
  assert np.all(np.asarray(states[2].labels) == -1)
  for state in states:
    assert np.all(np.isfinite(weights(state.inner)))
  # The second round goes on from the weights of the first.
  begun = learner.start(KEYS[1], states[0], growing(dataset, 100)[0])
  np.testing.assert_array_equal(weights(begun.inner), weights(states[0].inner))


@pytest.mark.parametrize('make', [label_propagation, joint])
def test_what_is_not_revealed_changes_nothing_in_what_is_wrapped(task, make):
  dataset, facts = task
  options = {'stop': {'epochs': 3}, 'optimizer': {'learning_rate': 0.01}}
  inner = make(a_model(facts), room_for_all(facts), batch_size=64, **options)
  learner = self_training(inner, facts, Threshold(threshold=2.0))
  pools = growing(dataset, 20, 30)
  garbage = [
    pool.replace(targets=jnp.where(pool.annotator == 0, 7, pool.targets))
    for pool in pools
  ]
  clean = run(learner, facts, dataset, pools)[-1]
  poisoned = run(learner, facts, dataset, garbage)[-1]
  assert np.any(np.asarray(clean.labels) >= 0)
  np.testing.assert_array_equal(weights(clean.inner), weights(poisoned.inner))


def test_patience_on_a_validation_split_goes_with_its_own_survey(task):
  dataset, facts = task
  learner = ceal(
    a_model(facts),
    facts,
    threshold=1.5,
    stop={'epochs': 200, 'patience': 2},
    optimizer={'learning_rate': 0.01},
  )
  first, second = run(learner, facts, dataset, growing(dataset, 20, 30))
  assert np.all(np.asarray(first.labels) == -1)
  assert np.any(np.asarray(second.labels) >= 0)
  for state in (first.inner, second.inner):
    assert 2 < int(state.course.epochs.epoch) < 200
    jax.tree.map(
      np.testing.assert_array_equal,
      state.network.variables,
      state.course.best.variables,
    )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'threshold': 0.0}, 'threshold is 0.0'),
    ({'decay': -0.1}, 'decay is -0.1'),
    ({'schedule': 'steps'}, "schedule 'steps'"),
  ],
)
def test_bad_options_are_named(options, message, task):
  _, facts = task
  with pytest.raises(ValueError, match=message):
    ceal(a_model(facts), facts, **options)
