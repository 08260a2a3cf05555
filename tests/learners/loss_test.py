"""A loss of one's own is what every learner minimises on labels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import models
from al_jax.interfaces import Batch
from al_jax.learners import LEARNERS
from tests.factories import (
  TINY_IMAGES,
  TINY_MAKERS,
  TINY_TARGETS,
  a_pool,
  a_task,
  batches_of,
)

OPTIONS = {
  'supervised': {},
  'ceal': {},
  'budget_annotation': {},
  # Nothing but the labels.
  'joint': {'entropy_weight': 0.0},
  'label_propagation': {'neighbors': 5},
  # A ranking does not grow with the losses.
  'learning_loss': {'loss_weight': 0.0},
  'vaal': TINY_IMAGES,
  'sraal': TINY_TARGETS,
  'bgadl': TINY_MAKERS,
}
KEY = jax.random.key(0)
RATE = 0.1


@pytest.fixture(scope='module')
def task():
  return a_task(size=120)


def first_step(task, name, loss):
  """The loss of a step, and how far it moved the weights."""
  dataset, facts = task
  model = models.build('mlp', facts, widths=(8,))
  learner = LEARNERS[name](
    model,
    facts,
    loss=loss,
    batch_size=16,
    optimizer={'name': 'sgd', 'learning_rate': RATE, 'momentum': 0.0},
    **OPTIONS[name],
  )
  pool = a_pool(dataset, np.arange(30))
  state = learner.start(KEY, learner.init(KEY), pool)
  # One whose networks have learnt nothing has nothing else to do first.
  phase = learner.phases[1 if name == 'bgadl' else 0]
  step = jax.jit(phase.step)
  _, progress = step(state, batches_of(learner, dataset, pool, state), pool)
  everything = Batch(
    jnp.arange(len(dataset.train), dtype=jnp.int32), dataset.train.inputs
  )
  for which, survey in learner.surveys.items():
    if progress.due[which]:
      apply = functools.partial(learner.apply, state)
      measured = survey.measure(KEY, apply, everything)
      state = survey.absorb(KEY, state, measured, pool)
  batches = batches_of(learner, dataset, pool, state)
  after, progress = step(state, batches, pool)
  before, after = (
    _task_of(each).network.variables['params'] for each in (state, after)
  )
  moved = jax.tree.map(lambda old, new: new - old, before, after)
  return float(progress.running['loss']), moved


def _task_of(state):
  """Where a state has the network of the task."""
  return getattr(state, 'inner', getattr(state, 'task', state))


@pytest.mark.parametrize('name', LEARNERS)
def test_three_times_the_loss_moves_three_times_as_far(task, name):
  losses = task[1].task.losses
  loss, moved = first_step(task, name, None)
  thrice, thrice_moved = first_step(
    task, name, lambda predictions, targets: 3 * losses(predictions, targets)
  )
  assert loss > 0
  np.testing.assert_allclose(thrice, 3 * loss, rtol=1e-5)
  assert any(np.any(leaf) for leaf in jax.tree.leaves(moved))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, 3 * b, rtol=1e-3, atol=1e-6),
    thrice_moved,
    moved,
  )
