"""Neither the number of devices nor the size of a chunk changes a pick."""

import json

import pytest

from al_jax import systems
from tests import children

# What a run asks, and what every system there is would ask of one state: an
# object per way of looking at the pool, (chunk size, placement). One process
# takes all ways, for what selects is then compiled once. Few samples and
# questions will do: what is compared is exact.
SCRIPT = """
import dataclasses, inspect, json, sys
import jax
jax.config.update('jax_num_cpu_devices', int(sys.argv[1]))
from al_jax.loop import acquisition, beginning, program, protocol
from al_jax import loop, oracle
from al_jax.loop import stages
from al_jax import strategies, systems
from tests.factories import a_system, a_task

def few(recipe):
  make = strategies.STRATEGIES[recipe.strategy]
  options = {
    name: parameter.default
    for name, parameter in inspect.signature(make).parameters.items()
  } | recipe.strategy_options
  fewer = {'num_samples': 4, 'num_configurations': 100}
  return {name: number for name, number in fewer.items() if options.get(name)}

moved = []
device_put = jax.device_put

def noting(arrays, *args, **options):
  moved.extend(map(jax.numpy.shape, jax.tree.leaves(arrays)))
  return device_put(arrays, *args, **options)

jax.device_put = noting

dataset, facts = a_task(label_budget=30, size=1000)
answers = oracle.SimulatedOracle(dataset.train.targets, dataset.task)
proceeding = protocol.Protocol(rounds=2, labels_per_round=8, first_size=20)
built = [
  a_system(name, facts=facts, dropout=0.2, strategy=few(recipe))
  for name, recipe in systems.SYSTEMS.items()
  if recipe.learner == 'supervised'  # they share a state
]
# It chooses among the part of the pool that was measured.
behind = a_system(
  'badge', facts=facts, prefilter={'name': 'margin', 'size': 50}
)
built.append(dataclasses.replace(behind, name='badge behind margin'))
# What looks over the pool while it learns.
looking = [
  a_system(name, facts=facts, learner={'stop': {'epochs': 3}, **options})
  for name, options in json.loads(sys.argv[3]).items()
]
found = []
for chunk_size, placement in json.loads(sys.argv[2]):
  all_sources = program.sources_of(dataset, placement)
  moved.clear()
  asked, state = {'devices': jax.local_device_count()}, None
  for system in built:
    compiled = program.compile_program(
      system, all_sources, dataset.train.ids, chunk_size=chunk_size
    )
    if state is None:
      runs = list(loop.run_rounds(compiled, answers, proceeding, [0]))
      asked['run'] = [(row.picks, row.test['accuracy']) for row in runs]
      state = beginning.begin(compiled, answers, proceeding, 0)
    own = stages.initial_state(system.strategy, facts)
    _, proposal = acquisition.propose(
      compiled, state.replace(strategy=own), 8, seed=0, round=0
    )
    asked[system.name] = proposal.picks.tolist()
  for system in looking:
    compiled = program.compile_program(
      system, all_sources, dataset.train.ids, chunk_size=chunk_size
    )
    runs = loop.run_rounds(compiled, answers, proceeding, [0])
    asked[system.name] = [
      (row.picks, row.test['accuracy'], row.train['loss']) for row in runs
    ]
  if placement == 'device':
    [rows] = jax.tree.leaves(all_sources['pool'].inputs)
    held = [len(shard.data) for shard in rows.addressable_shards]
    asked['rows'] = [len(held), min(held), max(held)]
    asked['moves'] = moved.count(rows.shape)
  found.append(asked)
print(json.dumps(found))
"""


LOOKING = {
  'joint': {},
  'propagation_jlp': {'neighbors': 5},
  'ceal': {'threshold': 1.0},
}


def begin(devices, *ways):
  """A process that asks in each way of looking at the pool."""
  return children.begin(SCRIPT, devices, *map(json.dumps, (ways, LOOKING)))


@pytest.fixture(scope='module')
def asked():
  """What was asked, by number of devices: an object per way."""
  # Side by side: nearly all of it is compilation, on one core each.
  processes = {
    1: begin(1, (1000, 'device'), (130, 'device')),
    8: begin(8, (130, 'device'), (130, 'host')),
  }
  found = dict(
    zip(processes, children.printed(list(processes.values())), strict=True)
  )
  supervised = [
    name
    for name, recipe in systems.SYSTEMS.items()
    if recipe.learner == 'supervised'
  ]
  behind = 'badge behind margin'
  for devices, of_ways in found.items():
    for of_way in of_ways:
      assert of_way['devices'] == devices
      assert {'run', behind, *supervised, *LOOKING} <= set(of_way)
  return found


def picks(of_way):
  about = ('devices', 'rows', 'moves')
  return {name: of_way[name] for name in of_way if name not in about}


def test_eight_devices_pick_the_same_as_one(asked):
  assert picks(asked[8][0]) == picks(asked[1][1])


def test_another_chunk_size_picks_the_same(asked):
  assert picks(asked[1][1]) == picks(asked[1][0])


def test_inputs_on_the_host_of_eight_devices_pick_the_same(asked):
  assert picks(asked[8][1]) == picks(asked[1][1])


@pytest.mark.parametrize('devices', [1, 8])
def test_each_device_holds_its_rows_and_no_call_moves_them(asked, devices):
  of_way = asked[devices][0]
  each = 960 // devices
  assert of_way['rows'] == [devices, each, each]
  assert of_way['moves'] == 0
