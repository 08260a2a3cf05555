import functools
import itertools

import jax
import numpy as np
import pytest

from al_jax import models
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch
from al_jax.learners import boltzmann_stack, pretraining
from al_jax.loop import program
from al_jax.training import course
from al_jax.training import fit as fit_lib
from tests.factories import a_task

KEY = jax.random.key(6)
RATE = 0.01


@pytest.fixture(scope='module')
def task():
  return a_task()


def of_mlp(facts, *, units='rectified', widths=(12, 9), **options):
  activation = 'sigmoid' if units == 'binary' else 'relu'
  build = functools.partial(
    models.build, 'mlp', widths=widths, activation=activation
  )
  options = {
    'batch_size': 160,
    'optimizer': {'name': 'sgd', 'learning_rate': RATE, 'momentum': 0.0},
    'stop': {'epochs': 2},
    **options,
  }
  return boltzmann_stack(build, facts, units=units, **options)


def steps(learner, facts, inputs, count):
  """The states before and after each of the first steps."""
  pool = pool_lib.create(facts.num_examples)
  state = learner.start(KEY, learner.init(KEY), pool)
  states, step = [state], jax.jit(learner.phases[0].step)
  for _ in range(count):
    index = learner.phases[0].plan(state, pool)['all']
    batch = Batch(index, inputs[np.asarray(index)])
    state, progress = step(state, {'all': batch}, pool)
    if progress.due['epoch']:
      state = learner.surveys['epoch'].absorb(KEY, state, None, pool)
    states.append(state)
  return states, progress


def act(fields, units):
  return 1 / (1 + np.exp(-fields)) if units == 'binary' else np.fmax(fields, 0)


@pytest.mark.parametrize('units', ['rectified', 'binary'])
def test_a_step_is_contrastive_divergence(task, units):
  """By the formula, with the sample that the step draws."""
  dataset, facts = task
  inputs = dataset.train.inputs
  (before, after), _ = steps(
    of_mlp(facts, units=units).learner, facts, inputs, 1
  )
  index = np.asarray(before.course.epochs.order[:160])
  v = (inputs[index] - facts.mean) / facts.std
  v = np.asarray(v, np.float64).reshape(160, -1)
  old, new = (of.network.variables['params'] for of in (before, after))
  w = np.asarray(old['hidden_1']['kernel'], np.float64)
  fields = v @ w  # biases begin at 0
  key = jax.random.fold_in(course.step_keys(before.course)[1], 2)
  if units == 'binary':
    on = act(fields, units).astype(np.float32)
    sample = np.asarray(jax.random.bernoulli(key, on), float)
  else:
    noise = np.asarray(jax.random.normal(key, fields.shape), float)
    sample = np.fmax(fields + np.sqrt(act(fields, 'binary')) * noise, 0)
  back = sample @ w.T
  h, h_back = act(fields, units), act(back @ w, units)
  moves = {
    ('hidden_1', 'kernel'): (v.T @ h - back.T @ h_back) / 160,
    ('hidden_1', 'bias'): (h - h_back).mean(axis=0),
    ('visible_1', 'bias'): (v - back).mean(axis=0),
  }
  for (name, part), move in moves.items():
    found = np.asarray(new[name][part] - old[name][part], np.float64)
    np.testing.assert_allclose(found, RATE * move, rtol=1e-2, atol=1e-5)


def test_layers_are_trained_from_the_inputs_up_and_alone(task):
  dataset, facts = task
  learner = of_mlp(
    facts, batch_size=80, optimizer={'name': 'adamw', 'weight_decay': 0.1}
  ).learner
  states, progress = steps(learner, facts, dataset.train.inputs, 10)

  def moved(name, one, other):
    a, b = (states[i].network.variables['params'][name] for i in (one, other))
    return any(np.any(np.asarray(a[part]) != b[part]) for part in a)

  # Two epochs of two steps for each layer; then it is over.
  assert moved('hidden_1', 0, 4) and moved('visible_1', 0, 4)
  assert not moved('hidden_2', 0, 4) and not moved('visible_2', 0, 4)
  assert not moved('hidden_1', 4, 8) and not moved('visible_1', 4, 8)
  assert moved('hidden_2', 4, 8) and moved('visible_2', 4, 8)
  assert not moved('hidden_2', 8, 10)
  assert bool(progress.done) and float(progress.metrics['epoch']) == 4


def test_steps_are_those_of_each_layer(task):
  """Also where the last is in the middle of an epoch."""
  dataset, facts = task
  made = of_mlp(facts, batch_size=80, stop={'steps': 3, 'epochs': 9})
  states, progress = steps(made.learner, facts, dataset.train.inputs, 7)
  assert made.most_steps == 6
  kernels = [
    [
      np.asarray(state.network.variables['params'][name]['kernel'])
      for name in ('hidden_1', 'hidden_2')
    ]
    for state in states
  ]
  moved = [
    [bool(np.any(a != b)) for a, b in zip(one, other, strict=True)]
    for one, other in itertools.pairwise(kernels)
  ]
  assert moved == 3 * [[True, False]] + 3 * [[False, True]] + [[False, False]]
  assert bool(progress.done)


@pytest.mark.parametrize('units', ['rectified', 'binary'])
def test_it_learns_what_inputs_look_like(task, units):
  dataset, facts = task
  made = of_mlp(
    facts,
    units=units,
    widths=(24,),
    batch_size=16,
    stop={'epochs': 40},
    optimizer={'learning_rate': 3e-3},
  )
  fns = fit_lib.compile_fit(made.learner, facts, program.sources_of(dataset))
  state = made.learner.init(KEY)
  pool = pool_lib.create(facts.num_examples)
  found = list(fit_lib.fit(fns, [KEY], [KEY], [state], [pool], stop_every=10))
  losses = [float(progress.metrics['loss'][0]) for _, progress in found]
  assert losses[-1] < 0.8 * losses[0]
  kept = made.keep(found[-1][0])
  assert set(kept['params']) == {'hidden_1'}
  model = models.build('mlp', facts, widths=(24,))
  begun = pretraining.beginning_with(model, kept).init(KEY)
  np.testing.assert_array_equal(
    begun['params']['hidden_1']['kernel'], kept['params']['hidden_1']['kernel']
  )


def test_every_layer_has_the_optimiser_from_its_beginning(task):
  """Steps of Adam are as long for the second layer as for the first."""
  dataset, facts = task
  rate = 1e-3
  learner = of_mlp(
    facts,
    batch_size=80,
    stop={'epochs': 5},
    optimizer={'learning_rate': rate, 'schedule': 'linear'},
  ).learner
  states, _ = steps(learner, facts, dataset.train.inputs, 20)
  for number, first in ((1, 0), (2, 10)):
    kernels = [
      np.asarray(
        state.network.variables['params'][f'hidden_{number}']['kernel']
      )
      for state in states[first : first + 11]
    ]
    moves = [
      np.median(np.abs(after - before))
      for before, after in itertools.pairwise(kernels)
    ]
    # The first step of Adam is the rate; the schedule ends each layer.
    np.testing.assert_allclose(moves[0], rate, rtol=1e-2)
    assert moves[-1] < 0.2 * rate


@pytest.mark.parametrize(
  ('units', 'activation'), [('rectified', 'sigmoid'), ('binary', 'relu')]
)
def test_units_that_the_network_does_not_have_are_refused(
  task, units, activation
):
  _, facts = task
  build = functools.partial(
    models.build, 'mlp', widths=(12,), activation=activation
  )
  with pytest.raises(ValueError, match=f"units is '{units}'.*does not fit"):
    boltzmann_stack(build, facts, units=units)


def test_bad_options_are_named(task):
  _, facts = task
  with pytest.raises(ValueError, match=r"'binaire'.*binary"):
    boltzmann_stack(lambda facts: None, facts, units='binaire')
  with pytest.raises(ValueError, match=r'stop\.patience is 3'):
    of_mlp(facts, stop={'patience': 3})
  with pytest.raises(ValueError, match='hidden layers of an `mlp`'):
    of_mlp(facts, widths=())
  normed = functools.partial(models.build, 'mlp', norm='batch')
  with pytest.raises(ValueError, match=r'`mlp` without norm; .* BatchNorm_0'):
    boltzmann_stack(normed, facts)
