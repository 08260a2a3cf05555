"""Learning loss against its formulas, and what must not reach the network."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import learners, models, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch, ModelOutput
from al_jax.loop import evaluation
from al_jax.models import loss_prediction
from al_jax.sources import Source
from tests.factories import a_pool, a_task, assert_descended, batches_of
from tests.models.models_test import facts_of

KEY = jax.random.key(3)
RATE = 0.1
SGD = {'name': 'sgd', 'learning_rate': RATE, 'momentum': 0.0}


@functools.cache
def the_task():
  return a_task()


@functools.cache
def the_model():
  _, facts = the_task()
  return models.build('mlp', facts, widths=(12, 7))


class Case:
  """A learner whose functions are compiled once."""

  def __init__(self, learner):
    self.learner = learner
    self.start = jax.jit(learner.start)
    self.step = jax.jit(learner.phases[0].step)

  def begun(self, labelled=range(8)):
    dataset, _ = the_task()
    pool = a_pool(dataset, np.asarray(labelled))
    state = self.learner.init(jax.random.key(0))
    return pool, self.start(KEY, state, pool)

  def a_step(self, pool, state):
    dataset, _ = the_task()
    batches = batches_of(self.learner, dataset, pool, state)
    after, progress = self.step(state, batches, pool)
    return batches['labelled'], after, progress


@functools.cache
def a_case(**options):
  _, facts = the_task()
  learner = learners.learning_loss(
    the_model(),
    facts,
    width=5,
    optimizer=SGD,
    batch_size=8,
    stop={'epochs': 4},
    **options,
  )
  return Case(learner)


def by_hand(model, params, batch, targets, **changed):
  """The objective of a batch without padding, in plain words."""
  options = {'weight': 1.0, 'margin': 1.0, 'detached': False, **changed}
  output = model.apply({'params': params['model']}, batch.inputs)
  logs = jax.nn.log_softmax(output.predictions)
  losses = -logs[jnp.arange(len(targets)), targets]
  module, found = params['loss_prediction'], []
  for name in ('hidden_1', 'hidden_2'):
    hidden = output.extras[name]
    if options['detached']:
      hidden = jax.lax.stop_gradient(hidden)
    layer = module[f'{name}_1']
    found.append(jax.nn.relu(hidden @ layer['kernel'] + layer['bias'][None]))
  last = module['loss']
  predicted = jnp.concatenate(found, 1) @ last['kernel'] + last['bias'][None]
  true, costs = jax.lax.stop_gradient(losses), []
  for i in range(len(targets) // 2):
    j = len(targets) - 1 - i
    sign = jnp.where(true[i] > true[j], 1.0, -1.0)
    gap = predicted[i, 0] - predicted[j, 0]
    costs.append(jnp.maximum(0.0, options['margin'] - sign * gap))
  ranking = sum(costs) / len(costs)
  return jnp.mean(losses) + options['weight'] * ranking


@pytest.mark.parametrize('detached', [False, True])
def test_a_step_goes_down_the_gradient_of_the_paper(detached):
  dataset, _ = the_task()
  case = a_case(loss_weight=0.3, detach_at=0.0 if detached else None)
  pool, state = case.begun()
  batch, after, _ = case.a_step(pool, state)
  assert np.all(batch.index >= 0)
  targets = dataset.train.targets[np.asarray(batch.index)]
  loss = functools.partial(
    by_hand,
    the_model(),
    batch=batch,
    targets=targets,
    weight=0.3,
    detached=detached,
  )
  assert_descended(
    state.network.variables['params'],
    after.network.variables['params'],
    loss,
    RATE,
  )


def test_the_network_is_detached_from_a_share_of_the_round_on():
  # One batch an epoch, four epochs: the second half begins at step 2.
  case, apart = a_case(detach_at=0.5), a_case(loss_weight=0.3, detach_at=0.0)
  pool, state = case.begun()
  differs = []
  for _ in range(4):
    _, after, _ = case.a_step(pool, state)
    _, alone, _ = apart.a_step(pool, state)
    pairs = zip(
      *(
        jax.tree.leaves(each.network.variables['params']['model'])
        for each in (after, alone)
      ),
      strict=True,
    )
    differs.append(any(not np.allclose(a, b, atol=1e-8) for a, b in pairs))
    state = after
  assert differs == [True, True, False, False]


def test_detached_from_the_start_the_network_learns_as_if_alone():
  _, facts = the_task()
  options = {'optimizer': SGD, 'batch_size': 8, 'stop': {'epochs': 4}}
  alone = Case(learners.supervised(the_model(), facts, **options))
  case = a_case(loss_weight=0.3, detach_at=0.0)
  # Two batches an epoch, and the second one is short and odd.
  (pool, state), (_, single) = case.begun(range(11)), alone.begun(range(11))
  for _ in range(4):
    _, state, _ = case.a_step(pool, state)
    _, single, _ = alone.a_step(pool, single)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
    state.network.variables['params']['model'],
    single.network.variables['params'],
  )


@pytest.mark.parametrize('labelled', [[4], [4, 9, 11], range(9)])
def test_batches_of_one_and_of_odd_size_are_trained_on(labelled):
  case = a_case(detach_at=0.5)
  pool, state = case.begun(labelled)
  for _ in range(2):
    _, state, progress = case.a_step(pool, state)
  assert all(bool(each) for each in case.learner.finite(state).values())
  assert int(state.course.step) == 2
  assert np.isfinite(progress.metrics['module_loss'])
  if len(labelled) == 1:
    # There is no pair.
    assert progress.metrics['module_loss'] == 0


def no_loss(predictions, targets):
  del targets
  return 0.0 * predictions[:, 0]


def test_losses_that_are_all_zero_leave_every_number_finite():
  case = a_case(loss=no_loss)
  pool, state = case.begun()
  _, state, progress = case.a_step(pool, state)
  assert all(bool(each) for each in case.learner.finite(state).values())
  assert np.isfinite(progress.metrics['module_loss'])


def test_the_squared_error_is_of_the_losses_and_moves_no_target():
  dataset, facts = the_task()
  case = a_case(module_loss='squared', loss_weight=2.0)
  pool, state = case.begun()
  batch, after, _ = case.a_step(pool, state)
  targets = dataset.train.targets[np.asarray(batch.index)]
  both = loss_prediction.loss_predicting(the_model(), facts, width=5)

  def loss(params):
    output = both.apply({'params': params}, batch.inputs)
    logs = jax.nn.log_softmax(output.predictions)
    losses = -logs[jnp.arange(len(targets)), targets]
    gaps = output.extras['predicted_loss'] - jax.lax.stop_gradient(losses)
    return jnp.mean(losses) + 2.0 * jnp.mean(gaps**2)

  assert_descended(
    state.network.variables['params'],
    after.network.variables['params'],
    loss,
    RATE,
  )


def test_a_broken_module_is_named():
  case = a_case(detach_at=0.5)
  _, state = case.begun()
  params = state.network.variables['params']
  broken = {
    **params,
    'loss_prediction': jax.tree.map(
      lambda leaf: leaf * jnp.nan, params['loss_prediction']
    ),
  }
  network = state.network.replace(variables={'params': broken})
  found = case.learner.finite(state.replace(network=network))
  assert {name: bool(each) for name, each in found.items()} == {
    'network': True,
    'loss_prediction': False,
  }


def test_the_report_ranks_all_pairs_whatever_the_chunks():
  dataset, facts = the_task()
  learner = a_case(detach_at=0.5).learner
  state = learner.init(KEY)
  source = Source(
    jnp.asarray(dataset.test.inputs),
    pool_lib.fully_labelled(dataset.test.targets),
  )
  found = [
    evaluation.make_evaluate(learner, source, facts.task, chunk_size=size)(
      KEY, state
    )[0]
    for size in (7, 100)
  ]
  for name in ('ranking_accuracy', 'loss_rank_correlation'):
    np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-6)
  output = learner.apply(state, dataset.test.inputs)
  losses = facts.task.losses(output.predictions, dataset.test.targets)
  true, predicted = (
    np.asarray(losses),
    np.asarray(output.extras['predicted_loss']),
  )
  above = true[:, None] > true
  right = predicted[:, None] > predicted
  np.testing.assert_allclose(
    found[0]['ranking_accuracy'], np.mean(right[above]), atol=1e-3
  )


@pytest.mark.parametrize(
  ('name', 'shape', 'maps'),
  [
    ('mlp', (4, 3), ('hidden_1', 'hidden_2')),
    ('cnn', (8, 8, 1), ('block_1', 'block_2', 'block_3', 'dense')),
    ('resnet18', (8, 8, 3), ('stage_1', 'stage_2', 'stage_3', 'stage_4')),
    ('vgg11', (32, 32, 1), tuple(f'block_{n}' for n in range(1, 6))),
    ('cnn13', (28, 28, 1), ('block_1', 'block_2', 'block_3', 'features')),
  ],
)
def test_every_network_has_maps_to_look_at(name, shape, maps):
  facts = facts_of(shape)
  both = loss_prediction.loss_predicting(models.build(name, facts), facts)
  assert both.maps == maps
  rows = jnp.zeros((3, *shape), jnp.uint8)
  shapes = jax.eval_shape(lambda: both.apply(both.init(KEY), rows))
  assert shapes.extras['predicted_loss'].shape == (3,)


def test_the_network_starts_as_it_would_alone():
  facts = facts_of((4, 3))
  model = models.build('mlp', facts)
  both = loss_prediction.loss_predicting(model, facts)
  jax.tree.map(
    np.testing.assert_array_equal,
    both.init(KEY)['params']['model'],
    model.init(KEY)['params'],
  )


def without_maps(facts):
  del facts
  return nn.Dense(5)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'maps': ('stage_9',)}, "maps: the map 'stage_9' is not known"),
    ({'maps': 'hidden_1'}, "maps is 'hidden_1'; it must be a list"),
    ({'maps': ()}, r'maps is \(\); it must be a list'),
    ({'depth': 0}, 'depth is 0'),
    ({'width': 0}, 'width is 0'),
    ({'margin': 0}, 'margin is 0'),
    ({'loss_weight': -1}, 'loss_weight is -1'),
    ({'detach_at': 1.5}, 'detach_at is 1.5'),
    ({'batch_size': 1}, 'batch_size is 1; a ranking is learnt from pairs'),
    ({'module_loss': 'mse'}, "module_loss 'mse' is not known"),
  ],
)
def test_a_slip_is_refused_with_the_value(options, message):
  facts = facts_of((4, 3))
  with pytest.raises(ValueError, match=message):
    learners.learning_loss(models.build('mlp', facts), facts, **options)


class Rival(nn.Module):
  """A model with outputs of its own under the names of the library's."""

  @nn.compact
  def __call__(self, inputs):
    hidden = inputs.reshape(len(inputs), -1)
    extras = {'predicted_loss': hidden[:, :1], 'gradient': hidden}
    return ModelOutput(nn.Dense(5)(hidden), hidden, extras)


def test_no_output_of_a_model_is_replaced():
  facts = facts_of((4,))
  model = models.build(Rival(), facts)
  rows = jnp.zeros((2, 4), jnp.uint8)
  for name, learner in (
    ('predicted_loss', learners.learning_loss(model, facts)),
    ('gradient', learners.supervised(model, facts, gradient_sketch=4)),
  ):
    state = jax.eval_shape(learner.init, KEY)
    with pytest.raises(ValueError, match=f"has an output '{name}' of its own"):
      jax.eval_shape(learner.apply, state, rows)


class OfIntegers(nn.Module):
  """A model whose extras are no maps."""

  @nn.compact
  def __call__(self, inputs):
    hidden = inputs.reshape(len(inputs), -1)
    extras = {'bin': hidden.astype(jnp.int32), 'none': hidden[:, :0]}
    return ModelOutput(nn.Dense(5)(hidden), hidden, extras)


@pytest.mark.parametrize(
  ('maps', 'begins'),
  [
    (None, 'maps is None, and the model has'),
    (['bin'], "maps has 'bin', and the model has"),
  ],
)
def test_extras_that_are_no_maps_are_described(maps, begins):
  facts = facts_of((4,))
  found = r'the extras bin int32\[2, 4\], none float32\[2, 0\]'
  with pytest.raises(ValueError, match=f'{begins} {found}'):
    learners.learning_loss(models.build(OfIntegers(), facts), facts, maps=maps)


def test_a_model_without_maps_is_told_of_the_embedding():
  facts = facts_of((4,))
  model = models.build(without_maps, facts)
  with pytest.raises(ValueError, match=r"maps is None, .* \('embedding',\)"):
    learners.learning_loss(model, facts)


def test_it_trains_on_a_class_with_a_box():
  task = tasks.Mixed({'class': tasks.numbered(5), 'box': tasks.Box(scale=8.0)})
  facts = facts_of((8, 8, 1))._replace(task=task)
  learner = learners.learning_loss(
    models.build('cnn', facts, channels=(8,)), facts, batch_size=4
  )
  pool = pool_lib.create(100, task)
  state = jax.eval_shape(learner.init, KEY)
  batch = Batch(
    jax.ShapeDtypeStruct((4,), jnp.int32),
    jax.ShapeDtypeStruct((4, 8, 8, 1), jnp.uint8),
  )
  after, _ = jax.eval_shape(
    learner.phases[0].step, state, {'labelled': batch}, pool
  )
  assert jax.tree.structure(after) == jax.tree.structure(state)
