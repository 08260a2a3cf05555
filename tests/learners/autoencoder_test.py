import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import models, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch, Facts
from al_jax.learners import denoising_autoencoder, pretraining
from al_jax.loop import program
from al_jax.sources import Source
from al_jax.training import fit as fit_lib
from tests.factories import a_task

KEY = jax.random.key(5)


@pytest.fixture(scope='module')
def task():
  return a_task()


def of_mlp(facts, **options):
  build = functools.partial(models.build, 'mlp', widths=(16,))
  options = {'widths': (), 'batch_size': 32, 'stop': {'epochs': 3}, **options}
  return denoising_autoencoder(build, facts, **options)


def loss_of_a_step(learner, facts, inputs):
  """The loss that the first step shows, of a pool that is one batch."""
  pool = pool_lib.create(facts.num_examples)
  state = learner.start(KEY, learner.init(KEY), pool)
  index = learner.phases[0].plan(state, pool)['all']
  batch = Batch(index, jax.tree.map(lambda array: array[index], inputs))
  after, progress = learner.phases[0].step(state, {'all': batch}, pool)
  return state, after, float(progress.metrics['loss'])


def decoded(params, facts, inputs):
  """What a linear decoder gives back, in NumPy."""
  normal = (np.asarray(inputs, np.float64) - facts.mean) / facts.std
  normal = normal.reshape(len(normal), -1)
  params = jax.tree.map(np.asarray, params)
  hidden, last = params['hidden_1'], params['decoder']['Dense_0']
  seen = np.maximum(normal @ hidden['kernel'] + hidden['bias'], 0)
  return seen @ last['kernel'] + last['bias'], normal


def test_without_spoiling_the_loss_is_that_of_the_formula(task):
  dataset, facts = task
  learner = of_mlp(facts, masked=0.0, batch_size=160).learner
  inputs = dataset.train.inputs
  state, _, loss = loss_of_a_step(learner, facts, inputs)
  given_back, normal = decoded(state.network.variables['params'], facts, inputs)
  np.testing.assert_allclose(
    loss, np.mean((given_back - normal) ** 2), rtol=1e-5
  )


def test_what_is_masked_is_at_its_mean(task):
  """Of an input that is all masked, nothing is left but what biases say."""
  dataset, facts = task
  learner = of_mlp(facts, masked=1 - 1e-7, batch_size=160).learner
  inputs = dataset.train.inputs
  state, _, loss = loss_of_a_step(learner, facts, inputs)
  _, normal = decoded(state.network.variables['params'], facts, inputs)
  np.testing.assert_allclose(loss, np.mean(normal**2), rtol=1e-5)


def test_noise_makes_it_harder(task):
  dataset, facts = task
  inputs = dataset.train.inputs

  def loss(**options):
    return loss_of_a_step(
      of_mlp(facts, batch_size=160, **options).learner, facts, inputs
    )[2]

  assert loss(masked=0.0, noise=3.0) > loss(masked=0.0) + 0.1


def test_the_pause_after_an_epoch_costs_no_pass_over_the_pool(task):
  _, facts = task
  learner = of_mlp(facts).learner
  # Inputs that nothing can gather from.
  nowhere = {'pool': Source(np.broadcast_to(np.float32(0), (160, 0)))}
  fns = fit_lib.compile_fit(learner, facts, nowhere)
  pool = pool_lib.create(facts.num_examples)
  begun = learner.start(KEY, learner.init(KEY), pool)
  due = {'epoch': jnp.ones((), jnp.bool_)}
  paused = begun.replace(course=begun.course.replace(due=due))
  assert not fns.surveys['epoch'](KEY, paused, pool).course.waits


def test_it_learns_and_keeps_the_network_alone(task):
  dataset, facts = task
  made = of_mlp(
    facts,
    masked=0.2,
    stop={'epochs': 30},
    optimizer={'learning_rate': 3e-3},
  )
  fns = fit_lib.compile_fit(made.learner, facts, program.sources_of(dataset))
  state = made.learner.init(KEY)
  pool = pool_lib.create(facts.num_examples)
  rows = [
    (state, progress)
    for state, progress in fit_lib.fit(
      fns, [KEY], [KEY], [state], [pool], stop_every=10
    )
  ]
  losses = [float(progress.metrics['loss'][0]) for _, progress in rows]
  assert losses[-1] < 0.7 * losses[0]
  assert float(rows[-1][1].metrics['epoch'][0]) == 30
  kept = made.keep(rows[-1][0])
  assert set(kept['params']) == {'hidden_1'}
  model = models.build('mlp', facts, widths=(16,))
  begun = pretraining.beginning_with(model, kept).init(KEY)
  np.testing.assert_array_equal(
    begun['params']['hidden_1']['kernel'], kept['params']['hidden_1']['kernel']
  )


def test_a_modality_that_an_example_lacks_does_not_count(rng):
  num_examples = 24
  example = {
    'face': jax.ShapeDtypeStruct((5,), jnp.float32),
    'face_present': jax.ShapeDtypeStruct((1,), jnp.uint8),
    'voice': jax.ShapeDtypeStruct((3,), jnp.float32),
  }
  facts = Facts(
    num_examples=num_examples,
    task=tasks.numbered(3),
    label_budget=num_examples,
    example=example,
    mean=jax.tree.map(lambda _: np.float32(0), example),
    std=jax.tree.map(lambda _: np.float32(1), example),
  )
  has = np.arange(num_examples) % 3 > 0
  inputs = {
    'face': jnp.asarray(
      has[:, None] * rng.normal(size=(num_examples, 5)), jnp.float32
    ),
    'face_present': jnp.asarray(has[:, None], jnp.uint8),
    'voice': jnp.asarray(rng.normal(size=(num_examples, 3)), jnp.float32),
  }
  build = functools.partial(
    models.build, 'fusion', widths=(8,), joint_widths=(8,)
  )
  learner = denoising_autoencoder(
    build, facts, masked=0.0, widths=(), batch_size=num_examples
  ).learner
  state, after, loss = loss_of_a_step(learner, facts, inputs)
  params = state.network.variables['params']
  last = jax.tree.map(np.asarray, params['decoder']['Dense_0'])
  output = models.build('fusion', facts, widths=(8,), joint_widths=(8,)).apply(
    {'params': params}, inputs
  )
  given_back = np.asarray(output.embedding) @ last['kernel'] + last['bias']
  face = np.where(has[:, None], (given_back[:, :5] - inputs['face']) ** 2, 0)
  voice = (given_back[:, 5:] - inputs['voice']) ** 2
  expected = (face.sum(1) + voice.sum(1)) / (3 + 5 * has)
  np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
  for name in ('encoder_face', 'encoder_voice', 'joint_1', 'decoder'):
    moved = jax.tree.map(
      lambda a, b: bool(np.any(a != b)),
      params[name],
      after.network.variables['params'][name],
    )
    assert any(jax.tree.leaves(moved)), name


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'masked': 1.0}, 'masked is 1.0'),
    ({'noise': -1}, 'noise is -1'),
    ({'widths': (0,)}, 'a width in widths is 0'),
    ({'stop': {'patience': 3}}, r'stop\.patience is 3'),
    ({'stop': {'train_accuracy': 0.9}}, r'stop\.train_accuracy is 0.9'),
    ({'stop': {'epoch': 3}}, "no option 'epoch'"),
  ],
)
def test_bad_options_are_named(options, message, task):
  _, facts = task
  with pytest.raises(ValueError, match=message):
    of_mlp(facts, **options)
