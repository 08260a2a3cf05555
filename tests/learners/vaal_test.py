"""VAAL and SRAAL against their formulas, and what they query."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import data, learners, loop, models, tasks
from al_jax import pool as pool_lib
from al_jax._system import System
from al_jax.interfaces import Batch
from al_jax.learners import sraal, supervised, vaal
from al_jax.loop import program, protocol
from al_jax.models import common
from al_jax.oracle import SimulatedOracle
from al_jax.storage import records
from al_jax.strategies import adversarial
from al_jax.training import course
from tests.factories import (
  TINY_IMAGES,
  TINY_TARGETS,
  a_pool,
  a_task,
  assert_descended,
  batches_of,
  stopped_at_every_save,
)
from tests.models.models_test import facts_of

KEY = jax.random.key(3)
RATE = 0.1
SGD = {'name': 'sgd', 'learning_rate': RATE, 'momentum': 0.0}
TASK = {'batch_size': 16, 'stop': {'epochs': 2}}
KINDS = {'vaal': (vaal, TINY_IMAGES), 'sraal': (sraal, TINY_TARGETS)}


@functools.cache
def the_task():
  return a_task()


def built(kind, facts=None, **options):
  make, tiny = KINDS[kind]
  facts = the_task()[1] if facts is None else facts
  model = models.build('mlp', facts, widths=(8,))
  return make(model, facts, **{**TASK, **tiny, **options})


@functools.cache
def a_learner(kind):
  return built(kind)


def begun(learner, labelled=range(30)):
  pool = a_pool(the_task()[0], np.asarray(labelled, np.int32))
  state = jax.jit(learner.init)(jax.random.key(0))
  return pool, jax.jit(learner.start)(KEY, state, pool)


def over(state):
  """A state whose task is trained, and that waits for nothing."""
  states = state.states
  due = jax.tree.map(jnp.zeros_like, states.course.due)
  at = state.task.course.replace(finished=jnp.bool_(True))
  return state.replace(
    task=state.task.replace(course=at),
    states=states.replace(course=states.course.replace(due=due)),
  )


def pairs_of(learner, pool, state):
  dataset, _ = the_task()
  return {
    name: Batch(at, jnp.asarray(dataset.train.inputs[np.maximum(at, 0)]))
    for name, at in learner.phases[1].plan(state, pool).items()
  }


@pytest.mark.parametrize('kind', KINDS)
def test_the_network_of_the_task_is_that_of_supervised(kind):
  dataset, facts = the_task()
  alone = supervised(models.build('mlp', facts, widths=(8,)), facts, **TASK)
  weights = []
  for learner in (a_learner(kind), alone):
    pool, state = begun(learner)
    batches = batches_of(learner, dataset, pool, state)
    after, _ = jax.jit(learner.phases[0].step)(state, batches, pool)
    weights.append(getattr(after, 'task', after).network.variables)
  jax.tree.map(np.testing.assert_array_equal, *weights)


def normalised(batch, facts):
  mean, std = common.moments(facts)
  return (batch.inputs.astype(jnp.float32) - mean) / std


def of_vae(net, variables, noise_keys, batches, facts):
  """What the autoencoder makes of labelled and other examples, in turn."""
  statistics, found = variables['statistics'], []
  for key, batch in zip(noise_keys, batches, strict=True):
    images = normalised(batch, facts)
    size = variables['params']['mean']['bias'].shape[0]
    coded, statistics = net.apply(
      {**variables, 'statistics': statistics},
      images,
      jax.random.normal(key, (len(images), size)),
      training=True,
      real=batch.index >= 0,
    )
    found.append((coded, jnp.mean((coded.reconstruction - images) ** 2)))
  return found


def divergence(coded, size):
  mean, log_variance = coded.mean[:, :size], coded.log_variance[:, :size]
  terms = mean**2 + jnp.exp(log_variance) - 1 - log_variance
  return jnp.mean(jnp.sum(terms, 1)) / 2


def fooled(learner_critic, variables, codes, state):
  chance = jax.nn.sigmoid(learner_critic.apply(variables, codes)[0])
  return -jnp.mean(state * jnp.log(chance) + (1 - state) * jnp.log(1 - chance))


@pytest.mark.parametrize(
  ('kind', 'kl_scale', 'factor'),
  [
    ('vaal', 'elbo', 1 / 64),
    ('vaal', 'batch', 8.0),
    ('sraal', 'example', 1.0),
  ],
)
def test_a_step_of_each_network_goes_down_its_formula(kind, kl_scale, factor):
  dataset, facts = the_task()
  options = {
    'vae_steps': 1,
    'vae_optimizer': SGD,
    'critic_optimizer': SGD,
    'kl_scale': kl_scale,
    'beta': 0.3,
    'reconstruction_weight': 2.0,
    'adversarial_weight': 0.7,
    'adversarial_state': 0.2,
  }
  if kind == 'sraal':
    options['target_weight'] = 1.5
  learner = built(kind, **options)
  players = learner.phases[1].step.__self__.players
  pool, state = begun(learner)
  unsure = jax.random.uniform(KEY, (facts.num_examples,))
  state = over(state)
  state = state.replace(states=state.states.replace(uncertainty=unsure))
  batches = pairs_of(learner, pool, state)
  after, _ = jax.jit(learner.phases[1].step)(state, batches, pool)
  before = state.states.both
  pair = batches['with_label'], batches['without_label']
  targets = dataset.train.targets[np.asarray(pair[0].index)]
  step_key = jax.random.fold_in(course.step_keys(state.states.course)[0], 0)

  def of_autoencoder(params):
    variables = {**before.autoencoder.variables, 'params': params}
    net, keys = players.autoencoder, jax.random.split(step_key)
    found = of_vae(net, variables, keys, pair, facts)
    loss = 0.0
    for (coded, errors), size in zip(found, (5, 3), strict=True):
      loss += 2.0 * (errors + 0.3 * factor * divergence(coded, size))
      loss += 0.7 * fooled(
        players.critic, before.critic.variables, coded.mean, 0.2
      )
    if kind == 'sraal':
      logs = jax.nn.log_softmax(found[0][0].predictions)
      loss -= 1.5 * jnp.mean(logs[jnp.arange(len(targets)), targets])
    return loss

  assert_descended(
    before.autoencoder.variables['params'],
    after.states.both.autoencoder.variables['params'],
    jax.jit(of_autoencoder),
    RATE,
  )

  def of_critic(params):
    loss = 0.0
    for batch, wanted in zip(pair, (0.0, unsure[pair[1].index]), strict=True):
      images = normalised(batch, facts)
      coded, _ = players.autoencoder.apply(
        after.states.both.autoencoder.variables, images, jnp.zeros(())
      )
      loss += fooled(players.critic, {'params': params}, coded.mean, wanted)
    return loss

  assert_descended(
    before.critic.variables['params'],
    after.states.both.critic.variables['params'],
    jax.jit(of_critic),
    RATE,
  )


def test_without_labels_or_without_others_there_is_nothing_to_tell():
  _, facts = the_task()
  facts = facts._replace(label_budget=facts.num_examples)
  learner = built('sraal', facts)
  for labelled in ([], range(facts.num_examples)):
    pool, state = begun(learner, labelled)
    state = over(state)
    batches = pairs_of(learner, pool, state)
    after, progress = jax.jit(learner.phases[1].step)(state, batches, pool)
    assert progress.done and not any(progress.due.values())
    jax.tree.map(
      np.testing.assert_array_equal, after.states.both, state.states.both
    )


def test_a_network_that_diverges_is_named():
  learner = a_learner('vaal')
  _, state = begun(learner)
  assert all(learner.finite(state).values())
  for field, name in (('autoencoder', 'autoencoder'), ('critic', 'critic')):
    both = state.states.both
    net = getattr(both, field)
    spoilt = jax.tree.map(lambda leaf: leaf * jnp.nan, net.variables)
    both = both.replace(**{field: net.replace(variables=spoilt)})
    found = learner.finite(
      state.replace(states=state.states.replace(both=both))
    )
    assert [key for key, fine in found.items() if not fine] == [name]


# Two kinds of pictures; only the first kind has labels.
SIDE, FEW = 8, 30


@functools.cache
def two_kinds():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 60, (2 * FEW, SIDE, SIDE, 1), dtype=np.uint8)
  images[:FEW, :4] += 150
  images[FEW:, 4:] += 150
  dataset = data.Dataset.from_arrays(images, np.arange(2 * FEW) % 2, test=10)
  return dataset


HOW = protocol.Protocol(
  rounds=2,
  labels_per_round=5,
  first_size=10,
  first_set='first',
  save_every_steps=25,
)


@functools.cache
def a_program(kind, **options):
  dataset = two_kinds()
  facts = program.facts_of(dataset, HOW.budget)
  learner = built(
    kind,
    facts,
    iterations=60,
    vae_optimizer={'learning_rate': 3e-3},
    critic_optimizer={'learning_rate': 3e-3},
    # The autoencoder does not hide from the critic what has no label.
    adversarial_weight=0.0,
    **options,
  )
  system = System(kind, learner, adversarial(), facts)
  compiled = program.compile_program(
    system, program.sources_of(dataset), dataset.train.ids
  )
  return compiled, SimulatedOracle(dataset.train.targets, dataset.task)


def results(rows):
  return [records.deterministic(row) for row in rows]


@pytest.mark.parametrize(
  ('kind', 'options'), [('vaal', {}), ('sraal', {'refresh': 20})]
)
def test_a_kind_without_labels_is_queried_and_stops_change_nothing(
  kind, options, tmp_path
):
  compiled, answers = a_program(kind, **options)
  whole = list(loop.run_rounds(compiled, answers, HOW, [0]))
  is_second = two_kinds().train.inputs[:, 0, 0, 0] < 100
  assert np.all(is_second[whole[0].picks])
  assert whole[1].compilations == whole[0].compilations
  found, stops = stopped_at_every_save(
    compiled, answers, HOW, tmp_path / 'stopped'
  )
  assert stops > 3
  assert results(found) == results(whole)


@pytest.mark.parametrize(
  ('kind', 'options', 'message'),
  [
    ('vaal', {'iterations': 0}, 'iterations is 0; it must be'),
    ('vaal', {'pair_size': 0}, 'pair_size is 0; it must be'),
    ('vaal', {'vae_steps': 0}, 'vae_steps is 0; it must be'),
    ('vaal', {'kl_scale': 'sum'}, "kl_scale 'sum'"),
    ('vaal', {'beta': -1}, 'beta is -1; it must be'),
    ('vaal', {'adversarial_state': 2}, 'adversarial_state is 2; it must be'),
    ('vaal', {'vae': {'chanels': 3}}, "vae .*'chanels'.*'channels'"),
    ('vaal', {'critic': {'widths': (0,)}}, 'a width in widths is 0'),
    ('vaal', TINY_TARGETS, "target_latent is 2, but .* use learner 'sraal'"),
    ('sraal', {'target_weight': -1}, 'target_weight is -1; it must be'),
    ('sraal', {'refresh': 0}, 'refresh is 0; it must be'),
    (
      'sraal',
      {'refresh': 5, 'indicator': False},
      'refresh is 5, but indicator is False',
    ),
  ],
)
def test_values_that_are_not_allowed_are_refused(kind, options, message):
  with pytest.raises(ValueError, match=message):
    built(kind, **options)


def test_the_indicator_is_refused_without_classes():
  _, facts = the_task()
  facts = facts._replace(task=tasks.Vector(2))
  with pytest.raises(ValueError, match="indicator of learner 'sraal'"):
    built('sraal', facts)
  built('sraal', facts, indicator=False)


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_no_image_is_refused(kind):
  facts = facts_of((7,))
  with pytest.raises(ValueError, match=f"learner '{kind}' makes images"):
    learners.LEARNERS[kind](models.build('mlp', facts), facts)


def test_the_indicator_is_that_of_the_predictions():
  dataset, facts = the_task()
  learner = a_learner('sraal')
  pool, state = begun(learner)
  survey = learner.surveys['uncertainty']
  batch = Batch(jnp.arange(12), jnp.asarray(dataset.train.inputs[:12]))
  apply = functools.partial(learner.apply, state)
  unsure = survey.measure(KEY, apply, batch)
  probs = np.asarray(jax.nn.softmax(apply(batch.inputs).predictions), float)
  top = probs.max(1)
  num = probs.shape[1]
  least = (top - 1 / num) ** 2
  least += (num - 1) * ((1 - top) / (num - 1) - 1 / num) ** 2
  expected = 1 - top * least / num / probs.var(axis=1)
  np.testing.assert_allclose(unsure, expected, rtol=1e-3)
  where = np.asarray(survey.where(state, pool))
  np.testing.assert_array_equal(where, ~np.asarray(pool_lib.trainable(pool)))
  everything = jnp.zeros(facts.num_examples).at[:12].set(unsure)
  after = survey.absorb(KEY, state, everything, pool)
  np.testing.assert_array_equal(after.states.uncertainty, everything)
  assert not after.states.course.waits


def test_a_sheet_shows_examples_above_what_is_made_of_them():
  learner = a_learner('vaal')
  pool, state = begun(learner)
  raw = jnp.asarray(the_task()[0].train.inputs[:10])
  states = state.states.replace(shown=raw)
  pictures = jax.jit(learner.pictures)
  sheet = pictures(KEY, state.replace(states=states), pool)['reconstructions']
  assert sheet.shape == (20, 8, 8, 1)
  np.testing.assert_allclose(sheet[:10], raw / 255, atol=1e-6)
  assert np.all((sheet >= 0) & (sheet <= 1))
