import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.interfaces import ModelOutput
from al_jax.loop import program
from al_jax.training import forward
from tests.factories import a_system, a_task


@pytest.fixture(scope='module')
def task():
  return a_task()


def compiled(task, system=None, **options):
  dataset, facts = task
  return program.compile_program(
    system or a_system(facts=facts),
    program.sources_of(dataset),
    options.pop('ids', dataset.train.ids),
    **options,
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_lanes': 0}, 'num_lanes is 0; .* at least 1'),
    ({'num_lanes': 1.0}, r'num_lanes is 1\.0'),
    ({'chunk_size': 1.5}, r'chunk_size is 1\.5'),
    ({'describe_batches': 'yes'}, "describe_batches is 'yes'"),
    ({'evaluate_samples': -1}, 'is -1; .* at least 0'),
    ({'evaluate_samples': 3}, 'the model has no dropout to sample'),
    ({'ids': np.arange(159)}, 'ids has 159 examples; .* built for 160'),
  ],
)
def test_what_does_not_fit_is_refused(task, options, message):
  with pytest.raises(ValueError, match=message):
    compiled(task, **options)


def test_a_pool_of_another_size_is_refused(task):
  _, facts = task
  other = a_task(size=150)[0], facts
  with pytest.raises(ValueError, match=r'the pool has 110 examples; .* 160'):
    compiled(other)


def test_predictions_that_are_no_logits_are_refused(task):
  system = a_system(facts=task[1])

  def apply(state, inputs, *, keys=None):
    output = system.learner.apply(state, inputs, keys=keys)
    return output._replace(predictions=output.predictions[:, :9])

  broken = dataclasses.replace(
    system, learner=system.learner._replace(apply=apply)
  )
  with pytest.raises(ValueError, match=r'shape \(3, 9\); .* be \(3, 10\)'):
    compiled(task, broken)
  one_number = system.learner._replace(
    apply=lambda state, inputs, *, keys=None: ModelOutput(
      jnp.zeros(3), None, {}
    )
  )
  with pytest.raises(ValueError, match=r'shape \(3,\)'):
    dataclasses.replace(system, learner=one_number).check_predictions()


def test_what_a_system_was_traced_for_is_not_traced_again(task, monkeypatch):
  traced = []
  apply = forward.apply

  def counted(*args, **options):
    traced.append(args)
    return apply(*args, **options)

  monkeypatch.setattr(forward, 'apply', counted)
  system = a_system('bald', facts=task[1], dropout=0.5)
  when_built = len(traced)
  assert when_built
  compiled(task, system, evaluate_samples=2)
  assert len(traced) == when_built


def test_batches_are_described_and_samples_evaluated_on_request(task):
  _, facts = task
  system = a_system(facts=facts, dropout=0.5)
  made = compiled(task, system, describe_batches=True, evaluate_samples=4)
  assert compiled(task, system).describe is None
  state = made.init(jax.random.key(0))
  found = made.describe(state, np.array([3, 5, 8], np.int32), 4)
  assert set(found) == {'gradient_norm', 'log_det', 'near_duplicates'}
  key = jax.random.key(1)
  metrics, _ = made.evaluate(key, state)
  assert metrics['mc_accuracy'].shape == ()
  again, _ = made.evaluate(key, state)
  other, _ = made.evaluate(jax.random.key(2), state)
  assert metrics['mc_log_loss'] == again['mc_log_loss']
  assert metrics['mc_log_loss'] != other['mc_log_loss']
  assert metrics['log_loss'] == other['log_loss']
