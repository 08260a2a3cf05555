"""Times measuring, selecting and training on several devices.

    python -m experiments.benchmarks.devices

Times the parts of a round on 1, 2, 4 and 8 virtual devices of a CPU, in turns,
and prints the median ratios to one device. The devices share the cores of the
machine: with more devices than cores nothing can be gained, and any loss is the
overhead of dividing the work.
"""

import functools
from unittest import mock

import jax
import numpy as np

from al_jax import data, keys, placement, systems
from al_jax import pool as pool_lib
from al_jax.loop import program
from al_jax.loop.stopwatch import Stopwatch

_COUNTS = (1, 2, 4, 8)
_SIZE, _CHUNK, _STEPS, _TURNS = 16_000, 500, 32, 15
_SYSTEMS = ('margin', 'badge', 'core_set')


def main() -> None:
  """Prints a line for each number of devices."""
  jax.config.update('jax_num_cpu_devices', max(_COUNTS))
  rng = np.random.default_rng(0)
  dataset = data.Dataset.from_arrays(
    rng.normal(size=(_SIZE, 784)).astype(np.float32),
    rng.integers(0, 10, _SIZE),
  )
  parts = {count: _parts(dataset, count) for count in _COUNTS}
  seconds = {count: [] for count in _COUNTS}
  for _ in range(_TURNS):
    for count, calls in parts.items():
      clock = Stopwatch()
      row = []
      for call in calls.values():
        jax.block_until_ready(call())
        row.append(clock.lap())
      seconds[count].append(row)
  print('devices', *parts[1])
  one = np.array(seconds[1])
  for count in _COUNTS:
    ratios = np.median(np.array(seconds[count]) / one, axis=0)
    print(count, *(f'{ratio:.2f}' for ratio in ratios))


def _parts(dataset, count):
  """Makes calls of a round's parts on the first `count` devices, warmed up."""
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), (placement.AXIS,))
  facts = program.facts_of(dataset, 1100)
  over = placement.Placement(mesh)
  with mock.patch.object(placement, 'current', lambda: over):
    sources = program.sources_of(dataset, 'device')
    programs = {
      name: program.compile_program(
        systems.build(name, facts, model={'name': 'mlp'}),
        sources,
        dataset.train.ids,
        chunk_size=_CHUNK,
      )
      for name in _SYSTEMS
    }
  compiled = programs[_SYSTEMS[0]]
  device = jax.local_devices()[0]
  key = jax.device_put(keys.for_run(0, keys.INITIALISE), device)
  labelled = np.arange(1000, dtype=np.int32)
  pool = compiled.reveal(
    pool_lib.of(facts), labelled, dataset.train.targets[labelled], 0, round=0
  )
  state, pool = jax.device_put((compiled.init(key), pool), device)
  state = compiled.fit.start(key, state, pool)
  calls = {
    'look': lambda: jax.tree.leaves(
      compiled.strategy.measure(key, state, None)
    ),
    'steps': lambda: compiled.fit.advance[0](state, pool, _STEPS),
  }
  for name, of_system in programs.items():
    strategy = of_system.strategy
    found = strategy.measure(key, state, None)
    calls[name] = functools.partial(strategy.select, key, (), *found, pool, 100)
  for call in calls.values():
    jax.block_until_ready(call())
  return calls


if __name__ == '__main__':
  main()
