import itertools

import jax
import numpy as np
import pytest

from al_jax import sources
from al_jax.loop import program
from al_jax.sources import Source
from al_jax.training import fit as fit_lib
from tests.factories import a_pool, a_system, a_task

START, SURVEY = jax.random.key(1), jax.random.key(2)


@pytest.fixture(scope='module')
def task():
  return a_task()


@pytest.fixture(scope='module')
def system(task):
  return a_system(facts=task[1], dropout=0.3)


@pytest.fixture(scope='module')
def all_sources(task):
  return program.sources_of(task[0])


@pytest.fixture(scope='module')
def fns(system, all_sources):
  return fit_lib.compile_fit(system.learner, system.facts, all_sources)


def init(system, seed=0):
  return jax.jit(system.learner.init)(jax.random.key(seed))


def last(steps):
  *_, (state, progress) = steps
  return state, progress


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, raw(a), raw(b))


def raw(tree):
  def data(leaf):
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf

  return jax.tree.map(data, tree)


def fitted(fns, system, pool, **options):
  return last(
    fit_lib.fit(fns, [START], [SURVEY], [init(system)], [pool], **options)
  )


def test_a_round_trains_for_its_epochs_and_learns(task, system, fns):
  pool = a_pool(task[0], np.arange(40))
  _, progress = fitted(fns, system, pool)
  assert progress.done.tolist() == [True]
  assert progress.step.tolist() == [8 * 3]  # 8 epochs of ceil(40 / 16)
  assert progress.metrics['accuracy'][0] > 0.5
  assert np.isfinite(progress.metrics['loss'][0])


def test_how_many_steps_go_into_a_call_changes_nothing(task, system, fns):
  pool = a_pool(task[0], np.arange(40))
  whole, _ = fitted(fns, system, pool)
  for stop_every in (1, 5):
    parts, _ = fitted(fns, system, pool, stop_every=stop_every)
    assert_same(whole, parts)


def test_a_round_goes_on_from_any_step_bit_for_bit(task, system, fns):
  pool = a_pool(task[0], np.arange(40))
  whole, _ = fitted(fns, system, pool)
  steps = fit_lib.fit(
    fns, [START], [SURVEY], [init(system)], [pool], stop_every=7
  )
  middle = list(itertools.islice(steps, 2))[-1][0]
  other = jax.random.key(99)  # the start is over: its key is not used again
  resumed, _ = last(
    fit_lib.fit(fns, [other], [SURVEY], [middle], [pool], resume=True)
  )
  assert_same(whole, resumed)


def test_a_state_that_is_done_stays_as_it_is(task, system, fns):
  pool = a_pool(task[0], np.arange(40))
  done, _ = fitted(fns, system, pool)
  after, progress = fns.advance[0](done, pool, 10)
  assert bool(progress.done)
  assert_same(done, after)


def test_inputs_on_the_host_give_the_same_bits(task, system, fns):
  pool = a_pool(task[0], np.arange(40))
  on_host = fit_lib.compile_fit(
    system.learner, system.facts, program.sources_of(task[0], 'host')
  )
  assert not sources.is_on_device(task[0].train.inputs)
  assert_same(fitted(fns, system, pool)[0], fitted(on_host, system, pool)[0])


def test_a_step_a_call_agrees_with_steps_in_a_loop(
  task, system, fns, all_sources, monkeypatch
):
  pool = a_pool(task[0], np.arange(40))
  monkeypatch.setattr(fit_lib, '_loops_are_slow', lambda *_: True)
  by_call = fit_lib.compile_fit(system.learner, system.facts, all_sources)
  for a, b in zip(
    jax.tree.leaves(raw(fitted(fns, system, pool)[0])),
    jax.tree.leaves(raw(fitted(by_call, system, pool)[0])),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, atol=2e-5)


def test_lanes_agree_with_seeds_alone(task, system, fns, all_sources):
  two = fit_lib.compile_fit(
    system.learner, system.facts, all_sources, num_lanes=2
  )
  pools = [a_pool(task[0], np.arange(40)), a_pool(task[0], np.arange(5, 30))]
  starts = [jax.random.key(3), jax.random.key(4)]
  states = [init(system, 0), init(system, 1)]
  packed, progress = last(fit_lib.fit(two, starts, [SURVEY] * 2, states, pools))
  assert progress.step.tolist() == [8 * 3, 8 * 2]  # lanes end apart
  for lane, together in enumerate(two.unpack(packed)):
    alone, _ = last(
      fit_lib.fit(fns, [starts[lane]], [SURVEY], [states[lane]], [pools[lane]])
    )
    for a, b in zip(
      jax.tree.leaves(raw(alone)), jax.tree.leaves(raw(together)), strict=True
    ):
      np.testing.assert_allclose(a, b, atol=2e-5)


def test_several_lanes_need_their_inputs_on_the_device(task, system):
  with pytest.raises(ValueError, match='need them on one device'):
    fit_lib.compile_fit(
      system.learner,
      system.facts,
      program.sources_of(task[0], 'host'),
      num_lanes=2,
    )


@pytest.mark.parametrize('placement', ['device', 'host'])
def test_patience_ends_a_round_at_the_best_validation_loss(task, placement):
  dataset, facts = task
  patient = a_system(
    facts=facts,
    learner={
      'stop': {'epochs': 60, 'patience': 3},
      'optimizer': {'learning_rate': 0.05},
    },
  )
  all_sources = program.sources_of(dataset, placement)
  fns = fit_lib.compile_fit(patient.learner, facts, all_sources)
  pool = a_pool(dataset, np.arange(30))
  losses, epochs = [], 0
  held_out = all_sources['validation']
  for state, progress in fit_lib.fit(
    fns, [START], [SURVEY], [init(patient)], [pool]
  ):
    if any(is_due[0] for is_due in progress.due.values()):
      epochs += 1
      logits = patient.learner.apply(state, held_out.inputs).predictions
      log_probs = jax.nn.log_softmax(logits)
      of_target = np.take_along_axis(
        np.asarray(log_probs), np.asarray(held_out.pool.targets)[:, None], 1
      )
      losses.append(-of_target.mean())
  best = int(np.argmin(losses))
  assert epochs == best + 1 + 3 < 60
  np.testing.assert_allclose(state.course.best.loss, losses[best], rtol=1e-5)
  logits = patient.learner.apply(state, held_out.inputs).predictions
  final = -np.take_along_axis(
    np.asarray(jax.nn.log_softmax(logits)),
    np.asarray(held_out.pool.targets)[:, None],
    1,
  ).mean()
  np.testing.assert_allclose(final, losses[best], rtol=1e-5)


def test_growing_labelled_sets_share_one_program(task, system, all_sources):
  fns = fit_lib.compile_fit(system.learner, system.facts, all_sources)
  traces = []
  (phase,) = system.learner.phases
  counted = phase._replace(
    step=lambda *args: traces.append(1) or phase.step(*args)
  )
  learner = system.learner._replace(phases=(counted,))
  fns = fit_lib.compile_fit(learner, system.facts, all_sources)
  traces_before_rounds = len(traces)
  state = init(system)
  for count in (10, 20, 60):
    pool = a_pool(task[0], np.arange(count))
    state, _ = last(fit_lib.fit(fns, [START], [SURVEY], [state], [pool]))
  # Once for the shape of its result, once inside the loop.
  assert len(traces) - traces_before_rounds == 2


def test_a_batch_named_like_a_source_draws_from_it():
  inputs = {'pool': np.zeros(3), 'generated': np.ones(3)}
  drawn = fit_lib._drawn_from(inputs, 'generated')
  assert drawn is inputs['generated']
  assert fit_lib._drawn_from(inputs, 'labelled') is inputs['pool']
  assert Source(inputs).pool is None
