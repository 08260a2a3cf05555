"""BGADL against its formulas, and what its made images cannot do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels, loop, models, tasks
from al_jax import pool as pool_lib
from al_jax._system import System
from al_jax.interfaces import Batch
from al_jax.learners import bgadl, supervised
from al_jax.loop import program, protocol
from al_jax.models import common
from al_jax.oracle import SimulatedOracle
from al_jax.storage import records
from al_jax.strategies import bald
from al_jax.training import course, sheets
from tests.factories import (
  TINY_MAKERS,
  a_pool,
  a_task,
  assert_descended,
  stopped_at_every_save,
)
from tests.models.models_test import facts_of

KEY = jax.random.key(3)
RATE = 0.1
SGD = {'name': 'sgd', 'learning_rate': RATE, 'momentum': 0.0}
TASK = {'batch_size': 16, 'stop': {'epochs': 2}}
FIRST, SECOND = np.arange(20), np.arange(20, 28)


@functools.cache
def the_task():
  return a_task()


def built(facts=None, **options):
  facts = the_task()[1] if facts is None else facts
  model = models.build('mlp', facts, widths=(8,), dropout=0.5)
  return bgadl(model, facts, **{**TASK, **TINY_MAKERS, **options})


@functools.cache
def a_learner():
  return built()


def options_of(learner):
  """The dataclass whose methods a learner has."""
  return learner.phases[1].step.__self__


def grown(pool, indices, round):
  targets = jnp.asarray(the_task()[0].train.targets[indices])
  return pool_lib.reveal(
    pool, jnp.asarray(indices), targets, pool_lib.ORACLE, round=round
  )


def batch_of(learner, phase, state, pool):
  at = learner.phases[phase].plan(state, pool)['labelled']
  inputs = the_task()[0].train.inputs[np.maximum(at, 0)]
  return {'labelled': Batch(at, jnp.asarray(inputs))}


def stepped(learner, phase, state, pool):
  batches = batch_of(learner, phase, state, pool)
  return jax.jit(learner.phases[phase].step)(state, batches, pool)


def begun(learner, labelled=FIRST):
  pool = a_pool(the_task()[0], labelled)
  state = jax.jit(learner.init)(jax.random.key(0))
  return pool, jax.jit(learner.start)(KEY, state, pool)


@functools.cache
def a_second_round():
  """The state after a step of a first round, and one before the second."""
  learner = a_learner()
  pool, state = begun(learner)
  after, _ = stepped(learner, 1, state, pool)
  pool = grown(pool, SECOND, round=1)
  return pool, after, jax.jit(learner.start)(jax.random.key(7), after, pool)


def test_without_made_images_the_classifier_is_that_of_supervised():
  facts = the_task()[1]
  model = models.build('mlp', facts, widths=(8,), dropout=0.5)
  alone = supervised(model, facts, **TASK)
  found = []
  for learner, phase in ((built(made_weight=0.0), 1), (alone, 0)):
    pool, state = begun(learner)
    after, _ = stepped(learner, phase, state, pool)
    found.append(after.network.variables)
  jax.tree.map(np.testing.assert_array_equal, *found)


def bce(logits, wanted):
  chance = jax.nn.sigmoid(logits)
  return -jnp.mean(
    wanted * jnp.log(chance) + (1 - wanted) * jnp.log(1 - chance)
  )


def ce(logits, classes):
  logs = jax.nn.log_softmax(logits)
  return -jnp.mean(logs[jnp.arange(len(classes)), classes])


def test_a_step_moves_four_networks_down_their_formulas_in_turn():
  dataset, facts = the_task()
  learner = built(
    partners='online',
    optimizer=SGD,
    makers_optimizer=SGD,
    # Made images never weigh more than real ones: two kinds, a half each.
    made_weight=100.0,
    reconstruction_weight=2.0,
    beta=0.4,
    realism_weight=0.7,
    class_weight=0.6,
    real_target=0.8,
  )
  making = options_of(learner).making
  pool, state = begun(learner)
  after, _ = stepped(learner, 1, state, pool)
  batch = batch_of(learner, 1, state, pool)['labelled']
  classes = jnp.asarray(dataset.train.targets[np.asarray(batch.index)])
  images = common.normalised(facts, batch.inputs)
  dropout_key = course.step_keys(state.course)[1]
  keys = jax.random.split(jax.random.fold_in(dropout_key, 1))
  e_key, u_key, z_key = jax.random.split(keys[0], 3)

  def ran(net, variables, *inputs):
    return net.apply(variables, *inputs, training=True)[0]

  def code(key, variables):
    mean, log_variance = ran(making.nets.encoder, variables, images)
    noise = jax.random.normal(key, mean.shape)
    return mean + jnp.exp(log_variance / 2) * noise, mean, log_variance

  e, g, d = (
    state.three.encoder,
    state.three.generator,
    state.three.discriminator,
  )
  after_e, after_g = after.three.encoder, after.three.generator

  def of_encoder(params):
    z, mean, log_variance = code(e_key, {**e.variables, 'params': params})
    made = ran(making.nets.generator, g.variables, z, classes)
    kl = jnp.mean(
      jnp.sum(mean**2 + jnp.exp(log_variance) - 1 - log_variance, 1) / 2
    )
    return 2.0 * jnp.mean((made - images) ** 2) + 0.4 * kl / 64

  assert_descended(
    e.variables['params'],
    after_e.variables['params'],
    jax.jit(of_encoder),
    RATE,
  )
  u = jax.random.normal(u_key, (len(images), making.nets.latent))
  z, _, _ = code(z_key, after_e.variables)
  codes, twice = jnp.concatenate([u, z]), jnp.concatenate([classes, classes])
  model = options_of(learner).model
  mean, std = common.moments(facts)

  def of_generator(params):
    variables = {**g.variables, 'params': params}
    made = ran(making.nets.generator, variables, codes, twice)
    logits = ran(making.nets.discriminator, d.variables, made)
    predicted = model.apply(state.network.variables, made * std + mean)
    loss = 2.0 * jnp.mean((made[len(u) :] - images) ** 2)
    for half in (slice(len(u)), slice(len(u), None)):
      loss += 0.7 * bce(logits[half], 1.0)
      loss += 0.6 * ce(predicted.predictions[half], classes)
    return loss

  assert_descended(
    g.variables['params'],
    after_g.variables['params'],
    jax.jit(of_generator),
    RATE,
  )
  made = ran(making.nets.generator, after_g.variables, codes, twice)

  def of_discriminator(params):
    variables = {**d.variables, 'params': params}
    loss = bce(ran(making.nets.discriminator, variables, images), 0.8)
    logits = ran(making.nets.discriminator, variables, made)
    for half in (slice(len(u)), slice(len(u), None)):
      loss += bce(logits[half], 0.0)
    return loss

  assert_descended(
    d.variables['params'],
    after.three.discriminator.variables['params'],
    jax.jit(of_discriminator),
    RATE,
  )

  def of_classifier(params):
    variables = {**state.network.variables, 'params': params}
    output, _ = model.train(variables, batch.inputs, dropout_key)
    loss = ce(output.predictions, classes)
    output, _ = model.train(variables, made * std + mean, keys[1])
    for half in (slice(len(u)), slice(len(u), None)):
      loss += 0.5 * ce(output.predictions[half], classes)
    return loss

  assert_descended(
    state.network.variables['params'],
    after.network.variables['params'],
    jax.jit(of_classifier),
    RATE,
  )


def test_partners_are_made_by_the_networks_of_the_round_before():
  dataset, facts = the_task()
  learner = a_learner()
  making, model = options_of(learner).making, options_of(learner).model
  pool, before, state = a_second_round()
  labelled = np.concatenate([FIRST, SECOND])
  for _ in range(2):
    batch = batch_of(learner, 0, state, pool)['labelled']
    key = jax.random.fold_in(
      state.partners.course.key, state.partners.course.step
    )
    code_key, prior_key, samples_key = jax.random.split(key, 3)
    state, progress = stepped(learner, 0, state, pool)
  assert progress.phase == 1 and progress.step == 2
  row = np.asarray(state.partners.row)
  np.testing.assert_array_equal(np.flatnonzero(row >= 0), labelled)
  assert set(row[labelled]) == set(range(len(labelled)))
  # The last batch, by hand.
  real = np.flatnonzero(batch.index >= 0)
  classes = jnp.asarray(dataset.train.targets[np.asarray(batch.index)])
  images = common.normalised(facts, batch.inputs)
  codes = making.code(code_key, before.three.encoder.variables, images)
  made = making.made(before.three.generator.variables, codes, classes)
  np.testing.assert_array_equal(
    state.partners.images[row[batch.index[real]]],
    common.as_raw(facts, common.unnormalised(facts, made))[real],
  )
  # What is measured is of the newest queries; here those of the last batch.
  metrics = progress.metrics
  assert np.isfinite(metrics['partner_distance'])
  assert -1 <= metrics['bald_correlation'] <= 1
  newest = np.isin(batch.index, SECOND)
  mean, std = common.moments(facts)
  keys = jax.random.split(samples_key, 20)
  logits = jax.lax.map(
    lambda key: (
      model.apply(
        before.network.variables, images * std + mean, key=key
      ).predictions
    ),
    keys,
  )
  seen, _ = stepped(learner, 0, a_second_round()[2], pool)
  of_first = seen.partners.course.tally['query']
  total = float(metrics['query_bald']) * len(SECOND) - float(of_first.total)
  np.testing.assert_allclose(
    total, np.sum(np.asarray(kernels.bald(logits))[newest]), atol=1e-4
  )
  del prior_key


def test_the_first_round_has_no_partners():
  learner = a_learner()
  pool, state = begun(learner)
  assert state.partners.course.finished and not state.partners.are_there
  prior = built(partners='prior', made_weight=0.5)
  found = [
    stepped(each, 1, begun(each)[1], pool)[0].network.variables
    for each in (learner, prior)
  ]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *found
  )


def test_partners_come_before_training():
  learner = a_learner()
  pool, _, state = a_second_round()
  after, progress = stepped(learner, 1, state, pool)
  assert progress.phase == 0 and not progress.done
  jax.tree.map(
    np.testing.assert_array_equal,
    after.network.variables,
    state.network.variables,
  )


def test_a_generator_that_diverges_cannot_poison_the_classifier():
  # Pixels are black or white at first, and soon not numbers.
  learner = built(
    partners='online',
    made_weight=100.0,
    stop={'epochs': 150},
    optimizer={'learning_rate': 0.01},
    makers_optimizer={'name': 'sgd', 'learning_rate': 1e6, 'momentum': 0.0},
    makers={**TINY_MAKERS['makers'], 'widths': ()},
  )
  dataset, _ = the_task()
  pool, state = begun(learner)
  step = jax.jit(learner.phases[1].step)
  progress = None
  while progress is None or not progress.done:
    batches = batch_of(learner, 1, state, pool)
    state, progress = step(state, batches, pool)
  found = learner.finite(state)
  assert found['network'] and not found['generator']
  inputs = jnp.asarray(dataset.train.inputs[FIRST])
  predicted = learner.apply(state, inputs).predictions
  assert np.mean(jnp.argmax(predicted, 1) == dataset.train.targets[FIRST]) > 0.9


@pytest.mark.parametrize('name', ['encoder', 'generator', 'discriminator'])
def test_a_network_that_diverges_is_named(name):
  learner = a_learner()
  _, state = begun(learner)
  net = getattr(state.three, name)
  spoilt = jax.tree.map(lambda leaf: leaf * jnp.nan, net.variables)
  three = state.three.replace(**{name: net.replace(variables=spoilt)})
  found = learner.finite(state.replace(three=three))
  assert [key for key, fine in found.items() if not fine] == [name]


def test_stops_in_either_phase_change_nothing(tmp_path):
  dataset, _ = the_task()
  how = protocol.Protocol(
    rounds=2, labels_per_round=6, first_size=20, save_every_steps=2
  )
  facts = program.facts_of(dataset, how.budget)
  learner = built(facts, batch_size=8)
  system = System('bgadl', learner, bald(num_samples=4), facts)
  compiled = program.compile_program(
    system, program.sources_of(dataset), dataset.train.ids
  )
  answers = SimulatedOracle(dataset.train.targets, dataset.task)
  whole = list(loop.run_rounds(compiled, answers, how, [0]))
  assert whole[1].compilations == whole[0].compilations
  found, stops = stopped_at_every_save(
    compiled, answers, how, tmp_path / 'stopped'
  )
  assert stops > 4
  of_records = [
    [records.deterministic(row) for row in rows] for rows in (found, whole)
  ]
  assert of_records[0] == of_records[1]


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'partners': 'stored'}, "partners 'stored' .*'store'"),
    ({'made_weight': -1}, 'made_weight is -1; it must be'),
    ({'real_target': 0}, 'real_target is 0; it must be'),
    ({'samples': -1}, 'samples is -1; it must be'),
    ({'makers': {'chanels': 3}}, "^makers has no option 'chanels'.*'channels'"),
    ({'makers': {'latent': 0}}, '^makers.latent is 0; it must be'),
    ({'makers': {'channels': ()}}, '^makers.channels is empty'),
    ({'makers': {'widths': 8}}, '^makers.widths is 8; it must be a list'),
    ({'makers': {'widths': (0,)}}, '^makers: a width in widths is 0'),
    ({'makers_optimizer': {'rate': 3}}, "'rate'"),
  ],
)
def test_values_that_are_not_allowed_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    built(**options)


def test_tasks_without_classes_and_inputs_that_are_no_images_are_refused():
  _, facts = the_task()
  with pytest.raises(ValueError, match="learner 'bgadl'"):
    built(facts._replace(task=tasks.Vector(2)))
  with pytest.raises(ValueError, match="learner 'bgadl' makes images"):
    built(facts_of((7,)))


def test_padding_is_not_shown():
  shown = jnp.arange(10.0)
  rows, real = 100 + jnp.arange(6.0), jnp.arange(6) < 4
  np.testing.assert_array_equal(
    sheets.kept(shown, rows, real), [100, 101, 102, 103, 4, 5, 6, 7, 8, 9]
  )


def test_the_sheets_show_every_class_and_partners_below_their_examples():
  learner = a_learner()
  pool, state = begun(learner)
  raw = jnp.asarray(the_task()[0].train.inputs[:10])
  made = jax.jit(learner.pictures)(KEY, state.replace(shown=raw), pool)
  assert made['generated_sheet'].shape == (100, 8, 8, 1)
  assert made['partners_sheet'].shape == (20, 8, 8, 1)
  np.testing.assert_allclose(made['partners_sheet'][:10], raw / 255, atol=1e-6)
  for sheet in made.values():
    assert np.all((sheet >= 0) & (sheet <= 1))
