"""Sketched gradients of all weights, against the gradients themselves."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest
from jax import flatten_util

from al_jax import models, systems, tasks
from al_jax.learners import LEARNERS
from al_jax.testing import linear
from al_jax.training import sketches

CLASSES = tasks.numbered(3)
POINTS = tasks.Keypoints(2)
BOTH = tasks.Mixed(
  {'kind': CLASSES, 'points': POINTS}, weights={'points': 0.25}
)
INPUTS = linear.DRAWN[:24]
MODEL = {'name': 'mlp', 'widths': (4,)}
# So many buckets that hardly any two weights meet.
MANY = 2**12


def a_learner(task, **options):
  facts = linear.facts_of(task, linear.DRAWN)
  model = models.build('mlp', facts, widths=(4,))
  return LEARNERS['supervised'](model, facts, **options)


def state_of(learner):
  return learner.init(jax.random.key(1))


@functools.cache
def made(task):
  """A model for a task, and its variables."""
  facts = linear.facts_of(task, linear.DRAWN)
  model = models.build('mlp', facts, widths=(4,))
  return model, model.init(jax.random.key(1))


def sketched(task, size, inputs=INPUTS):
  model, variables = made(task)
  return np.asarray(
    jax.jit(
      lambda inputs: sketches.of_gradients(model, variables, task, inputs, size)
    )(inputs)
  )


def jacobians(task):
  """Of all that is predicted, by all weights: {part: [B, F, P]}."""
  model, variables = made(task)

  def of_one(row):
    def predict(params):
      output = model.apply({**variables, 'params': params}, row[None])
      return jax.tree.map(lambda leaf: leaf[0], output.predictions)

    of_params = jax.jacrev(predict)(variables['params'])
    logits = predict(variables['params'])
    return logits, jax.tree.map(
      lambda part, slopes: jax.vmap(
        lambda tree: flatten_util.ravel_pytree(tree)[0]
      )(slopes),
      logits,
      of_params,
    )

  return jax.jit(jax.vmap(of_one))(INPUTS)


def products(task):
  """What sketches keep: inner products of gradients, summed over functions."""
  logits, slopes = jacobians(task)
  if isinstance(task, tasks.Mixed):
    of_classes = gradients(logits['kind'], slopes['kind'])
    of_points = 0.25 * np.asarray(slopes['points'])
    found = np.concatenate([of_classes[:, None], of_points], axis=1)
  elif isinstance(task, tasks.Classes):
    found = gradients(logits, slopes)[:, None]
  else:
    found = np.asarray(slopes)
  return np.einsum('afp,bfp->ab', found, found)


def gradients(logits, slopes):
  """Of the cross-entropy at the label that is predicted: [B, P]."""
  residuals = (
    np.asarray(jax.nn.softmax(logits)) - np.eye(3)[np.argmax(logits, axis=1)]
  )
  return np.einsum('bf,bfp->bp', residuals, slopes)


@pytest.mark.parametrize(
  'task', [CLASSES, POINTS, BOTH], ids=['classes', 'points', 'both']
)
def test_with_many_buckets_inner_products_are_those_of_the_gradients(task):
  found, exact = sketched(task, MANY), products(task)
  # Where two weights meet, which few do, two products differ.
  np.testing.assert_allclose(
    found @ found.T, exact, atol=0.02 * np.abs(exact).max()
  )


@pytest.mark.parametrize('task', [CLASSES, POINTS], ids=['classes', 'points'])
def test_with_few_buckets_inner_products_are_right_to_their_error(task):
  found, exact = sketched(task, 512), products(task)
  lengths = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
  error = np.abs(found @ found.T - exact) / np.maximum(lengths, 1e-9)
  assert 1e-4 < np.sqrt(np.mean(error**2)) < 3 / np.sqrt(512)


def test_rows_do_not_depend_on_their_batch():
  whole = sketched(CLASSES, 64)
  parts = [
    sketched(CLASSES, 64, INPUTS[at]) for at in np.split(np.arange(24), 3)
  ]
  np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_a_network_that_is_sure_still_has_a_direction():
  """One less a probability next to one is no difference of two floats."""
  model, variables = made(CLASSES)
  params = jax.tree.map(lambda leaf: leaf, variables['params'])
  params['head'] = jax.tree.map(lambda leaf: 20 * leaf, params['head'])
  found = sketches.of_gradients(
    model, {**variables, 'params': params}, CLASSES, INPUTS, 32
  )
  lengths = np.linalg.norm(found, axis=1)
  assert np.all(lengths > 0) and np.any(lengths < 1e-8)


def test_the_learner_gives_them_where_it_is_told_to():
  learner = a_learner(CLASSES, gradient_sketch=16)
  state = state_of(learner)
  output = learner.apply(state, INPUTS)
  assert output.extras['gradient'].shape == (24, 16)
  plain = a_learner(CLASSES)
  assert 'gradient' not in plain.apply(state, INPUTS).extras
  samples = learner.apply(state, INPUTS, keys=jax.random.split(linear.KEY, 2))
  assert 'gradient' not in samples.extras


def test_nothing_is_computed_where_nobody_reads_them():
  def flops(**options):
    learner = a_learner(CLASSES, **options)
    state = state_of(learner)

    def predictions(inputs):
      return learner.apply(state, inputs).predictions

    compiled = jax.jit(predictions).lower(INPUTS).compile()
    return compiled.cost_analysis()['flops']

  assert flops(gradient_sketch=512) == flops()


def test_a_size_that_is_none_is_refused():
  with pytest.raises(ValueError, match='gradient_sketch is 0; it must be'):
    a_learner(CLASSES, gradient_sketch=0)


@pytest.mark.parametrize('strategy', ['badge', 'k_means_plus_plus', 'lcmd'])
def test_a_strategy_of_gradients_is_refused_without_them(strategy):
  facts = linear.facts_of(CLASSES, linear.DRAWN)
  build = functools.partial(
    systems.build,
    f'supervised+{strategy}',
    facts,
    model=MODEL,
    strategy={'embedding': 'gradient'},
  )
  with pytest.raises(
    ValueError, match=r"output 'gradient' .* the option gradient_sketch adds it"
  ):
    build(learner={})
  system = build(learner={'gradient_sketch': 8})
  assert system.strategy.measure is not None


class Normed(nn.Module):
  """A hidden layer whose values BatchNorm normalises."""

  @nn.compact
  def __call__(self, inputs, train: bool = False):
    hidden = nn.Dense(4)(inputs)
    hidden = nn.BatchNorm(use_running_average=not train)(hidden)
    return nn.Dense(3)(nn.relu(hidden))


def test_with_batch_norm_an_example_does_not_see_its_batch():
  facts = linear.facts_of(CLASSES, linear.DRAWN)
  model = models.build(Normed(), facts)
  variables = model.init(jax.random.key(0))

  @jax.jit
  def of(inputs):
    return sketches.of_gradients(model, variables, CLASSES, inputs, 16)

  changed = INPUTS.copy()
  changed[2:] *= 50
  np.testing.assert_array_equal(of(changed)[:2], of(INPUTS)[:2])
