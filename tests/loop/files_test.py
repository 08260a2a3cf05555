"""Runs whose measurements do not fit in memory, and are in files."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import inference, sources
from tests.factories import a_task
from tests.loop.runs import PROTOCOL, compiled, run

TWO_ROUNDS = dataclasses.replace(PROTOCOL, rounds=2)


@pytest.fixture(scope='module')
def task():
  return a_task(label_budget=60)


@pytest.fixture
def files(monkeypatch):
  """From when it is called on nothing fits; the files that were made."""
  made = []

  def temporary(form):
    made.append(sources_temporary(form))
    return made[-1]

  sources_temporary = sources.temporary

  def nothing_fits():
    monkeypatch.setattr(sources, 'temporary', temporary)
    monkeypatch.setattr(sources, 'is_placed_on_device', lambda size: False)
    return made

  return nothing_fits


@pytest.mark.parametrize(('name', 'parts'), [('badge', 2), ('core_set', 1)])
def test_the_queries_are_those_of_a_run_in_memory(task, files, name, parts):
  program = compiled(task, name)
  rows, _ = run(task, program, TWO_ROUNDS)
  made = files()
  again, _ = run(task, program, TWO_ROUNDS)
  assert [row.picks for row in again] == [row.picks for row in rows]
  # Of the one round that asks, and of the size of the pool.
  num_examples = program.system.facts.num_examples
  assert [len(each) for each in made] == [num_examples] * parts


def test_what_a_strategy_cannot_read_in_parts_stays_on_the_device(task, files):
  program = compiled(task, 'margin')
  made = files()
  run(task, program, TWO_ROUNDS)
  assert not made


def test_a_map_into_files_is_that_on_the_device(rng, files):
  inputs = jnp.asarray(rng.normal(size=(17, 4)), jnp.float32)

  def squares(scale, batch):
    return scale * batch.inputs**2

  where = np.arange(17) % 3 > 0
  expected = inference.make_pool_map(squares, chunk_size=5)(2.0, inputs, where)
  made = files()
  map_pool = inference.make_pool_map(squares, chunk_size=5, may_map=True)
  found = map_pool(2.0, inputs, where)
  assert made and isinstance(found, np.ndarray)
  assert isinstance(expected, jax.Array)
  np.testing.assert_array_equal(found, expected)
