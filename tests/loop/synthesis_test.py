"""Queries that are made: by each proposer, asked, answered, and resumed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import loop, models
from al_jax import pool as pool_lib
from al_jax._system import System
from al_jax.interfaces import Question
from al_jax.learners import beyond_pool, bgadl, supervised
from al_jax.loop import program, protocol
from al_jax.loop import synthesis as synthesis_lib
from al_jax.loop.synthesis import Candidates, Synthesis
from al_jax.models import common
from al_jax.oracle import ModelOracle, SimulatedOracle
from al_jax.storage import records
from al_jax.strategies import entropy, random
from tests.factories import TINY_MAKERS, a_task, stopped_at_every_save

HOW = protocol.Protocol(
  rounds=2, labels_per_round=6, first_size=20, save_every_steps=10
)
OPTIONS = {
  'prior': Synthesis(name='prior', num_candidates=40, min_distance=0.0),
  'latent': Synthesis(name='latent', steps=5, min_distance=0.0),
  'partner': Synthesis(name='partner', min_distance=0.0),
}


@functools.cache
def facts():
  dataset, _ = a_task()
  return program.facts_of(dataset, HOW.budget, made_capacity=6)


def learner_of(facts, **options):
  def build(facts):
    model = models.build('mlp', facts, widths=(8,), dropout=0.5)
    return bgadl(
      model,
      facts,
      stop={'epochs': 20},
      samples=0,
      **{**TINY_MAKERS, **options},
    )

  return beyond_pool(build, facts)


@functools.cache
def a_system():
  return System('made', learner_of(facts()), entropy(), facts())


@functools.cache
def compiled(name):
  dataset, _ = a_task()
  return program.compile_program(
    a_system(),
    program.sources_of(dataset),
    dataset.train.ids,
    synthesis=OPTIONS[name],
  )


class Reader:
  """Names a class by the brightness of a picture; dark ones show nothing."""

  def __init__(self):
    self.asked = []

  def __call__(self, inputs):
    self.asked.append(np.asarray(inputs))
    bright = np.asarray(inputs, float).mean(axis=(1, 2, 3))
    probs = np.full((len(bright), 10), 0.05)
    probs[np.arange(len(bright)), np.arange(len(bright)) % 10] = 0.55
    probs[bright > np.median(bright)] = np.eye(10)[3]
    return probs


def an_oracle():
  dataset, _ = a_task()
  reader = Reader()
  of_pool = SimulatedOracle(dataset.train.targets, dataset.task)
  return reader, ModelOracle(of_pool, reader, gate=0.9)


def results(rows):
  return [records.deterministic(row) for row in rows]


@pytest.mark.parametrize('name', OPTIONS)
def test_made_queries_are_asked_answered_and_resumed(name, tmp_path):
  reader, answers = an_oracle()
  first, second = loop.run_rounds(compiled(name), answers, HOW, [0])
  few = facts().num_examples
  assert first.picks == list(range(few, few + 6))
  assert first.batch['made'] == 1.0
  valid = 6 - round(6 * first.batch['invalid'])
  assert sum(first.pick_classes) == first.pick_classes[3] == valid
  # An invalid answer is paid for, and labels nothing.
  assert second.labels == 26 and second.trainable == 20 + valid
  [asked] = reader.asked
  assert asked.shape == (6, 8, 8, 1) and asked.dtype == np.uint8
  origins = [pick.split(' of ')[1] for pick in first.pick_ids]
  assert all((origin == 'the prior') == (name == 'prior') for origin in origins)
  assert second.compilations == first.compilations

  _, answers = an_oracle()
  found, stops = stopped_at_every_save(
    compiled(name), answers, HOW, tmp_path / 'stopped'
  )
  assert stops > 2
  assert results(found) == results([first, second])


@functools.cache
def a_trained_state():
  """The learner's state of an untrained run, and some examples."""
  state = jax.jit(a_system().learner.init)(jax.random.key(0))
  return state, np.asarray(a_task()[0].train.inputs[:6])


def test_codes_move_to_larger_values_and_stay_near():
  state, raw = a_trained_state()
  system, key = a_system(), jax.random.key(1)
  generator = system.learner.generator
  begun = generator.encode(state, raw)
  found = {}
  for steps in (1, 60):
    options = Synthesis(
      name='latent', steps=steps, radius=0.3, realism_weight=0.1
    )
    moved = jax.jit(
      functools.partial(synthesis_lib.moved_codes, options, system)
    )(key, state, raw)
    lengths = np.linalg.norm(moved - begun, axis=1)
    assert np.all(lengths <= 0.3 * 1.001)
    classes = jnp.argmax(system.learner.apply(state, raw).predictions, axis=1)
    made = generator.decode(state, moved, classes)
    scores = entropy().measure(
      key,
      functools.partial(system.learner.apply, state),
      synthesis_lib.Batch(jnp.arange(6), made),
    )
    found[steps] = np.sum(scores + 0.1 * generator.realism(state, made))
  assert found[60] > found[1]


def test_the_best_are_taken_without_what_is_alike():
  pool = pool_lib.of(facts()._replace(made_capacity=20))
  base = np.random.default_rng(0).integers(0, 200, (4, 8, 8, 1), np.uint8)
  inputs = np.concatenate([base, base[:2] + 1])
  values = np.array([1.0, 3.0, 2.0, 0.0, 5.0, 0.5], np.float32)
  given = Candidates(inputs, values, np.arange(6))
  std = float(np.mean(common.moments(facts())[1]))
  best = given.best(5, pool, facts(), min_distance=2 / std)
  # 4 is like 0, and better; 5 is like 1, and worse.
  np.testing.assert_array_equal(best.origins, [4, 1, 2, 3])
  best = given.best(2, pool, facts(), min_distance=0.0)
  np.testing.assert_array_equal(best.origins, [4, 1])
  everything = given.best(9, pool, facts(), min_distance=0.0)
  assert len(everything.values) == 6


def test_what_was_made_before_is_not_asked_again():
  from al_jax import made

  pool = pool_lib.of(facts())
  inputs = np.full((2, 8, 8, 1), [[[[10]]], [[[200]]]], np.uint8)
  pool, _ = made.add(pool, inputs[:1])
  given = Candidates(inputs, np.array([2.0, 1.0]), np.arange(2))
  best = given.best(2, pool, facts(), min_distance=0.05)
  np.testing.assert_array_equal(best.origins, [1])


def test_a_short_batch_is_told(caplog):
  dataset, _ = a_task()
  compiled = program.compile_program(
    a_system(),
    program.sources_of(dataset),
    dataset.train.ids,
    synthesis=Synthesis(name='prior', num_candidates=9, min_distance=1e3),
  )
  _, answers = an_oracle()
  first, second = loop.run_rounds(compiled, answers, HOW, [0])
  assert len(first.picks) == 1 and second.labels == 21
  assert "system 'made' proposes 1 of 6 queries" in caplog.text


def test_the_oracle_answers_about_the_pool_from_its_targets():
  dataset, _ = a_task()
  reader, answers = an_oracle()
  few = facts().num_examples
  indices = np.array([4, few, few + 1, 7, -1], np.int32)
  inputs = np.zeros((5, 8, 8, 1), np.uint8)
  inputs[2] = 250
  paid, found = answers.ask(jax.random.key(0), 3, Question(indices, inputs))
  assert paid == 7
  np.testing.assert_array_equal(
    found.annotator,
    [
      pool_lib.ORACLE,
      pool_lib.ABSTAINED,
      pool_lib.ORACLE,
      pool_lib.ORACLE,
      pool_lib.NOBODY,
    ],
  )
  truth = dataset.train.targets
  np.testing.assert_array_equal(found.targets, [truth[4], 0, 3, truth[7], 0])
  assert len(reader.asked[0]) == 2


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'name': 'priors'}, "synthesis.name 'priors' .*'prior'"),
    ({'name': 'prior', 'num_candidates': 0}, 'num_candidates is 0'),
    ({'name': 'latent', 'radius': 0}, 'synthesis.radius is 0'),
    ({'name': 'latent', 'realism_weight': -1}, 'realism_weight is -1'),
  ],
)
def test_values_that_are_not_allowed_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    Synthesis(**options)


def test_systems_that_cannot_make_queries_are_refused():
  def plain(facts):
    return supervised(models.build('mlp', facts, widths=(8,)), facts)

  without = System('plain', beyond_pool(plain, facts()), entropy(), facts())
  with pytest.raises(ValueError, match="learner of system 'plain' has no gen"):
    OPTIONS['prior'].check(without)
  looking_at_nothing = System('blind', a_system().learner, random(), facts())
  with pytest.raises(ValueError, match="system 'blind' does not choose"):
    OPTIONS['latent'].check(looking_at_nothing)
  OPTIONS['partner'].check(looking_at_nothing)
