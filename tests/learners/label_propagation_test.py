import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch
from al_jax.learners.label_propagation import _drawn, label_propagation
from al_jax.loop import program
from al_jax.models import build
from al_jax.training import fit as fit_lib
from al_jax.training import schedules
from tests.factories import a_pool, a_task, assert_descended, batches_of

KEY = jax.random.key(5)
OPTIONS = {
  'neighbors': 10,
  'labelled_batch_size': 8,
  'batch_size': 24,
  'stop': {'epochs': 4},
  'optimizer': {'learning_rate': 0.01},
}


@pytest.fixture(scope='module')
def task():
  return a_task()


def a_learner(facts, **options):
  model = build('mlp', facts, widths=(32,))
  return label_propagation(model, facts, **{**OPTIONS, **options})


def run(learner, facts, dataset, pool):
  fns = fit_lib.compile_fit(learner, facts, program.sources_of(dataset))
  state = learner.init(jax.random.key(0))
  *_, (state, progress) = fit_lib.fit(fns, [KEY], [KEY], [state], [pool])
  return state, progress


def surveyed(learner, facts, dataset, pool):
  """A state that is to take its first step, and the embedding it looked at."""
  state = learner.start(KEY, learner.init(KEY), pool)
  inputs = jnp.asarray(dataset.train.inputs)
  batch = Batch(jnp.arange(len(inputs)), inputs)
  apply = functools.partial(learner.apply, state)
  seen = learner.surveys['pseudo_labels'].measure(KEY, apply, batch)
  return learner.surveys['pseudo_labels'].absorb(KEY, state, seen, pool), seen


def weights(state):
  return np.concatenate(
    [
      np.ravel(leaf)
      for leaf in jax.tree.leaves(state.network.variables['params'])
    ]
  )


OTHER_OPTIONS = {
  'alpha': 0.5,
  'gamma': 1.0,
  'graph_kind': 'union',
  'num_iters': 3,
}


@pytest.mark.parametrize(
  'options', [{}, *({name: of} for name, of in OTHER_OPTIONS.items())]
)
def test_labels_and_weights_are_those_of_the_kernel(task, options):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(20))
  learner = a_learner(facts, share=1.0, **options)
  state, seen = surveyed(learner, facts, dataset, pool)
  known = jnp.where(pool_lib.trainable(pool), pool.targets, -1)
  graph = kernels.knn_graph(seen, 10)
  found = kernels.label_propagation(graph, known, 10, **options)
  if options:
    usual = kernels.label_propagation(graph, known, 10)
    assert not np.allclose(usual.certainty, found.certainty, atol=1e-3)
  used = (found.certainty > 0) | pool_lib.trainable(pool)
  np.testing.assert_array_equal(
    state.labels, np.where(used, found.pseudo_labels, -1)
  )
  np.testing.assert_allclose(
    state.weights, np.where(used, found.certainty, 0), rtol=1e-5
  )
  labels = np.asarray(state.labels)
  counts = np.bincount(labels[labels >= 0], minlength=10)
  present = counts > 0
  np.testing.assert_allclose(
    np.asarray(state.class_weights)[present],
    counts.sum() / 10 / counts[present],
    rtol=1e-5,
  )
  machine = np.asarray(learner.pseudo_labels(state, pool))
  assert np.all(machine[:20] == -1)
  np.testing.assert_array_equal(machine[20:], labels[20:])


@pytest.mark.parametrize('class_weights', [True, False])
def test_a_step_descends_on_the_weighted_loss(task, class_weights):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(20))
  learner = a_learner(
    facts,
    class_weights=class_weights,
    optimizer={'name': 'sgd', 'momentum': 0.0, 'learning_rate': 0.5},
  )
  state, _ = surveyed(learner, facts, dataset, pool)
  if not class_weights:
    np.testing.assert_array_equal(state.class_weights, np.ones(10))
  batches = batches_of(learner, dataset, pool, state)
  index = np.concatenate([np.asarray(of.index) for of in batches.values()])
  inputs = np.concatenate([of.inputs for of in batches.values()])
  assert index.shape == (24,)
  assert index.min() >= 0
  labels = np.asarray(state.labels)[index]
  np.testing.assert_array_equal(labels[:8], dataset.train.targets[index[:8]])
  factors = np.asarray(state.weights)[index]
  assert np.all(factors[:8] == 1)
  assert len(set(factors[8:].tolist())) > 8
  factors = factors * np.asarray(state.class_weights)[labels]

  def loss(params):
    of = state.replace(
      network=state.network.replace(variables={'params': params})
    )
    log_probs = jax.nn.log_softmax(learner.apply(of, inputs).predictions)
    # Over the size of the batch, not over the sum of the factors.
    return -jnp.sum(factors * log_probs[np.arange(24), labels]) / 24

  before = state.network.variables['params']
  after, _ = learner.phases[0].step(state, batches, pool)
  assert_descended(before, after.network.variables['params'], loss, 0.5)


def test_it_looks_again_every_so_many_epochs(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(20))
  learner = a_learner(facts, every=2)
  state, _ = surveyed(learner, facts, dataset, pool)
  step = jax.jit(learner.phases[0].step)
  for epoch in (1, 2):
    while int(state.course.epochs.epoch) < epoch:
      assert not bool(state.course.waits)
      batches = batches_of(learner, dataset, pool, state)
      state, progress = step(state, batches, pool)
    assert bool(progress.due['pseudo_labels']) == (epoch == 2)


def test_the_share_of_the_round_grows_however_many_are_reached(
  task, monkeypatch
):
  """The learning rate follows it: past 1 a cosine would rise again."""
  dataset, facts = task
  shares = []

  def schedule(share):
    shares.append(float(share))
    return 1.0 - share

  monkeypatch.setitem(schedules.SCHEDULES, 'told', schedule)
  pool = a_pool(dataset, np.arange(20))
  options = {'name': 'sgd', 'learning_rate': 0.1, 'schedule': 'told'}
  learner = a_learner(facts, optimizer=options)
  state, _ = surveyed(learner, facts, dataset, pool)
  while not bool(state.course.finished):
    batches = batches_of(learner, dataset, pool, state)
    state, progress = learner.phases[0].step(state, batches, pool)
    if progress.due['pseudo_labels']:
      # From the second epoch on nothing is reached: 2 steps instead of 5.
      blind = jnp.zeros((160, 32))
      state = learner.surveys['pseudo_labels'].absorb(KEY, state, blind, pool)
  expected = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]
  np.testing.assert_allclose(shares, expected, rtol=1e-6)


def test_a_labelled_example_is_augmented_another_way_each_time(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(2))
  options = {'stop': {'epochs': 1}, 'augment': ('shift',)}
  learner = a_learner(facts, **options)
  state, _ = surveyed(learner, facts, dataset, pool)
  batches = batches_of(learner, dataset, pool, state)
  # The same example everywhere, as known and as one of the others.
  image = jnp.broadcast_to(
    jnp.asarray(dataset.train.inputs[:1]), batches['labelled'].inputs.shape
  )
  index = jnp.zeros_like(batches['labelled'].index)
  one = {**batches, 'labelled': Batch(index, image)}
  seen = []

  def spy(variables, inputs, key, *, real=None):
    seen.append(inputs)
    return model.train(variables, inputs, key, real=real)

  model = build('mlp', facts, widths=(32,))
  learner = label_propagation(
    model._replace(train=spy), facts, **{**OPTIONS, **options}
  )
  with jax.disable_jit():
    learner.phases[0].step(state, one, pool)
  known = np.asarray(seen[0])[:8].reshape(8, -1)
  assert len(np.unique(known, axis=0)) > 4


def test_half_is_drawn_and_an_epoch_passes_over_it(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(20))
  learner = a_learner(facts)
  state, _ = surveyed(learner, facts, dataset, pool)
  drawn = np.flatnonzero((np.asarray(state.labels) >= 0)[20:]) + 20
  assert len(drawn) == (160 - 20) // 2
  taken, labelled = [], []
  while not taken or int(state.course.epochs.position):
    index = learner.phases[0].plan(state, pool)
    taken += [int(i) for i in index['pseudo_labelled'] if i >= 0]
    labelled += index['labelled'].tolist()
    batches = batches_of(learner, dataset, pool, state)
    state, progress = learner.phases[0].step(state, batches, pool)
  assert sorted(taken) == drawn.tolist()
  # The labelled fill their part of every batch, the first round and round.
  assert sorted(set(labelled)) == list(range(20))
  assert len(labelled) == 8 * int(progress.step)
  # After the epoch it is to look again, and until then a step changes nothing.
  assert bool(progress.due['pseudo_labels'])
  again, _ = learner.phases[0].step(state, batches, pool)
  np.testing.assert_array_equal(weights(again), weights(state))


def test_the_draw_is_in_proportion_to_the_certainty():
  certainty = jnp.array([0.0, 0.1, 0.1, 0.8, 1.0])
  mask = jnp.array([True, True, True, True, False])
  draw = jax.jit(jax.vmap(lambda key: _drawn(key, certainty, mask, 0.25)))
  times = np.asarray(draw(jax.random.split(KEY, 4000))).sum(0)
  assert times[[0, 4]].tolist() == [0, 0]
  np.testing.assert_allclose(times[1:4] / 4000, [0.1, 0.1, 0.8], atol=0.03)
  # Fewer than the share have any certainty: they are all.
  few = _drawn(KEY, jnp.array([0, 0, 0, 0.2, 0]), mask, 1.0)
  assert few.tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(
  'labelled', [[0], np.arange(3), np.arange(160)], ids=['one', 'few', 'all']
)
def test_one_label_few_and_nothing_left_to_propagate_to(labelled, task):
  dataset, facts = task
  facts = facts._replace(label_budget=160)
  pool = a_pool(dataset, np.asarray(labelled))
  state, progress = run(a_learner(facts), facts, dataset, pool)
  assert progress.done.tolist() == [True]
  assert progress.step[0] > 0
  assert np.all(np.isfinite(weights(state)))
  assert np.isfinite(progress.metrics['loss'][0])


def test_without_labels_a_round_is_over_at_once(task):
  dataset, facts = task
  _, progress = run(
    a_learner(facts), facts, dataset, a_pool(dataset, np.arange(0))
  )
  assert progress.step.tolist() == [0]


def test_embeddings_of_zeros_reach_nothing_and_break_nothing(task):
  dataset, facts = task
  pool = a_pool(dataset, np.arange(20))
  learner = a_learner(facts)
  state = learner.start(KEY, learner.init(KEY), pool)
  state = learner.surveys['pseudo_labels'].absorb(
    KEY, state, jnp.zeros((160, 32)), pool
  )
  assert np.all(np.asarray(state.labels)[20:] == -1)
  assert int(state.course.epochs.count) == 20
  assert np.all(np.isfinite(state.class_weights))
  # Nothing was propagated, and nothing of the labelled is told in its place.
  while not bool(state.course.waits):
    batches = batches_of(learner, dataset, pool, state)
    state, progress = learner.phases[0].step(state, batches, pool)
  assert float(progress.metrics['certainty']) == 0


def test_patience_on_a_validation_split_goes_with_propagation(task):
  dataset, facts = task
  learner = a_learner(
    facts,
    stop={'epochs': 60, 'patience': 2},
    optimizer={'learning_rate': 0.02},
  )
  pool = a_pool(dataset, np.arange(20))
  state, progress = run(learner, facts, dataset, pool)
  assert progress.done.tolist() == [True]
  assert 2 < int(state.course.epochs.epoch) < 60
  assert np.any(np.asarray(learner.pseudo_labels(state, pool)) >= 0)
  jax.tree.map(
    np.testing.assert_array_equal,
    state.network.variables,
    state.course.best.variables,
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'share': 0}, 'share is 0'),
    ({'every': 0}, 'every is 0'),
    ({'neighbors': 0}, 'neighbors is 0'),
    ({'batch_size': 8}, 'batch_size is 8'),
    ({'alpha': 1.0}, 'alpha is 1.0'),
    ({'gamma': 0}, 'gamma is 0'),
    ({'graph_kind': 'x'}, "'x'"),
    ({'num_iters': 1.5}, 'num_iters is 1.5'),
    ({'class_weights': 'no'}, "class_weights is 'no'"),
  ],
)
def test_bad_options_are_named(options, message, task):
  _, facts = task
  with pytest.raises(ValueError, match=message):
    a_learner(facts, **options)
