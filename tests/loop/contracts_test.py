"""What breaks the contract of a part stops the run, and says whose it is."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels, oracle, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.loop import contracts
from tests.factories import a_task
from tests.loop.runs import PROTOCOL, compiled, run


@pytest.fixture(scope='module')
def task():
  return a_task(label_budget=60)


@pytest.fixture(scope='module')
def margin(task):
  return compiled(task, 'margin')


def a_strategy(measure, select):
  return Strategy(init=lambda facts: (), measure=measure, select=select)


def test_a_score_that_is_not_finite_names_the_round_and_the_example(task):
  def measure(key, apply, batch):
    del key
    scores = kernels.margin(apply(batch.inputs).predictions)
    return jnp.where(batch.index == 7, jnp.nan, scores)

  def select(key, state, scores, seen, pool, k):
    eligible = pool_lib.eligible(pool) & seen
    return state, kernels.top_k(scores, k, eligible=eligible, key=key)

  broken = compiled(task, 'margin', strategy=a_strategy(measure, select))
  identity = task[0].train.ids[7]
  with pytest.raises(
    FloatingPointError, match=rf'round 0.*example 7 \(id {identity}\)'
  ):
    run(task, broken)


def that_picks(task, picks):
  """Margin's system, with a strategy that picks the same whatever happens."""

  def measure(key, apply, batch):
    del key, apply
    return batch.index

  def select(key, state, measured, seen, pool, k):
    del key, measured, seen, k
    chosen = picks
    if isinstance(picks, str):
      chosen = np.flatnonzero(~np.asarray(pool_lib.eligible(pool)))[:2]
    return state, kernels.Selection(np.asarray(chosen), None)

  return compiled(task, 'margin', strategy=a_strategy(measure, select))


@pytest.mark.parametrize(
  ('picks', 'message'),
  [
    ([3, 3], 'picked an example twice'),
    ('labelled', 'picked .* queried before'),
    ([[3, 4]], r'selected int64\[1, 2\]; it must select at most 10'),
    ([3.0, 4.0], r'selected float64\[2\]'),
    (list(range(11)), r'selected int64\[11\]; it must select at most 10'),
    ([3, -2], 'selected -2; padding must be -1'),
    ([-1, 3], 'selected -1 before a pick; padding must come last'),
    ([160], 'picked beyond the pool of 160'),
    ([-1, -1], 'picked 0; it must pick 10 of the eligible'),
    ([0, -1], 'picked 1; it must pick 10 of the eligible'),
  ],
)
def test_a_strategy_that_breaks_its_contract_is_stopped(task, picks, message):
  with pytest.raises(RuntimeError, match=f"round 0: system 'margin' {message}"):
    run(task, that_picks(task, picks))


def test_a_pick_that_was_not_measured_is_refused(task):
  broken = that_picks(task, [4])
  strategy = broken.system.strategy._replace(
    where=lambda key, state, pool: jnp.arange(160) != 4
  )
  broken = compiled(task, 'margin', strategy=strategy)
  with pytest.raises(RuntimeError, match='picked 4, which was not measured'):
    run(task, broken)


@pytest.mark.parametrize('shape', [(), (7,)])
def test_a_measurement_without_a_row_per_example_is_refused(task, shape):
  def measure(key, apply, batch):
    del key, apply, batch
    return jnp.zeros(shape)

  broken = compiled(task, 'margin', strategy=a_strategy(measure, None))
  with pytest.raises(ValueError, match='measurement of 100 examples'):
    run(task, broken)


def test_weights_that_are_not_finite_name_the_network_and_the_round(task):
  options = {'optimizer': {'name': 'sgd', 'learning_rate': 1e30}}
  message = 'round 0, seed 0: a weight of the network .* after 7 steps'
  with pytest.raises(FloatingPointError, match=message):
    run(task, compiled(task, 'margin', learner=options))


def test_all_networks_that_are_not_finite_are_named(task):
  broken = compiled(task, 'margin')
  finite = {'critic': np.False_, 'network': np.True_, 'encoder': np.False_}
  broken = broken._replace(fit=broken.fit._replace(finite=lambda state: finite))
  message = 'a weight of the critic and of the encoder of system'
  with pytest.raises(FloatingPointError, match=message):
    run(task, broken)


def test_a_loss_that_is_not_finite_names_the_round(task):
  options = {'optimizer': {'name': 'sgd', 'learning_rate': 1e30}}
  diverging = compiled(task, 'margin', learner=options)
  # As if the weights had stayed finite.
  fit = diverging.fit._replace(finite=lambda state: {'network': np.True_})
  diverging = diverging._replace(fit=fit)
  with pytest.raises(FloatingPointError, match='round 0, seed 0: the training'):
    run(task, diverging)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'first_size': 161}, 'first_size is 161; the pool has 160'),
    ({'rounds': 9}, 'may pay for 100 labels; the system was built for 60'),
  ],
)
def test_a_protocol_without_room_is_refused(task, margin, changes, message):
  with pytest.raises(ValueError, match=message):
    run(task, margin, dataclasses.replace(PROTOCOL, **changes))


@pytest.mark.parametrize('name', ['target_accuracy', 'test_accuracy'])
def test_an_accuracy_to_end_at_needs_a_task_that_has_one(margin, name):
  facts = margin.system.facts._replace(task=tasks.Vector(1))
  system = dataclasses.replace(margin.system, facts=facts)
  protocol = dataclasses.replace(PROTOCOL, **{name: 0.9})
  message = f'{name} is 0.9; it needs .* that of a number is rmse'
  with pytest.raises(ValueError, match=message):
    contracts.check_run(margin._replace(system=system), None, protocol, [0])


def test_a_test_accuracy_needs_a_test_split(margin):
  protocol = dataclasses.replace(PROTOCOL, test_accuracy=0.9)
  with pytest.raises(ValueError, match='test split, and the data set has none'):
    contracts.check_run(margin._replace(evaluate=None), None, protocol, [0])


@pytest.mark.parametrize(
  ('targets', 'num_classes', 'message'),
  [
    (np.zeros(159, int), 10, 'the oracle has 159 examples; .* for 160'),
    (np.zeros(160, int), 9, 'the oracle answers 9 classes; .* for 10'),
  ],
)
def test_an_oracle_of_other_data_is_refused(
  task, margin, targets, num_classes, message
):
  answers = oracle.SimulatedOracle(targets, tasks.numbered(num_classes))
  with pytest.raises(ValueError, match=message):
    run(task, margin, answers=answers)


@pytest.mark.parametrize('seed', [True, -1, 2**32, 0.5])
def test_a_seed_that_no_key_can_hold_is_refused(task, margin, seed):
  with pytest.raises(ValueError, match='seed is'):
    run(task, margin, seeds=[seed])


def test_every_lane_needs_a_seed_of_its_own(task, margin):
  with pytest.raises(ValueError, match='num_lanes=1 and needs as many'):
    run(task, margin, seeds=[0, 1])
