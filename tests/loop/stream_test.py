"""Streams: budgets, resuming, the future, and what is refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import loop, systems
from al_jax import pool as pool_lib
from al_jax.loop import program, protocol
from al_jax.loop.stream import MANAGERS, Stream
from al_jax.oracle import SimulatedOracle
from al_jax.storage import records
from tests.factories import a_system, a_task, stopped_at_every_save

HOW = protocol.Protocol(
  rounds=3,
  labels_per_round=6,
  first_set='first',
  first_size=10,
  save_every_steps=5,
)
# It spends fast, so that a stream of 160 is enough for two rounds.
BUDGET = 0.2


@functools.cache
def a_stream_of(name, options, future_from=None, num_lanes=1):
  """A program, whose later examples may be noise."""
  dataset, facts = a_task()
  system = a_system(name, facts=facts)
  inputs = dataset.train.inputs
  if future_from is not None:
    inputs = np.array(inputs)
    noise = np.random.default_rng(0).integers(0, 16, inputs.shape)
    inputs[future_from:] = noise[future_from:]
    split = dataclasses.replace(dataset.train, inputs=inputs)
    dataset = dataclasses.replace(dataset, train=split)
  return program.compile_program(
    system,
    program.sources_of(dataset),
    dataset.train.ids,
    stream=options,
    num_lanes=num_lanes,
  )


def an_oracle():
  dataset, _ = a_task()
  return SimulatedOracle(dataset.train.targets, dataset.task)


def run(name='least_confidence', how=HOW, future_from=None, **options):
  stream = Stream(**{'budget': BUDGET, **options})
  compiled = a_stream_of(name, stream, future_from)
  return loop.run_rounds(compiled, an_oracle(), how, [0])


def results(rows):
  return [records.deterministic(row) for row in rows]


@pytest.mark.parametrize('manager', MANAGERS)
def test_a_run_passes_the_stream_once_within_the_budget(manager):
  rows = list(run(manager=manager))
  picks = [pick for row in rows for pick in row.picks]
  # In order, none twice, none of the first set.
  assert picks == sorted(set(picks)) and min(picks) >= HOW.first_size
  seen = HOW.first_size
  for row in rows:
    if not row.batch:
      continue
    passed = row.batch['passed']
    assert row.batch['seen'] == seen + passed
    assert row.batch['label_rate'] == len(row.picks) / passed
    assert 0 <= row.batch['prequential_accuracy'] <= 1
    assert all(seen <= pick < seen + passed for pick in row.picks)
    if len(row.picks) == HOW.labels_per_round:
      # The next example waits for the model that knows the answers.
      assert row.picks[-1] == seen + passed - 1
    seen += passed
  assert rows[-1].labels <= HOW.budget
  asked, came = len(picks), seen - HOW.first_size
  assert asked <= (BUDGET * 100 + 1) * (1 + came / 100) + 50


def test_decisions_do_not_depend_on_lookahead():
  whole = results(run(lookahead=1000))
  for lookahead in (7, 64):
    assert results(run(lookahead=lookahead)) == whole


def test_seeds_in_lock_step_pass_as_they_do_alone():
  options = Stream(budget=BUDGET)
  two = a_stream_of('least_confidence', options, num_lanes=2)
  found = list(loop.run_rounds(two, an_oracle(), HOW, [0, 3]))
  alone = a_stream_of('least_confidence', options)
  for seed in (0, 3):
    rows = list(loop.run_rounds(alone, an_oracle(), HOW, [seed]))
    of_seed = [row for row in found if row.seed == seed]
    assert [row.picks for row in of_seed] == [row.picks for row in rows]
    assert [row.batch for row in of_seed] == [row.batch for row in rows]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path):
  stream = Stream(budget=BUDGET)
  compiled = a_stream_of('least_confidence', stream)
  rows = list(run())
  found, stops = stopped_at_every_save(
    compiled, an_oracle(), HOW, tmp_path / 'stopped'
  )
  assert stops > 2
  assert results(found) == results(rows)


@pytest.mark.parametrize('options', [{}, {'batch_window': 15}])
def test_the_future_of_a_stream_changes_nothing(options):
  name = 'badge' if options else 'least_confidence'
  how = dataclasses.replace(HOW, rounds=2)
  rows = list(run(name, how, **options))
  passed = int(rows[0].batch['seen'])
  assert passed < 128
  others = list(run(name, how, future_from=128, **options))
  assert results(rows) == results(others)


def test_hidden_labels_change_nothing():
  compiled = a_stream_of('least_confidence', Stream(budget=BUDGET))
  rows = list(run())
  asked = [pick for row in rows for pick in row.picks]
  dataset, _ = a_task()
  targets = np.array(dataset.train.targets)
  hidden = np.setdiff1d(np.arange(HOW.first_size, len(targets)), asked)
  targets[hidden] = (targets[hidden] + 1) % 10
  poisoned = SimulatedOracle(targets, dataset.task)
  found = list(loop.run_rounds(compiled, poisoned, HOW, [0]))
  # How right predictions are only the oracle knows.
  for row, other in zip(rows, found, strict=True):
    assert row.picks == other.picks and row.test == other.test


@pytest.mark.parametrize(
  'name', ['badge', 'core_set', 'least_confidence', 'random']
)
def test_windows_pick_their_share_at_once(name):
  how = dataclasses.replace(HOW, rounds=4)
  rows = list(run(name, how, batch_window=15))
  picks = np.array([pick for row in rows for pick in row.picks])
  windows, counts = np.unique((picks - 10) // 15, return_counts=True)
  np.testing.assert_array_equal(windows, np.arange(6))
  assert np.all(counts == 3) and len(set(picks.tolist())) == 18
  assert [row.batch['passed'] for row in rows[:3]] == [30, 30, 30]
  for row in rows[:3]:
    end = row.batch['seen']
    assert all(end - 30 <= pick < end for pick in row.picks)
  assert not rows[3].batch


def test_a_run_ends_with_the_stream():
  how = dataclasses.replace(HOW, rounds=9, labels_per_round=50, label_budget=60)
  compiled = a_stream_of('random', Stream(budget=BUDGET))
  generator = loop.run_rounds(compiled, an_oracle(), how, [0])
  rows = []
  with pytest.raises(StopIteration) as end:
    while True:
      rows.append(next(generator))
  assert end.value.value == {0: 'the stream is over'}
  assert rows[0].batch['seen'] == 160 and not rows[-1].picks
  assert 160 * BUDGET * 0.7 < rows[-1].labels - 10 < 160 * BUDGET * 1.3


def test_no_query_at_the_end_makes_no_further_round():
  how = dataclasses.replace(HOW, labels_per_round=3)
  stream = Stream(budget=0.2, batch_window=15)
  compiled = a_stream_of('random', stream)
  first, *_ = loop.run_rounds(compiled, an_oracle(), how, [0])
  assert len(first.picks) == 3
  # Nothing is near enough to the end to be asked about.
  state = loop.beginning.begin(compiled, an_oracle(), how, 0)
  position = jnp.full_like(state.stream.position, 158)
  state = state.replace(stream=state.stream._replace(position=position))
  after, proposal = loop.acquisition.propose(
    compiled, state, 3, seed=0, round=0
  )
  assert not len(proposal.picks) and compiled.stream.is_over(after.stream)
  assert np.all(after.pending == -1)


def test_nothing_is_compiled_after_the_first_round():
  first, *others = run(manager='quantile', budget=0.21)
  assert others and all(
    row.compilations == first.compilations for row in others
  )


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('margin', {'manager': 'fixed'}, 'compares the largest probability'),
    ('margin', {'manager': 'variable'}, "choose 'balanced' or 'quantile'"),
    ('badge', {}, 'set stream.batch_window instead'),
    ('albl', {'batch_window': 15}, 'learns from the answers'),
    ('label_propagation+entropy', {}, 'it would see the future'),
    ('joint+entropy', {}, 'it would see the future'),
    ('ceal', {}, 'it would see the future'),
  ],
)
def test_systems_that_do_not_go_with_a_stream_are_refused(
  name, options, message
):
  _, facts = a_task()
  system = systems.build(name, facts, model={'name': 'mlp', 'widths': (8,)})
  with pytest.raises(ValueError, match=message):
    Stream(**options).check(system)


def test_a_part_of_the_pool_is_refused():
  _, facts = a_task()
  system = a_system('margin', facts=facts, subset_size=50)
  with pytest.raises(ValueError, match='looks over the pool for candidates'):
    Stream().check(system)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'manager': 'balancd'}, "Did you mean 'balanced'"),
    ({'budget': 0.0}, 'stream.budget is 0.0'),
    ({'window': 0}, 'stream.window is 0'),
    ({'lookahead': 0}, 'stream.lookahead is 0'),
    ({'batch_window': 2}, 'makes no query of a window'),
  ],
)
def test_options_out_of_range_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    Stream(**options)


def test_protocols_that_do_not_go_with_a_stream_are_refused():
  uniform = dataclasses.replace(HOW, first_set='uniform')
  with pytest.raises(ValueError, match="must be 'first' or 'none'"):
    Stream().check_protocol(uniform)
  with pytest.raises(ValueError, match='a multiple of the 4 queries'):
    Stream(batch_window=40).check_protocol(HOW)


def test_a_state_without_a_stream_has_the_leaves_that_it_had():
  dataset, facts = a_task()
  compiled = program.compile_program(
    a_system(facts=facts), program.sources_of(dataset), dataset.train.ids
  )
  state = loop.run_state.template(compiled)
  paths = jax.tree_util.tree_flatten_with_path(state)[0]
  assert not any('stream' in jax.tree_util.keystr(path) for path, _ in paths)
  assert pool_lib.of(facts).made is None
