import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

from al_jax import models, tasks
from al_jax import pool as pool_lib
from al_jax.learners import deep_cluster, pretraining
from al_jax.learners.deep_cluster import _agreement
from al_jax.loop import program
from al_jax.training import fit as fit_lib
from tests.factories import a_task

KEY = jax.random.key(5)
OPTIONS = {
  'clusters_per_class': 2,
  'batch_size': 32,
  'stop': {'epochs': 3},
  'optimizer': {'learning_rate': 0.01},
}


@pytest.fixture(scope='module')
def task():
  return a_task()


def of_clusters(facts, **options):
  build = functools.partial(models.build, 'mlp', widths=(16,))
  return deep_cluster(build, facts, **{**OPTIONS, **options})


def surveyed(learner, facts, embedding, key=KEY):
  pool = pool_lib.create(facts.num_examples)
  state = learner.start(KEY, learner.init(KEY), pool)
  return learner.surveys['epoch'].absorb(key, state, embedding, pool)


@pytest.fixture(scope='module')
def groups():
  """Embeddings in four directions, one of which has most examples."""
  group = np.repeat(np.arange(4), [130, 10, 10, 10])
  noise = np.random.default_rng(0).normal(0, 0.01, (160, 16))
  scale = np.random.default_rng(1).uniform(0.5, 9, (160, 1))
  return group, jnp.asarray(scale * (np.eye(16)[group] + noise), jnp.float32)


def test_clusters_are_those_of_the_directions(task, groups):
  _, facts = task
  facts = facts._replace(task=tasks.numbered(2))
  group, embedding = groups
  learner = of_clusters(facts).learner
  state = surveyed(learner, facts, embedding)
  found = np.asarray(state.clusters)
  assert metrics.normalized_mutual_info_score(group, found) > 0.99
  shares = np.bincount(found, minlength=4) / 160
  expected = -np.sum(shares * np.log(shares)) / np.log(4)
  np.testing.assert_allclose(state.evenness, expected, rtol=1e-5)
  assert np.isnan(state.agreement)


def test_the_agreement_is_that_of_scikit_learn(task):
  rng = np.random.default_rng(0)
  before = rng.integers(0, 6, 300)
  after = np.where(rng.random(300) < 0.6, before, rng.integers(0, 6, 300))
  found = _agreement(jnp.asarray(before), jnp.asarray(after), 6)
  expected = metrics.normalized_mutual_info_score(before, after)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  whole = jnp.zeros(300, jnp.int32)
  assert _agreement(whole, whole, 6) == 1


def test_drawing_clusters_uniformly_balances_them(task, groups):
  _, facts = task
  facts = facts._replace(task=tasks.numbered(2))
  group, embedding = groups
  taken = np.zeros(4)
  learner = of_clusters(facts).learner
  absorb = jax.jit(lambda key: surveyed(learner, facts, embedding, key=key))
  for seed in range(20):
    members = np.asarray(absorb(jax.random.key(seed)).course.epochs.order)[:160]
    assert members.min() >= 0
    taken += np.bincount(group[members], minlength=4)
  np.testing.assert_allclose(taken / taken.sum(), 0.25, atol=0.03)
  plain = surveyed(of_clusters(facts, balanced=False).learner, facts, embedding)
  assert sorted(plain.course.epochs.order[:160].tolist()) == list(range(160))


def test_every_epoch_has_a_head_of_its_own(task, groups):
  _, facts = task
  facts = facts._replace(task=tasks.numbered(2))
  _, embedding = groups

  def params(learner, key):
    return surveyed(learner, facts, embedding, key=key).network.variables[
      'params'
    ]

  learner = of_clusters(facts).learner
  one, other = (params(learner, jax.random.key(seed)) for seed in (1, 2))
  assert not np.array_equal(one['head']['kernel'], other['head']['kernel'])
  for name in set(one) - {'head'}:
    jax.tree.map(np.testing.assert_array_equal, one[name], other[name])
  # The optimiser forgets the old head, and nothing else.
  pool = pool_lib.create(facts.num_examples)
  state = learner.start(KEY, learner.init(KEY), pool)
  remembering = jax.tree.map(jnp.ones_like, state.network.optimizer)
  state = state.replace(network=state.network.replace(optimizer=remembering))
  state = learner.surveys['epoch'].absorb(KEY, state, embedding, pool)
  adam = state.network.optimizer[1]
  for moments in (adam.mu, adam.nu):
    for name, of in moments.items():
      for leaf in jax.tree.leaves(of):
        np.testing.assert_array_equal(leaf, np.full_like(leaf, name != 'head'))
  kept = of_clusters(facts, new_head=False).learner
  one, other = (params(kept, jax.random.key(seed)) for seed in (1, 2))
  np.testing.assert_array_equal(one['head']['kernel'], other['head']['kernel'])


def test_embeddings_of_zeros_break_nothing(task):
  _, facts = task
  learner = of_clusters(facts).learner
  state = surveyed(learner, facts, jnp.zeros((160, 16)))
  order = np.asarray(state.course.epochs.order)[:160]
  assert order.min() >= 0
  # All are in one cluster.
  assert float(state.evenness) == 0


def test_it_learns_to_tell_clusters_apart_and_keeps_all_but_the_head(task):
  dataset, facts = task
  made = of_clusters(facts, stop={'epochs': 12})
  fns = fit_lib.compile_fit(made.learner, facts, program.sources_of(dataset))
  state = made.learner.init(KEY)
  pool = pool_lib.create(facts.num_examples)
  rows = [
    progress.metrics
    for state, progress in fit_lib.fit(fns, [KEY], [KEY], [state], [pool])
    if progress.step[0] and (progress.due['epoch'][0] or progress.done[0])
  ]
  assert len(rows) == 12
  assert np.isnan(rows[0]['agreement'][0])
  assert 0 < rows[-1]['agreement'][0] <= 1
  kept = made.keep(state)
  trained = set(state.network.variables['params'])
  assert set(kept['params']) == trained - {'head'}
  model = models.build('mlp', facts, widths=(16,))
  begun = pretraining.beginning_with(model, kept).init(jax.random.key(9))
  fresh = model.init(jax.random.key(9))
  np.testing.assert_array_equal(
    begun['params']['head']['kernel'], fresh['params']['head']['kernel']
  )
  for name in kept['params']:
    jax.tree.map(
      np.testing.assert_array_equal,
      begun['params'][name],
      state.network.variables['params'][name],
    )
  with pytest.raises(ValueError, match='of another network'):
    pretraining.beginning_with(models.build('mlp', facts, widths=(17,)), kept)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'clusters_per_class': 0}, 'clusters_per_class is 0'),
    ({'clusters_per_class': 17}, '170 clusters of 160'),
    ({'num_iters': -1}, 'num_iters is -1'),
    ({'stop': {'patience': 3}}, r'stop\.patience is 3'),
  ],
)
def test_bad_options_are_named(options, message, task):
  _, facts = task
  with pytest.raises(ValueError, match=message):
    of_clusters(facts, **options)
